// A real encoder, all-MiniLM-L6-v2, against transformers' vectors
// (tools/make_embedding_goldens.py). tools/fetch-models fetches the model.
#include "millrace/generate/embedding.h"

#include <gtest/gtest.h>

#include "tests/real/models.h"

namespace millrace {
namespace {

TEST(MiniLM, VectorsEqualTransformers) {
  const std::filesystem::path folder = models_folder() / "all-MiniLM-L6-v2";
  if (!std::filesystem::exists(folder)) {
    GTEST_SKIP() << folder << " is not there; run tools/fetch-models";
  }
  const LanguageModel model = open_language_model(folder);
  EXPECT_EQ(most_tokens(model), 256);
  const Json golden =
      read_json(std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/real/minilm.json");
  std::vector<std::vector<int32_t>> texts;
  for (const Json& one : golden.at("texts")) {
    texts.push_back(embedding_ids(model, "", one.at("text").get<std::string>()));
    EXPECT_EQ(texts.back(), one.at("ids").get<std::vector<int32_t>>()) << one.at("text");
  }
  const auto vectors = embed_all(model, texts);
  for (size_t i = 0; i < texts.size(); ++i) {
    const auto expected = golden.at("texts")[i].at("embedding").get<std::vector<float>>();
    ASSERT_EQ(vectors[i].size(), expected.size());
    EXPECT_GE(cosine(vectors[i], expected), 0.99999f) << golden.at("texts")[i].at("text");
    for (size_t d = 0; d < expected.size(); ++d) EXPECT_NEAR(vectors[i][d], expected[d], 1e-5);
  }
}

}  // namespace
}  // namespace millrace
