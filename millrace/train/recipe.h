// A recipe: everything that decides a training run, as plain data read from YAML.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// The model to train: a new one of this shape or of that in `config`, or the one in `init_from`.
struct ModelRecipe {
  std::string family = "llama";
  std::string config;
  std::string init_from;
  int64_t hidden_size = 256;
  int64_t num_layers = 6;
  int64_t num_heads = 4;
  int64_t num_kv_heads = 0;
  int64_t intermediate_size = 0;
  int64_t max_position_embeddings = 1024;
  double rope_theta = 10000;
  double norm_eps = 1e-5;
  bool tie_embeddings = true;
  bool operator==(const ModelRecipe&) const = default;
};

struct TokenizerRecipe {
  std::string path;
  int64_t vocab_size = 8192;
  bool operator==(const TokenizerRecipe&) const = default;
};

struct DataRecipe {
  std::vector<std::string> train;
  std::vector<std::string> heldout;
  std::string format = "text";
  std::string objective = "causal";
  double fim_rate = 0.5;
  double mask_rate = 0.15;
  bool whole_words = false;
  double span_length = 3;
  double sentence_rate = 0.3;
  double document_rate = 0.3;
  std::string separator = "<|endoftext|>";
  int64_t sequence_length = 512;
  int64_t batch_tokens = 16384;
  int64_t micro_batch_tokens = 4096;
  int64_t shuffle_seed = 0;
  double epochs = 1;
  bool operator==(const DataRecipe&) const = default;
};

struct OptimizerRecipe {
  std::string name = "adamw";
  double lr = 6e-4;
  double matrix_lr = 0.02;
  std::vector<double> betas = {0.9, 0.95};
  double eps = 1e-8;
  double momentum = 0.95;
  double weight_decay = 0.1;
  double clip = 1.0;
  bool operator==(const OptimizerRecipe&) const = default;
};

struct ScheduleRecipe {
  std::string name = "cosine";
  int64_t steps = 0;
  int64_t warmup_steps = 100;
  double decay_fraction = 0.2;
  double min_lr_ratio = 0.1;
  bool operator==(const ScheduleRecipe&) const = default;
};

struct ExpertsRecipe {
  double balance_loss = -1;
  double z_loss = 0;
  bool operator==(const ExpertsRecipe&) const = default;
};

struct LoraRecipe {
  int64_t rank = 0;
  double alpha = 0;
  std::vector<std::string> targets = {"all-linear"};
  bool operator==(const LoraRecipe&) const = default;
};

struct EvalRecipe {
  int64_t every = 100;
  int64_t tokens = 0;
  bool operator==(const EvalRecipe&) const = default;
};

struct CheckpointRecipe {
  int64_t every = 200;
  int64_t keep = 2;
  bool operator==(const CheckpointRecipe&) const = default;
};

struct SamplesRecipe {
  std::vector<std::string> prompts;
  int64_t max_tokens = 64;
  double temperature = 1;
  bool operator==(const SamplesRecipe&) const = default;
};

/// What each key means, its range and its default: recipe_keys(), docs/recipes.md.
struct Recipe {
  std::string name = "run";
  std::string task = "pretrain";
  int64_t seed = 0;
  std::string precision = "bf16";
  bool recompute = false;
  int64_t log_every = 10;
  ModelRecipe model;
  TokenizerRecipe tokenizer;
  DataRecipe data;
  OptimizerRecipe optimizer;
  ScheduleRecipe schedule;
  ExpertsRecipe experts;
  LoraRecipe lora;
  EvalRecipe eval;
  CheckpointRecipe checkpoint;
  SamplesRecipe samples;
  bool operator==(const Recipe&) const = default;
};

/// Reads a recipe and applies overrides such as "optimizer.lr=3e-4", then checks the whole of it.
/// Throws Error that begins with file and line, or "command line", and names the key:
/// unknown and repeated keys, wrong types, values out of range, shapes that cannot be.
Recipe load_recipe(const std::filesystem::path& path, std::span<const std::string> overrides = {});

/// As load_recipe, from text; `source` begins the messages.
Recipe parse_recipe(std::string_view yaml, std::string_view source,
                    std::span<const std::string> overrides = {});

/// Applies overrides to a recipe that exists (the dial's, a resumed run's) and checks the result.
Recipe override_recipe(Recipe recipe, std::span<const std::string> overrides);

/// The recipe with every key written out; parse_recipe gives the same recipe back.
std::string to_yaml(const Recipe& recipe);

}  // namespace millrace
