#include "millrace/train/recipe.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/train/recipe_keys.h"

namespace millrace {
namespace {

constexpr const char* kGood = R"(name: poems
task: pretrain
seed: 7
model:
  hidden_size: 384
  num_heads: 6
tokenizer:
  path: runs/tokenizer   # trained before
data:
  train: [data/a.txt, "data/b c.txt"]
  sequence_length: 256
optimizer:
  name: muon
  betas: [0.8, 0.95]
eval:
samples:
  prompts:
    - "以《春望》为题写一首五言律诗"
    - "a: b # c\n\t\"d\""
)";

/// The message of the Error that this recipe gives; empty when it is accepted.
std::string error_of(const std::string& yaml, const std::vector<std::string>& overrides = {}) {
  try {
    parse_recipe(yaml, "x.yaml", overrides);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Recipe, OfGpt3HaveThePublishedShapes) {
  const std::vector<std::pair<std::string, double>> shapes = {
      {"small", 125e6}, {"medium", 350e6}, {"large", 760e6}, {"xl", 1.3e9},
      {"2.7b", 2.7e9},  {"6.7b", 6.7e9},   {"13b", 13e9},    {"175b", 175e9}};
  for (const auto& [name, parameters] : shapes) {
    const Recipe recipe =
        load_recipe(std::string(MILLRACE_SOURCE_DIR) + "/recipes/gpt3/" + name + ".yaml");
    EXPECT_EQ(recipe.name, "gpt3-" + name);
    const auto width = static_cast<double>(recipe.model.hidden_size);
    const auto layers = static_cast<double>(recipe.model.num_layers);
    const double count = 12 * layers * width * width + (50257 + 2048) * width;
    EXPECT_NEAR(count, parameters, 0.03 * parameters) << name;
    EXPECT_EQ(recipe.model.intermediate_size, 4 * recipe.model.hidden_size);
    const auto tokens = static_cast<double>(recipe.schedule.steps * recipe.data.batch_tokens);
    EXPECT_NEAR(tokens, 300e9, 1e9);
  }
}

TEST(Recipe, ReadsValuesAndKeepsDefaults) {
  Recipe recipe = parse_recipe(kGood, "x.yaml");
  EXPECT_EQ(recipe.name, "poems");
  EXPECT_EQ(recipe.seed, 7);
  EXPECT_EQ(recipe.model.hidden_size, 384);
  EXPECT_EQ(recipe.data.train, (std::vector<std::string>{"data/a.txt", "data/b c.txt"}));
  EXPECT_EQ(recipe.optimizer.name, "muon");
  EXPECT_EQ(recipe.optimizer.betas, (std::vector<double>{0.8, 0.95}));
  EXPECT_EQ(recipe.optimizer.weight_decay, OptimizerRecipe{}.weight_decay);
  EXPECT_EQ(recipe.samples.prompts[1], "a: b # c\n\t\"d\"");
}

TEST(Recipe, FillsInWhatZeroStandsFor) {
  Recipe recipe = parse_recipe(kGood, "x.yaml");
  EXPECT_EQ(recipe.model.num_kv_heads, 6);
  EXPECT_EQ(recipe.model.intermediate_size, 1024);
  recipe = parse_recipe(kGood, "x.yaml", std::vector<std::string>{"model.family=gpt2"});
  EXPECT_EQ(recipe.model.intermediate_size, 1536);
}

TEST(Recipe, AShortRunWarmsUpForATenthUnlessItSaysOtherwise) {
  const std::string start = "data: {train: [a.txt]}\nschedule: ";
  EXPECT_EQ(parse_recipe(start + "{steps: 50}", "x").schedule.warmup_steps, 5);
  EXPECT_EQ(parse_recipe(start + "{steps: 5000}", "x").schedule.warmup_steps, 100);
  EXPECT_EQ(parse_recipe(start + "{steps: 50, warmup_steps: 50}", "x").schedule.warmup_steps, 50);
  EXPECT_EQ(error_of(start + "{steps: 50, warmup_steps: 51}"),
            "x.yaml:2: schedule.warmup_steps: 51 is more than schedule.steps 50");
}

TEST(Recipe, YamlGivesTheSameRecipeBack) {
  for (std::vector<std::string> overrides :
       {std::vector<std::string>{},
        {"name=null", "tokenizer.path=123"},
        {"task=finetune", "data.format=alpaca", "lora.rank=4", "optimizer.lr=1.25e-7"}}) {
    std::string yaml = kGood;
    if (overrides.size() == 4) {
      yaml.replace(yaml.find("model:"), yaml.find("tokenizer:") - yaml.find("model:"),
                   "model:\n  init_from: m\n");
    }
    Recipe recipe = parse_recipe(yaml, "x.yaml", overrides);
    EXPECT_EQ(parse_recipe(to_yaml(recipe), "resolved"), recipe) << to_yaml(recipe);
  }
}

TEST(Recipe, OverridesFromTheCommandLineWin) {
  std::vector<std::string> overrides = {"optimizer.lr=3e-4", "name=a=b", "data.train=[x, y]",
                                        "samples.prompts=: {odd]", "recompute=true"};
  Recipe recipe = parse_recipe(kGood, "x.yaml", overrides);
  EXPECT_EQ(recipe.optimizer.lr, 3e-4);
  EXPECT_EQ(recipe.name, "a=b");
  EXPECT_EQ(recipe.data.train, (std::vector<std::string>{"x", "y"}));
  EXPECT_EQ(recipe.samples.prompts, std::vector<std::string>{": {odd]"});
  EXPECT_TRUE(recipe.recompute);
  EXPECT_EQ(override_recipe(recipe, std::vector<std::string>{"seed=9"}).seed, 9);
}

TEST(Recipe, ErrorsNameFileLineAndKey) {
  const std::string good = kGood;
  EXPECT_EQ(error_of(good + "optimiser: 3\n"),
            "x.yaml:20: optimiser: unknown key; did you mean 'optimizer'?");
  EXPECT_EQ(error_of("name: x\noptimizer:\n  lrr: 1\n"),
            "x.yaml:3: optimizer.lrr: unknown key; did you mean 'lr'?");
  EXPECT_EQ(error_of("hidden_size: 5\n"),
            "x.yaml:1: hidden_size: unknown key; did you mean 'model.hidden_size'?");
  EXPECT_EQ(error_of("zzz: 5\n"), "x.yaml:1: zzz: unknown key");
  EXPECT_EQ(error_of("seed: 1\nseed: 2\n"), "x.yaml:2: seed: is given twice");
  EXPECT_EQ(error_of("seed: many\n"), "x.yaml:1: seed: must be an integer, not 'many'");
  EXPECT_EQ(error_of("seed: '1'\n"), "x.yaml:1: seed: must be an integer, not '1'");
  EXPECT_EQ(error_of("seed: 1.5\n"), "x.yaml:1: seed: must be an integer, not '1.5'");
  EXPECT_EQ(error_of("seed: 99999999999999999999\n").substr(0, 9), "x.yaml:1:");
  EXPECT_EQ(error_of("optimizer: {lr: .nan}\n").substr(0, 23), "x.yaml:1: optimizer.lr:");
  EXPECT_EQ(error_of("optimizer: {lr: nan}\n").substr(0, 23), "x.yaml:1: optimizer.lr:");
  EXPECT_EQ(error_of("recompute: yes\n"), "x.yaml:1: recompute: must be true or false, not 'yes'");
  EXPECT_EQ(error_of("name: [a]\n"), "x.yaml:1: name: must be a string, not a list");
  EXPECT_EQ(error_of("optimizer:\n  betas: 1\n"),
            "x.yaml:2: optimizer.betas: must be a list of numbers, not '1'");
  EXPECT_EQ(error_of("task: pre-train\n"),
            "x.yaml:1: task: is 'pre-train'; it must be one of: pretrain, finetune");
  EXPECT_EQ(error_of("\nlog_every: 0\n"), "x.yaml:2: log_every: is 0; it must be from 1");
  EXPECT_EQ(error_of("model: 3\n"),
            "x.yaml:1: model: is a section; its keys go on lines of their own below it");
  EXPECT_EQ(error_of("a: [\n").substr(0, 27), "x.yaml:2: is not valid YAML");
  EXPECT_EQ(error_of("- a\n"), "x.yaml: a recipe must be a YAML mapping of keys to values");
  EXPECT_EQ(error_of("? [a]\n: b\n"), "x.yaml:1: a key must be a plain word");
}

TEST(Recipe, OverrideErrorsNameTheCommandLine) {
  EXPECT_EQ(error_of(kGood, {"optimizer.lrr=1"}),
            "command line: optimizer.lrr: unknown key; did you mean 'lr'?");
  EXPECT_EQ(error_of(kGood, {"optimizer.lr=fast"}),
            "command line: optimizer.lr: must be a number, not 'fast'");
  EXPECT_EQ(error_of(kGood, {"optimizer.lr="}),
            "command line: optimizer.lr: must be a number, not nothing");
  EXPECT_EQ(error_of(kGood, {"lr"}),
            "command line: 'lr': an override is written key.path=value, e.g. optimizer.lr=3e-4");
  EXPECT_EQ(error_of(kGood, {"optimizer={lr: 1}"}),
            "command line: optimizer: is a section; name one of its keys, e.g. optimizer.lr=3e-4");
  EXPECT_EQ(error_of(kGood, {"model.num_heads=5"}),
            "command line: model.num_heads: 5 heads do not divide hidden_size 384");
}

TEST(Recipe, ImpossibleCombinationsAreErrors) {
  EXPECT_EQ(error_of(kGood, {"model.num_kv_heads=4"}),
            "command line: model.num_kv_heads: 4 key-value heads do not divide num_heads 6");
  EXPECT_EQ(error_of(kGood, {"model.num_heads=128"}),
            "command line: model.num_heads: heads of 3 values; rotary embedding needs an even "
            "number");
  EXPECT_EQ(error_of(kGood, {"model.family=gpt2", "model.num_kv_heads=2"}),
            "command line: model.num_kv_heads: gpt2 has as many key-value heads as heads (6)");
  EXPECT_EQ(error_of(kGood, {"model.family=gpt2", "model.tie_embeddings=false"}),
            "command line: model.tie_embeddings: must be true for gpt2, whose head is its "
            "embedding");
  EXPECT_EQ(error_of(kGood, {"data.micro_batch_tokens=255"}),
            "command line: data.micro_batch_tokens: 255 cannot hold one sequence of "
            "data.sequence_length 256");
  EXPECT_EQ(error_of(kGood, {"model.max_position_embeddings=255"}),
            "x.yaml:11: data.sequence_length: 256 is more than model.max_position_embeddings, 255");
  EXPECT_EQ(error_of(kGood, {"optimizer.betas=[0.9]"}),
            "command line: optimizer.betas: has 1 numbers instead of 2");
  EXPECT_EQ(error_of(kGood, {"model.init_from=m"}),
            "x.yaml:5: model.hidden_size: cannot be set together with model.init_from, whose "
            "shape holds");
  EXPECT_EQ(error_of("name: a\n"), "x.yaml: data.train: name at least one file to train on");
  EXPECT_EQ(error_of(kGood, {"name=../x"}).substr(0, 19), "command line: name:");
  EXPECT_EQ(error_of(kGood, {"lora.rank=8"}).substr(0, 24), "command line: lora.rank:");
  EXPECT_EQ(error_of(kGood, {"task=finetune"}).substr(0, 7), "x.yaml:");
}

TEST(Recipe, HostileYamlIsAnErrorNotACrash) {
  EXPECT_NE(error_of(std::string(100000, '[')), "");
  EXPECT_NE(error_of(std::string(100000, '{')), "");
  EXPECT_NE(error_of("a: &a [*a]\n"), "");
  EXPECT_NE(error_of("name: \"\xff\xfe\"\n"), "");
  const std::string good = kGood;
  for (size_t length = 0; length < good.size(); ++length) {
    std::string mutated = good.substr(0, length) + "\x01" + good.substr(length);
    try {
      parse_recipe(good.substr(0, length), "x.yaml");
      parse_recipe(mutated, "x.yaml");
    } catch (const Error&) {
    }
  }
}

TEST(Recipe, DocumentationListsTheTable) {
  std::string path = std::string(MILLRACE_SOURCE_DIR) + "/docs/recipes.md";
  EXPECT_NE(read_file(path).find(recipe_reference()), std::string::npos)
      << "docs/recipes.md must contain this table:\n"
      << recipe_reference();
}

}  // namespace
}  // namespace millrace
