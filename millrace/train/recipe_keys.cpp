#include "millrace/train/recipe_keys.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cmath>

namespace millrace {
namespace {

constexpr double kAny = std::numeric_limits<double>::infinity();
constexpr double kLargest = 1e15;  // integers beyond this would not be exact as doubles

RecipeRange between(double least, double most) {
  return {least, most, {}};
}
RecipeRange one_of(std::vector<std::string_view> choices) {
  return {-kAny, kAny, std::move(choices)};
}

std::vector<RecipeKey> make_keys() {
  using R = Recipe&;
  using F = RecipeField;
  return {
      {"name", [](R r) -> F { return &r.name; }, {}, "name of the run; its folder is runs/NAME"},
      {"task", [](R r) -> F { return &r.task; }, one_of({"pretrain", "finetune"}),
       "pretrain scores every token, finetune only what the assistant says"},
      {"seed", [](R r) -> F { return &r.seed; }, between(0, kLargest),
       "seed of the initial weights and of the samples"},
      {"precision", [](R r) -> F { return &r.precision; }, one_of({"bf16", "f32"}),
       "type of the forward and backward products; master weights are always f32"},
      {"recompute",
       [](R r) -> F { return &r.recompute; },
       {},
       "keep only each layer's input and compute the rest again on the way back: less memory, a "
       "third more work"},
      {"log_every", [](R r) -> F { return &r.log_every; }, between(1, kLargest),
       "steps between lines of log.jsonl"},

      {"model.family", [](R r) -> F { return &r.model.family; }, one_of({"llama", "gpt2"}),
       "architecture of a new model"},
      {"model.config",
       [](R r) -> F { return &r.model.config; },
       {},
       "config.json (or its folder, or a pulled model) of a new model of any family; its "
       "vocabulary "
       "and special tokens are the tokenizer's"},
      {"model.init_from",
       [](R r) -> F { return &r.model.init_from; },
       {},
       "model folder, GGUF file or pulled name to start from; its own shape then holds"},
      {"model.hidden_size", [](R r) -> F { return &r.model.hidden_size; }, between(1, 1 << 20),
       "width of the residual stream"},
      {"model.num_layers", [](R r) -> F { return &r.model.num_layers; }, between(1, 1024),
       "number of blocks"},
      {"model.num_heads", [](R r) -> F { return &r.model.num_heads; }, between(1, 4096),
       "attention heads; must divide hidden_size"},
      {"model.num_kv_heads", [](R r) -> F { return &r.model.num_kv_heads; }, between(0, 4096),
       "key-value heads; must divide num_heads; 0: as many as num_heads"},
      {"model.intermediate_size", [](R r) -> F { return &r.model.intermediate_size; },
       between(0, 1 << 22),
       "width of the MLP; 0: 8/3 of hidden_size up to a multiple of 32 (llama), 4 times (gpt2)"},
      {"model.max_position_embeddings", [](R r) -> F { return &r.model.max_position_embeddings; },
       between(1, 1 << 24), "longest context that the model promises"},
      {"model.rope_theta", [](R r) -> F { return &r.model.rope_theta; }, between(1, 1e12),
       "base of the rotary frequencies (llama)"},
      {"model.norm_eps", [](R r) -> F { return &r.model.norm_eps; }, between(1e-12, 0.1),
       "epsilon within the norms"},
      {"model.tie_embeddings",
       [](R r) -> F { return &r.model.tie_embeddings; },
       {},
       "the head shares the embedding's weights"},

      {"tokenizer.path",
       [](R r) -> F { return &r.tokenizer.path; },
       {},
       "folder, tokenizer.json or pulled name; empty: that of init_from, else one is trained on "
       "data.train"},
      {"tokenizer.vocab_size", [](R r) -> F { return &r.tokenizer.vocab_size; },
       between(257, 1 << 22), "size of a tokenizer trained here"},

      {"data.train", [](R r) -> F { return &r.data.train; }, {}, "files to train on, in order"},
      {"data.heldout",
       [](R r) -> F { return &r.data.heldout; },
       {},
       "files that are only scored; none: no held-out loss"},
      {"data.format", [](R r) -> F { return &r.data.format; },
       one_of({"text", "alpaca", "sharegpt", "messages"}),
       "text: .txt or .jsonl with a field 'text'; the others are conversations as .json or .jsonl"},
      {"data.objective", [](R r) -> F { return &r.data.objective; },
       one_of({"causal", "fill_in_the_middle", "prefix", "span_corruption", "blank_infilling",
               "masked"}),
       "what is learned from text: each next token; the same with the middle of texts moved behind "
       "what follows it; the rest of a text whose beginning is seen both ways; spans behind a text "
       "with sentinels (T5); spans behind a text with masks (GLM); hidden tokens (encoders)"},
      {"data.fim_rate", [](R r) -> F { return &r.data.fim_rate; }, between(0, 1),
       "part of the sequences whose middle is moved"},
      {"data.mask_rate", [](R r) -> F { return &r.data.mask_rate; }, between(0, 1),
       "part of the tokens that masks and sentinels hide"},
      {"data.whole_words",
       [](R r) -> F { return &r.data.whole_words; },
       {},
       "masking hides all tokens of a word or none"},
      {"data.span_length", [](R r) -> F { return &r.data.span_length; }, between(1, 39),
       "mean tokens of a span that a sentinel or a mask stands for"},
      {"data.sentence_rate", [](R r) -> F { return &r.data.sentence_rate; }, between(0, 1),
       "part of the texts whose blanks are sentences ([sMASK])"},
      {"data.document_rate", [](R r) -> F { return &r.data.document_rate; }, between(0, 1),
       "part of the texts with one blank of half of them and more ([gMASK])"},
      {"data.separator",
       [](R r) -> F { return &r.data.separator; },
       {},
       "the line between two documents of a .txt file"},
      {"data.sequence_length", [](R r) -> F { return &r.data.sequence_length; },
       between(1, 1 << 24), "most tokens that one sequence of a batch may have"},
      {"data.batch_tokens", [](R r) -> F { return &r.data.batch_tokens; }, between(1, kLargest),
       "most tokens of one optimiser step"},
      {"data.micro_batch_tokens", [](R r) -> F { return &r.data.micro_batch_tokens; },
       between(1, 1 << 26),
       "most tokens that go through the model at once: decides memory, not what makes up a step"},
      {"data.shuffle_seed", [](R r) -> F { return &r.data.shuffle_seed; }, between(0, kLargest),
       "seed of the order in which the data is seen"},
      {"data.epochs", [](R r) -> F { return &r.data.epochs; }, between(0, 1e6),
       "passes over the data when schedule.steps is 0"},

      {"optimizer.name", [](R r) -> F { return &r.optimizer.name; }, one_of({"adamw", "muon"}),
       "muon: hidden matrices by Muon, everything else by AdamW"},
      {"optimizer.lr", [](R r) -> F { return &r.optimizer.lr; }, between(0, 100),
       "peak learning rate of AdamW"},
      {"optimizer.matrix_lr", [](R r) -> F { return &r.optimizer.matrix_lr; }, between(0, 100),
       "peak learning rate of Muon"},
      {"optimizer.betas", [](R r) -> F { return &r.optimizer.betas; }, between(0, 0.999999),
       "decay of AdamW's two moments"},
      {"optimizer.eps", [](R r) -> F { return &r.optimizer.eps; }, between(0, 1),
       "AdamW's epsilon"},
      {"optimizer.momentum", [](R r) -> F { return &r.optimizer.momentum; }, between(0, 0.999999),
       "Muon's Nesterov momentum"},
      {"optimizer.weight_decay", [](R r) -> F { return &r.optimizer.weight_decay; },
       between(0, 100), "decoupled weight decay, on matrices only"},
      {"optimizer.clip", [](R r) -> F { return &r.optimizer.clip; }, between(0, 1e9),
       "largest global norm of the gradient; 0: no clipping"},

      {"schedule.name", [](R r) -> F { return &r.schedule.name; }, one_of({"cosine", "wsd"}),
       "cosine, or warm-up, stable, decay"},
      {"schedule.steps", [](R r) -> F { return &r.schedule.steps; }, between(0, kLargest),
       "optimiser steps; 0: as data.epochs asks"},
      {"schedule.warmup_steps", [](R r) -> F { return &r.schedule.warmup_steps; },
       between(0, kLargest), "steps of linear rise; by default at most a tenth of schedule.steps"},
      {"schedule.decay_fraction", [](R r) -> F { return &r.schedule.decay_fraction; },
       between(0, 1), "last part of the steps over which wsd falls, as 1 - sqrt"},
      {"schedule.min_lr_ratio", [](R r) -> F { return &r.schedule.min_lr_ratio; }, between(0, 1),
       "learning rate at the end, as a part of the peak"},

      {"experts.balance_loss", [](R r) -> F { return &r.experts.balance_loss; }, between(-1, 100),
       "how much of the routers' load-balancing loss is added; -1: the model's own "
       "router_aux_loss_coef"},
      {"experts.z_loss", [](R r) -> F { return &r.experts.z_loss; }, between(0, 100),
       "how much of the router z-loss is added"},

      {"lora.rank", [](R r) -> F { return &r.lora.rank; }, between(0, 1 << 16),
       "rank of the adapters; 0: train all weights"},
      {"lora.alpha", [](R r) -> F { return &r.lora.alpha; }, between(0, 1e9),
       "the adapter is scaled by alpha / rank; 0: alpha is twice the rank"},
      {"lora.targets",
       [](R r) -> F { return &r.lora.targets; },
       {},
       "modules to adapt by name (q_proj, …), or all-linear"},

      {"eval.every", [](R r) -> F { return &r.eval.every; }, between(0, kLargest),
       "steps between held-out evaluations; 0: only at the end"},
      {"eval.tokens", [](R r) -> F { return &r.eval.tokens; }, between(0, kLargest),
       "tokens of the held-out files to score; 0: all"},

      {"checkpoint.every", [](R r) -> F { return &r.checkpoint.every; }, between(0, kLargest),
       "steps between checkpoints; 0: only at the end"},
      {"checkpoint.keep", [](R r) -> F { return &r.checkpoint.keep; }, between(1, kLargest),
       "checkpoints to keep, newest first"},

      {"samples.prompts",
       [](R r) -> F { return &r.samples.prompts; },
       {},
       "texts that the model completes at each evaluation, for the report"},
      {"samples.max_tokens", [](R r) -> F { return &r.samples.max_tokens; }, between(1, 1 << 24),
       "longest sample"},
      {"samples.temperature", [](R r) -> F { return &r.samples.temperature; }, between(0, 100),
       "temperature of the samples; 0: greedy"},
  };
}

/// Plain where YAML reads it back as the same string, quoted where not.
std::string quoted(const std::string& text) {
  auto is_plain = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '/' || c == '.' ||
           c == '-';
  };
  bool plain = !text.empty() && std::isalpha(static_cast<unsigned char>(text[0])) &&
               std::ranges::all_of(text, is_plain) && !YAML::Load(text).IsNull();
  YAML::Emitter out;
  if (!plain) out << YAML::DoubleQuoted;
  out << text;
  return out.c_str();
}

struct ValueText {
  std::string operator()(const bool* value) const { return *value ? "true" : "false"; }
  std::string operator()(const int64_t* value) const { return fmt::format("{}", *value); }
  std::string operator()(const double* value) const { return fmt::format("{}", *value); }
  std::string operator()(const std::string* value) const { return quoted(*value); }
  std::string operator()(const std::vector<double>* value) const {
    return fmt::format("[{}]", fmt::join(*value, ", "));
  }
  std::string operator()(const std::vector<std::string>* value) const {
    std::vector<std::string> items;
    for (const std::string& item : *value) items.push_back(quoted(item));
    return fmt::format("[{}]", fmt::join(items, ", "));
  }
};

}  // namespace

std::span<const RecipeKey> recipe_keys() {
  static const std::vector<RecipeKey> keys = make_keys();
  return keys;
}

std::string_view type_name(const RecipeField& field) {
  constexpr std::string_view names[] = {"true or false", "an integer",        "a number",
                                        "a string",      "a list of numbers", "a list of strings"};
  return names[field.index()];
}

std::string value_text(const RecipeField& field) {
  return std::visit(ValueText{}, field);
}

std::string range_text(const RecipeKey& key) {
  const RecipeRange& range = key.range;
  if (!range.choices.empty()) return fmt::format("{}", fmt::join(range.choices, ", "));
  if (std::isinf(range.least) && std::isinf(range.most)) return "";
  if (range.most >= kLargest) return fmt::format("from {}", range.least);
  return fmt::format("{} to {}", range.least, range.most);
}

namespace {

/// A bar would end the cell of a Markdown table.
std::string escape_bars(std::string_view text) {
  std::string result;
  for (char c : text) result += c == '|' ? "\\|" : std::string(1, c);
  return result;
}

}  // namespace

std::string recipe_reference() {
  std::string text = "| key | type | default | values | meaning |\n|---|---|---|---|---|\n";
  Recipe defaults;
  for (const RecipeKey& key : recipe_keys()) {
    RecipeField field = key.field(defaults);
    text += fmt::format("| `{}` | {} | `{}` | {} | {} |\n", key.path, type_name(field),
                        escape_bars(value_text(field)), range_text(key), key.help);
  }
  return text;
}

}  // namespace millrace
