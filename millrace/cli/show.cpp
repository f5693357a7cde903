// millrace show: what a model is.
#include <fmt/format.h>

#include <map>
#include <memory>

#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"

namespace millrace::cli {
namespace {

struct Arguments {
  ModelOptions model;
  bool chat_template = false, json = false;
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

void show(const Arguments& arguments) {
  LanguageModel opened = arguments.model.open();
  const Model& model = *opened.model;
  const ModelConfig& c = model.config();
  if (arguments.chat_template) {
    fmt::print("{}\n", opened.chat_template_source);
    return;
  }
  const std::map<std::string, int64_t> types = parameters_by_type(model);
  if (arguments.json) {
    return print_json({{"model_type", c.model_type},
                       {"parameters", model.num_parameters()},
                       {"resident_bytes", model.resident_bytes()},
                       {"parameters_by_type", types},
                       {"hidden_size", c.hidden_size},
                       {"num_layers", c.num_layers},
                       {"num_heads", c.num_heads},
                       {"num_kv_heads", c.num_kv_heads},
                       {"head_dim", c.head_dim},
                       {"intermediate_size", c.intermediate_size},
                       {"vocab_size", c.vocab_size},
                       {"max_position_embeddings", c.max_position_embeddings},
                       {"tie_word_embeddings", c.tie_word_embeddings},
                       {"tokenizer",
                        {{"tokens", opened.tokenizer.vocab_size()},
                         {"bos", opened.tokenizer.bos()},
                         {"end_ids", opened.end_ids()}}},
                       {"chat_template", opened.chat_template_source}});
  }
  fmt::print("architecture   {}\n", c.model_type);
  fmt::print("parameters     {:.2f} M, {:.1f} MB in memory\n",
             static_cast<double>(model.num_parameters()) / 1e6,
             static_cast<double>(model.resident_bytes()) / 1e6);
  for (const auto& [type, count] : types) {
    fmt::print("               {:.2f} M {}\n", static_cast<double>(count) / 1e6, type);
  }
  fmt::print("layers         {} of width {}, MLP {}\n", c.num_layers, c.hidden_size,
             c.intermediate_size);
  fmt::print("heads          {} of {}, {} for keys and values\n", c.num_heads, c.head_dim,
             c.num_kv_heads);
  fmt::print("context        {} tokens\n", c.max_position_embeddings);
  fmt::print("vocabulary     {} tokens, embeddings {}\n", c.vocab_size,
             c.tie_word_embeddings ? "tied" : "not tied");
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
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { show(*arguments); });
}

}  // namespace millrace::cli
