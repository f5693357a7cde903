// Damaged and hostile config.json files: each is an Error that names the file and the field, or a
// configuration; never a crash, a hang or memory out of proportion to the file.
#include <gtest/gtest.h>

#include <cstring>
#include <map>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/model/load.h"
#include "tests/allocation_count.h"
#include "tests/mutations.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// Llama with three kinds of rope scaling, and GPT-2: the fuzz target's seeds.
std::map<std::string, std::string> configs() {
  std::map<std::string, std::string> found;
  for (const auto& file :
       fs::directory_iterator(fs::path(MILLRACE_SOURCE_DIR) / "fuzz/corpus/config_json")) {
    found[file.path().stem().string()] = read_file(file.path());
  }
  return found;
}

/// What is wrong with a config.json; "" when nothing is. One that is accepted is the same when
/// written and read again.
std::string fault(const std::string& text) {
  const std::string source = "some/config.json";
  const size_t before = allocated_bytes();
  std::string message;
  try {
    ModelConfig config = parse_config(text, source);
    const Family& family = family_of_model_type(config.model_type, source);
    if (config.num_layers <= 16) Model model(family, config);
    const Json written = family.write_config(config);
    EXPECT_EQ(family.write_config(parse_config(to_json_text(written), "written")), written);
  } catch (const Error& error) {
    message = error.what();
    EXPECT_TRUE(message.starts_with(source + ": ")) << message;
    EXPECT_LT(message.size(), 1000u) << message;
  }
  EXPECT_LT(allocated_bytes() - before, 1'000'000 + 100 * text.size()) << message;
  return message;
}

TEST(HostileConfigs, EveryTruncationIsRefused) {
  ASSERT_EQ(configs().size(), 4u);
  for (const auto& [name, whole] : configs()) {
    ASSERT_EQ(fault(whole), "") << name;
    for (size_t size = 0; size <= whole.find_last_of('}'); ++size) {
      ASSERT_NE(fault(whole.substr(0, size)), "") << name << " of " << size << " bytes";
    }
  }
}

TEST(HostileConfigs, RandomMutationsAreRefusedOrValid) {
  for (const auto& [name, whole] : configs()) {
    const Json json = parse_json(whole, name);
    int refused = 0;
    constexpr int kRounds = 3000;
    for (uint64_t seed = 0; seed < kRounds; ++seed) {
      Random random(seed);
      SCOPED_TRACE(fmt::format("{} mutated with seed {}", name, seed));
      refused += fault(mutate_bytes(whole, random)).empty() ? 0 : 1;
      refused += fault(mutate_values(json, random)).empty() ? 0 : 1;
      if (HasFailure()) return;
    }
    EXPECT_GT(refused, kRounds / 2) << name;
    EXPECT_LT(refused, 2 * kRounds) << name;
  }
}

/// A field of some configuration with a value that cannot be, and the field that the error names.
struct BadField {
  const char* config;
  const char* pointer;
  Json value;
  const char* named;
};

TEST(HostileConfigs, ErrorsNameTheField) {
  const std::map<std::string, std::string> all = configs();
  const BadField bad[] = {
      {"llama3", "/model_type", nullptr, "model_type"},
      {"llama3", "/model_type", "mamba", "model_type"},
      {"llama3", "/model_type", std::string(5000, 'x'), "model_type"},
      {"llama3", "/vocab_size", "96", "vocab_size"},
      {"llama3", "/vocab_size", 0, "vocab_size"},
      {"llama3", "/vocab_size", UINT64_MAX, "vocab_size"},
      {"llama3", "/hidden_size", -48, "hidden_size"},
      {"llama3", "/hidden_size", 1e3, "hidden_size"},
      {"llama3", "/num_hidden_layers", 1 << 20, "num_hidden_layers"},
      {"llama3", "/num_attention_heads", 0, "num_attention_heads"},
      {"llama3", "/num_attention_heads", 5, "num_attention_heads"},
      {"llama3", "/num_key_value_heads", 4, "num_key_value_heads"},
      {"llama3", "/num_key_value_heads", 0, "num_key_value_heads"},
      {"llama3", "/head_dim", INT64_MAX, "head_dim"},
      {"llama3", "/head_dim", 15, "rotary dimension"},
      {"llama3", "/intermediate_size", nullptr, "intermediate_size"},
      {"llama3", "/max_position_embeddings", INT64_MIN, "max_position_embeddings"},
      {"llama3", "/hidden_act", "swish9", "hidden_act"},
      {"llama3", "/rms_norm_eps", -1, "epsilon"},
      {"llama3", "/rms_norm_eps", 1e300, "rms_norm_eps"},
      {"llama3", "/tie_word_embeddings", 1, "tie_word_embeddings"},
      {"llama3", "/dtype", "int4", "dtype"},
      {"llama3", "/eos_token_id", Json::array({2, "x"}), "eos_token_id"},
      {"llama3", "/rope_parameters", 3, "rope_parameters"},
      {"llama3", "/rope_parameters/rope_type", "spiral", "rope_type"},
      {"llama3", "/rope_parameters/rope_theta", 0, "rope_theta"},
      {"llama3", "/rope_parameters/rope_theta", 1e300, "rope_theta"},
      {"llama3", "/rope_parameters/factor", -8, "rope factor"},
      {"llama3", "/rope_parameters/low_freq_factor", 4, "low_freq_factor"},
      {"llama3", "/rope_parameters/original_max_position_embeddings", -1,
       "original_max_position_embeddings"},
      {"yarn", "/rope_parameters/attention_factor", 1e300, "attention_factor"},
      {"yarn", "/rope_parameters/original_max_position_embeddings", 0,
       "original_max_position_embeddings"},
      {"longrope", "/rope_scaling/short_factor", Json::array({1, 2}), "short_factor"},
      {"longrope", "/rope_scaling/short_factor/0", "1", "short_factor"},
      {"longrope", "/partial_rotary_factor", 2, "partial_rotary_factor"},
      {"gpt2", "/n_embd", nullptr, "n_embd"},
      {"gpt2", "/n_head", 7, "n_head"},
      {"gpt2", "/n_inner", -1, "intermediate_size"},
      {"gpt2", "/n_positions", "1024", "n_positions"},
      {"gpt2", "/activation_function", "sine", "activation_function"},
      {"gpt2", "/layer_norm_epsilon", 0, "epsilon"},
      {"gpt2", "/tie_word_embeddings", false, "tied embeddings"},
  };
  for (const BadField& one : bad) {
    Json json = parse_json(all.at(one.config), one.config);
    json[Json::json_pointer(one.pointer)] = one.value;
    const std::string message = fault(to_json_text(json));
    EXPECT_NE(message.find(one.named), std::string::npos)
        << one.config << one.pointer << " = " << one.value << ": " << message;
  }
}

TEST(HostileConfigs, WithWeightsTheyAreRefusedOrRun) {
  for (const char* name : {"llama-llama3", "gpt2"}) {
    const fs::path golden = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/models" / name;
    const ScratchFolder folder;
    fs::copy_file(golden / "model.safetensors", folder / "model.safetensors");
    const auto weights = fs::file_size(golden / "model.safetensors");
    const Json json = read_json(golden / "config.json");
    int run = 0;
    for (uint64_t seed = 0; seed < 400; ++seed) {
      Random random(seed);
      folder.write("config.json", mutate_values(json, random));
      SCOPED_TRACE(fmt::format("{} mutated with seed {}", name, seed));
      const size_t before = allocated_bytes();
      try {
        auto model = load_model(folder.path());
        EXPECT_LT(allocated_bytes() - before, 1'000'000 + 10 * weights);
        RaggedBatch batch;
        batch.add_sequence(std::vector<int32_t>{1, 2, 3});
        Workspace workspace;
        EvaluatingContext context(batch, model->cache_dtype(), workspace);
        const int64_t last = 2;
        logits(context, *model, std::span(&last, 1));
        ++run;
      } catch (const Error& error) {
        EXPECT_LT(allocated_bytes() - before, 1'000'000 + 10 * weights);
        EXPECT_TRUE(std::string(error.what()).starts_with(folder.path().string())) << error.what();
      }
      if (HasFailure()) return;
    }
    EXPECT_GT(run, 50);
    EXPECT_LT(run, 390);
  }
}

}  // namespace
}  // namespace millrace
