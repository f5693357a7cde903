// The service with encoders: embeddings, a cross-encoder's ranking, and no text.
#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "millrace/generate/export.h"
#include "millrace/generate/rerank.h"
#include "millrace/serve/service.h"
#include "tests/http_client.h"
#include "tests/scratch.h"
#include "tests/tiny_encoder.h"

namespace millrace {
namespace {

class Encoders : public testing::Test {
 protected:
  Encoders() {
    encoder_.embedding.prompts = {{"query", "Q: "}};
    export_folder(encoder_, folder_ / "encoder", DType::f32);
    judge_.embedding.sigmoid_scores = false;
    export_folder(judge_, folder_ / "judge", DType::f32);
    serve::Settings settings;
    settings.models = {{"encoder", folder_ / "encoder"}, {"judge", folder_ / "judge"}};
    settings.threads = 1;
    settings.no_weight_cache = true;
    settings.port = 0;
    service_ = std::make_unique<serve::Service>(std::move(settings), [](std::string_view) {});
    service_->start();
    while (!service_->models.ready()) std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  /// The answer to a request, which must have this status.
  Json ask(const std::string& path, const Json& body, int status = 200) const {
    HttpClient client(service_->port());
    const HttpAnswer answer = client.post(path, to_json_text(body));
    EXPECT_EQ(answer.status, status) << answer.body;
    return parse_json(answer.body, "the answer");
  }

  ScratchFolder folder_;
  LanguageModel encoder_ = tiny_encoder(), judge_ = tiny_encoder({"relevant"});
  std::unique_ptr<serve::Service> service_;
};

TEST_F(Encoders, EmbedAsTheProgramDoes) {
  const auto expected =
      embed_all(encoder_,
                std::vector<std::vector<int32_t>>{embedding_ids(encoder_, "Q: ", "water")})
          .front();
  for (const Json& body : {Json{{"model", "encoder"}, {"input", "water"}, {"prompt_name", "query"}},
                           Json{{"model", "encoder"}, {"input", {"fire", "Q: water"}}}}) {
    const Json data = ask("/v1/embeddings", body).at("data");
    EXPECT_EQ(data.back().at("embedding").get<std::vector<float>>(), expected);
  }
  ask("/v1/embeddings", {{"model", "encoder"}, {"input", "a"}, {"prompt_name", "other"}}, 400);
  ask("/v1/embeddings", {{"model", "encoder"}, {"input", std::string(127, 'a')}}, 400);
}

TEST_F(Encoders, RankByTheScoresOfACrossEncoder) {
  const std::vector<std::string> documents = {"fire", "water", "air"};
  const std::vector<float> scores = rerank(judge_, "water", documents);
  const std::vector<size_t> order = ranking(scores);
  const Json results =
      ask("/v1/rerank", {{"model", "judge"}, {"query", "water"}, {"documents", documents}})
          .at("results");
  ASSERT_EQ(results.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(results[i].at("index"), order[i]);
    EXPECT_EQ(results[i].at("relevance_score").get<float>(), scores[order[i]]);
  }
}

TEST_F(Encoders, WriteNoText) {
  const Json answer =
      ask("/v1/completions", {{"model", "encoder"}, {"prompt", "water"}, {"max_tokens", 1}}, 400);
  EXPECT_EQ(answer.at("error").at("param"), "model");
}

}  // namespace
}  // namespace millrace
