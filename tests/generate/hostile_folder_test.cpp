// A model folder, an adapter or a .gguf file that is damaged in one place: an Error that names the
// file, or a model that answers.
#include <gtest/gtest.h>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/thread_pool.h"
#include "millrace/generate/export.h"
#include "tests/mutations.h"
#include "tests/scratch.h"
#include "tests/tiny_language_model.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

class HostileModelFolder : public testing::Test {
 protected:
  HostileModelFolder() {
    set_num_threads(1);  // threads would only wait for each other
    LanguageModel whole = tiny_language_model();
    Adapter(*whole.model, 4, 8, {}, 1).save(folder_ / "adapter", "model");
    export_folder(whole, folder_ / "model", DType::f32);
    export_gguf(whole, folder_ / "model.gguf", quantization_from_name("Q8_0"));
  }

  ~HostileModelFolder() override { set_num_threads(threads_before_); }

  /// Opens all and has it answer; true when that works.
  bool answers(const char* name = "model") const {
    try {
      LanguageModel model = open_language_model(folder_ / name, folder_ / "adapter");
      GenerationOptions options;
      options.max_tokens = 2;
      Json message = {{"role", "user"}, {"content", "hello"}};
      generate(model, chat_prompt(model, Json::array({message})), options);
      return true;
    } catch (const Error& error) {
      const std::string text = error.what();
      const std::string where = folder_.path().string();
      // What cannot run, though the files are sound, has no file to name.
      const bool about_request = text.starts_with("the prompt ") || text.starts_with("the model's");
      EXPECT_TRUE(text.starts_with(where) || about_request) << text;
      EXPECT_LT(text.size(), 1000u) << text;
      return false;
    }
  }

  /// Truncates and mutates a JSON file of the folders; gives how often it was refused.
  int refused(const char* name) const {
    const std::string whole = read_file(folder_ / name);
    const Json json = parse_json(whole, name);
    int count = 0;
    for (uint64_t seed = 0; seed < 300 && !HasFailure(); ++seed) {
      Random random(seed);
      SCOPED_TRACE(fmt::format("{} mutated with seed {}", name, seed));
      folder_.write(name,
                    seed % 2 == 0 ? mutate_values(json, random) : mutate_bytes(whole, random));
      count += answers() ? 0 : 1;
    }
    const size_t end = whole.find_last_of('}');
    for (size_t size = 0; size <= end && !HasFailure(); size += 1 + end / 100) {
      folder_.write(name, whole.substr(0, size));
      EXPECT_FALSE(answers()) << name << " of " << size << " bytes";
    }
    folder_.write(name, whole);
    return count;
  }

  const ScratchFolder folder_;
  const int threads_before_ = num_threads();
};

TEST_F(HostileModelFolder, IsRefusedOrAnswers) {
  ASSERT_TRUE(answers());
  EXPECT_GT(refused("model/config.json"), 100);
  EXPECT_GT(refused("model/generation_config.json"), 50);
  EXPECT_GT(refused("model/tokenizer_config.json"), 50);
  EXPECT_GT(refused("adapter/adapter_config.json"), 50);
  EXPECT_TRUE(answers());
}

TEST_F(HostileModelFolder, RopeIsNoWiderThanAHead) {
  auto model = load_model(folder_ / "model");
  for (uint32_t dimensions : {18u, 4096u, 0xfffffffeu}) {
    GgufMetadata wide;
    wide.set("llama.rope.dimension_count", dimensions);
    save_gguf(*model, folder_ / "wide.gguf", quantization_from_name("F32"), wide);
    try {
      load_model(folder_ / "wide.gguf");
      ADD_FAILURE() << "heads of 16 and rope over " << dimensions;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("rope.dimension_count"), std::string::npos)
          << error.what();
    }
  }
}

/// The readers of formats are held to more in tests/formats; here the model, the tokenizer and the
/// template are made of what they read.
TEST_F(HostileModelFolder, WeightsAndMetadataAreRefusedOrAnswer) {
  for (const auto& [model, file] :
       {std::pair("model.gguf", "model.gguf"), std::pair("model", "model/model.safetensors")}) {
    const std::string whole = read_file(folder_ / file);
    ASSERT_TRUE(answers(model));
    int refused = 0;
    const size_t head = std::min<size_t>(whole.size(), 8000);  // what says what the rest is
    for (uint64_t seed = 0; seed < 800 && !HasFailure(); ++seed) {
      Random random(seed);
      SCOPED_TRACE(fmt::format("{} mutated with seed {}", file, seed));
      folder_.write(file, mutate_binary(whole.substr(0, head), random) + whole.substr(head));
      refused += answers(model) ? 0 : 1;
    }
    EXPECT_GT(refused, 100) << file;
    folder_.write(file, whole);
  }
}

}  // namespace
}  // namespace millrace
