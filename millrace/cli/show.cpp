// millrace show: what a model is, or would be whose weights are not there yet.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "millrace/base/error.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/formats/pytorch.h"
#include "millrace/model/nested_text.h"
#include "millrace/model/plan.h"

namespace millrace::cli {
namespace {

struct Arguments {
  ModelOptions model;
  bool chat_template = false, plan = false, json = false;
};

std::map<std::string, int64_t> parameters_by_type(const Model& model) {
  std::map<std::string, int64_t> counts;
  for (const Parameter& parameter : model.parameters()) {
    if (parameter.name.empty()) continue;
    DType type = parameter.is_matrix() ? parameter.packed.type : parameter.value.dtype();
    counts[std::string(info(type).name)] += parameter.shape.count();
  }
  return counts;
}

Json sizes(const ModelConfig& c) {
  return {{"part_of", c.part_of.empty() ? Json() : Json(c.part_of)},
          {"hidden_size", c.hidden_size},
          {"num_layers", c.num_layers},
          {"num_heads", c.num_heads},
          {"num_kv_heads", c.num_kv_heads},
          {"head_dim", c.head_dim},
          {"intermediate_size", c.intermediate_size},
          {"vocab_size", c.vocab_size},
          {"max_position_embeddings", c.max_position_embeddings},
          {"tie_word_embeddings", c.tie_word_embeddings}};
}

void print_architecture(const ModelConfig& c) {
  fmt::print("architecture   {}", c.model_type);
  if (!c.part_of.empty()) fmt::print(", {}", describe_part(c));
  fmt::print("\n");
}

/// Of layers that are not like most.
void print_other_sizes(const ModelConfig& c) {
  std::vector<LayerSizes> others = c.layer_sizes;
  std::erase(others, c.own_sizes());
  while (!others.empty()) {
    const LayerSizes sizes = others.front();
    fmt::print("               in {} layers {} of {}, {} for keys and values, MLP {}\n",
               std::erase(others, sizes), sizes.num_heads, sizes.head_dim, sizes.num_kv_heads,
               sizes.intermediate_size);
  }
}

void print_sizes(const ModelConfig& c) {
  fmt::print("layers         {} of width {}, MLP {}\n", c.num_layers, c.hidden_size,
             c.intermediate_size);
  fmt::print("heads          {} of {}, {} for keys and values\n", c.num_heads, c.head_dim,
             c.num_kv_heads);
  print_other_sizes(c);
  fmt::print("context        {} tokens\n", c.max_position_embeddings);
  fmt::print("vocabulary     {} tokens, embeddings {}\n", c.vocab_size,
             c.tie_word_embeddings ? "tied" : "not tied");
}

double giga(int64_t count) {
  return static_cast<double>(count) / 1e9;
}

void print_names(const char* what, const std::vector<std::string>& names) {
  constexpr size_t kMost = 20;
  for (size_t i = 0; i < std::min(names.size(), kMost); ++i) {
    fmt::print("{:<14} {}\n", i == 0 ? what : "", names[i]);
  }
  if (names.size() > kMost) fmt::print("{:<14} and {} more\n", "", names.size() - kMost);
}

void print_plan(const ModelPlan& plan) {
  const ModelConfig& c = plan.model->config();
  print_architecture(c);
  fmt::print("parameters     {:.3f} billion", giga(plan.model->num_parameters()));
  if (plan.active_parameters < plan.model->num_parameters()) {
    fmt::print(", {:.3f} of them for each token", giga(plan.active_parameters));
  }
  fmt::print("\nweights        {:.1f} GB in memory", giga(plan.weight_bytes));
  if (plan.file_bytes > 0) fmt::print(", {:.1f} GB to download", giga(plan.file_bytes));
  fmt::print("\ncache          {:.1f} kB a token, {:.1f} GB for a full context\n",
             static_cast<double>(plan.cache_bytes) / 1e3,
             giga(plan.cache_bytes) * static_cast<double>(c.max_position_embeddings));
  print_sizes(c);
  if (plan.index.empty()) return;
  fmt::print("tensors        {} in {}, {} missing, {} without a place", plan.num_tensors,
             plan.index, plan.missing.size(), plan.unexpected.size());
  if (plan.num_other_tensors > 0) fmt::print(", {} of other parts", plan.num_other_tensors);
  fmt::print("\n");
  print_names("missing", plan.missing);
  print_names("without place", plan.unexpected);
}

/// What config.json and the index of the weights say.
void show_plan(const std::string& folder, bool json) {
  require(std::filesystem::is_directory(folder),
          "{}: is no folder; --plan reads the config.json of one", folder);
  const ModelPlan plan = plan_model(folder);
  const ModelConfig& c = plan.model->config();
  Json report = {{"model_type", c.model_type},
                 {"parameters", plan.model->num_parameters()},
                 {"active_parameters", plan.active_parameters},
                 {"weight_bytes", plan.weight_bytes},
                 {"download_bytes", plan.file_bytes},
                 {"cache_bytes_per_token", plan.cache_bytes},
                 {"index", plan.index},
                 {"tensors", plan.num_tensors},
                 {"missing", plan.missing},
                 {"unexpected", plan.unexpected}};
  report.update(sizes(c));
  json ? print_json(report) : print_plan(plan);
  require(
      plan.fits(),
      "{}: these weights are not those of a {} model of this configuration; it cannot be opened",
      (std::filesystem::path(folder) / plan.index).string(), c.model_type);
}

void show(const Arguments& arguments) {
  const std::filesystem::path path = arguments.model.model;
  if (arguments.plan || (std::filesystem::exists(path / "config.json") && !has_weights(path))) {
    return show_plan(path.string(), arguments.json);
  }
  LanguageModel opened = arguments.model.open();
  const Model& model = *opened.model;
  const ModelConfig& c = model.config();
  if (arguments.chat_template) {
    fmt::print("{}\n", opened.chat_template_source);
    return;
  }
  const std::map<std::string, int64_t> types = parameters_by_type(model);
  if (arguments.json) {
    Json report = {{"model_type", c.model_type},
                   {"parameters", model.num_parameters()},
                   {"resident_bytes", model.resident_bytes()},
                   {"parameters_by_type", types},
                   {"tokenizer",
                    {{"tokens", opened.tokenizer.vocab_size()},
                     {"bos", opened.tokenizer.bos()},
                     {"end_ids", opened.end_ids()}}},
                   {"chat_template", opened.chat_template_source}};
    report.update(sizes(c));
    return print_json(report);
  }
  print_architecture(c);
  fmt::print("parameters     {:.2f} M, {:.1f} MB in memory\n",
             static_cast<double>(model.num_parameters()) / 1e6,
             static_cast<double>(model.resident_bytes()) / 1e6);
  for (const auto& [type, count] : types) {
    fmt::print("               {:.2f} M {}\n", static_cast<double>(count) / 1e6, type);
  }
  print_sizes(c);
  fmt::print("tokenizer      {} tokens, ends at {}\n", opened.tokenizer.vocab_size(),
             fmt::join(opened.end_ids(), ", "));
  fmt::print("chat template  {} bytes (--template prints it)\n",
             opened.chat_template_source.size());
}

}  // namespace

void add_show(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "show", "Architecture, sizes, tokenizer and template of a model",
                            "millrace show model.gguf");
  arguments->model.add_to(verb, false);
  verb.add_flag("--template", arguments->chat_template, "Print the chat template");
  verb.add_flag("--plan", arguments->plan,
                "Say by config.json and the index what it would take to open a folder, and whether "
                "its tensors fit; done anyway where there are no weights yet");
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { show(*arguments); });
}

}  // namespace millrace::cli
