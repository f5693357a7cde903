// A model that Millrace trained, in its folder and in the GGUF that Millrace writes of it, says
// what transformers and llama.cpp make of the two (tools/make_export_goldens.py).
#include "millrace/generate/export.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "millrace/base/file.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

using Ids = std::vector<int32_t>;

const fs::path kExport = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/export";

/// Steps at which the reference's two best logits are this near may go either way.
constexpr float kNearTie = 0.05f;

class Export : public testing::Test {
 protected:
  /// The model's GGUF; in f32, where no activation is rounded.
  fs::path write_gguf() const {
    export_gguf(open_language_model(kExport / "model"), scratch_ / "model.gguf",
                quantization_from_name("F32"));
    return scratch_ / "model.gguf";
  }

  const ScratchFolder scratch_;
  const Json golden_ = read_json(kExport / "continuations.json");
};

LanguageModel open_plain(const fs::path& path) {
  LoadOptions options;
  options.dtype = DType::f32;
  return open_language_model(path, {}, options);
}

Ids prompt_ids(const LanguageModel& model, const Json& prompt) {
  const auto text = prompt.at("text").get<std::string>();
  if (!prompt.at("chat").get<bool>()) return model.tokenizer.encode(text);
  return chat_prompt(model, Json::array({{{"role", "user"}, {"content", text}}}));
}

/// Compares greedy decoding with a reference's, up to where a near-tie parts the two.
void expect_continuation(const LanguageModel& model, const Json& reference) {
  const auto text = reference.at("text").get<std::string>();
  const Ids prompt = prompt_ids(model, reference);
  EXPECT_EQ(prompt, reference.at("ids").get<Ids>()) << text;
  const Ids expected = reference.at("greedy");
  ASSERT_GE(expected.size(), 64u);
  GenerationOptions options;
  options.max_tokens = static_cast<int64_t>(expected.size());
  options.sampling.temperature = 0;
  options.ignore_end = true;
  const Ids got = generate(model, prompt, options).ids;
  ASSERT_EQ(got.size(), expected.size());
  const auto at = static_cast<size_t>(
      std::mismatch(got.begin(), got.end(), expected.begin()).first - got.begin());
  if (at == got.size()) return;
  EXPECT_LE(reference.at("gaps")[at].get<float>(), kNearTie) << text << ": token " << at;
  EXPECT_EQ(got[at], reference.at("second")[at].get<int32_t>()) << text << ": token " << at;
}

/// The 64-bit hash of Fowler, Noll and Vo.
std::string fnv1a(std::string_view bytes) {
  uint64_t hash = 0xcbf29ce484222325;
  for (char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3;
  return fmt::format("{:016x}", hash);
}

TEST_F(Export, TheFolderSaysInMillraceWhatItSaysInTransformers) {
  const LanguageModel model = open_plain(kExport / "model");
  for (const Json& reference : golden_.at("transformers")) expect_continuation(model, reference);
}

TEST_F(Export, TheGgufSaysInMillraceWhatItSaysInLlamaCpp) {
  const LanguageModel model = open_language_model(write_gguf());
  for (const Json& reference : golden_.at("llama_cpp")) expect_continuation(model, reference);
}

TEST_F(Export, TheGgufIsTheOneThatLlamaCppOpened) {
  EXPECT_EQ(fnv1a(read_file(write_gguf())), golden_.at("gguf_fnv1a").get<std::string>())
      << "Millrace writes other bytes now; tools/make_export_goldens.py shows them to llama.cpp";
}

TEST_F(Export, AFolderWrittenAgainHoldsTheSame) {
  LanguageModel model = open_language_model(write_gguf());
  model.model->set_dtype(DType::bf16);
  export_folder(model, scratch_ / "again", DType::bf16);
  for (const char* name : {"model.safetensors", "config.json", "generation_config.json"}) {
    EXPECT_EQ(read_file(scratch_ / "again" / name), read_file(kExport / "model" / name)) << name;
  }
}

}  // namespace
}  // namespace millrace
