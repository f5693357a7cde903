// Embeddings and reranking of a tiny encoder: what is pooled, what settings say, what pairs are.
#include "millrace/generate/embedding.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "millrace/base/error.h"
#include "millrace/generate/export.h"
#include "millrace/generate/rerank.h"
#include "tests/scratch.h"
#include "tests/tiny_encoder.h"

namespace millrace {
namespace {

using Ids = std::vector<int32_t>;

constexpr int32_t kBegin = kImStart, kEnd = kImEnd;

/// Final hidden states of a text.
Tensor states(const LanguageModel& model, const Ids& ids) {
  RaggedBatch batch;
  batch.add_sequence(ids);
  Workspace workspace;
  EvaluatingContext context(batch, model.model->cache_dtype(), workspace);
  return model.model->family().forward(context, *model.model).data.clone();
}

std::vector<float> embedded(const LanguageModel& model, const Ids& ids) {
  return embed_all(model, std::vector<Ids>{ids}).front();
}

TEST(Embedding, IsWhatThePoolingSays) {
  LanguageModel model = tiny_encoder();
  model.embedding.normalise = false;
  const Ids ids = embedding_ids(model, "", "water");
  EXPECT_EQ(ids, (Ids{kBegin, 'w', 'a', 't', 'e', 'r', kEnd}));
  const Tensor all = states(model, ids);
  const auto at = [&](size_t row, size_t i) { return all.f32()[row * 32 + i]; };
  for (size_t i = 0; i < 32; ++i) {
    model.embedding.pooling = Pooling::first_token;
    EXPECT_EQ(embedded(model, ids)[i], at(0, i));
    model.embedding.pooling = Pooling::last_token;
    EXPECT_EQ(embedded(model, ids)[i], at(6, i));
    double sum = 0;
    float greatest = -INFINITY;
    for (size_t row = 0; row < 7; ++row) {
      sum += static_cast<double>(at(row, i));
      greatest = std::max(greatest, at(row, i));
    }
    model.embedding.pooling = Pooling::max;
    EXPECT_EQ(embedded(model, ids)[i], greatest);
    model.embedding.pooling = Pooling::mean;
    EXPECT_NEAR(embedded(model, ids)[i], sum / 7, 1e-6);
  }
  std::vector<float> plain = embedded(model, ids);
  model.embedding.normalise = true;
  EXPECT_NEAR(cosine(embedded(model, ids), plain), 1, 1e-6);
  double length = 0;
  for (float x : embedded(model, ids)) length += static_cast<double>(x) * static_cast<double>(x);
  EXPECT_NEAR(length, 1, 1e-6);
}

TEST(Embedding, DoesNotDependOnOtherTexts) {
  const LanguageModel model = tiny_encoder();
  std::vector<Ids> texts;
  for (int i = 0; i < 200; ++i) {
    texts.push_back(embedding_ids(model, "", std::string(static_cast<size_t>(i * 37 % 90), 'a')));
  }
  std::vector<int64_t> done;
  const auto together = embed_all(model, texts, [&](int64_t n) { done.push_back(n); });
  EXPECT_GT(done.size(), 1u);
  EXPECT_TRUE(std::is_sorted(done.begin(), done.end()));
  EXPECT_EQ(done.back(), 200);
  for (size_t i = 0; i < texts.size(); i += 9) EXPECT_EQ(embedded(model, texts[i]), together[i]);
}

TEST(Embedding, CutsLongTextsAndKeepsTheirEnd) {
  LanguageModel model = tiny_encoder();
  EXPECT_EQ(most_tokens(model), 128);
  EXPECT_EQ(embedding_ids(model, "", std::string(500, 'x')).size(), 128u);
  model.embedding.max_tokens = 6;
  EXPECT_EQ(embedding_ids(model, "q: ", "water"), (Ids{kBegin, 'q', ':', ' ', 'w', kEnd}));
  EXPECT_THROW(embed_all(model, std::vector<Ids>{{1}, {}}), Error);
}

TEST(Embedding, AnEncoderContinuesNoText) {
  const LanguageModel model = tiny_encoder();
  EXPECT_THROW(generate(model, {1, 2, 3}, {}), Error);
}

constexpr const char* kModules = R"([
  {"idx": 0, "path": "", "type": "sentence_transformers.models.Transformer"},
  {"idx": 1, "path": "pool", "type": "sentence_transformers.models.Pooling"}])";

TEST(EmbeddingSettings, AreWhatTheFilesSay) {
  const ScratchFolder folder;
  EmbeddingSettings settings = load_embedding_settings(folder.path());
  EXPECT_EQ(settings.pooling, Pooling::mean);
  EXPECT_TRUE(settings.normalise);
  std::filesystem::create_directory(folder / "pool");
  folder.write("modules.json", kModules);
  folder.write("pool/config.json",
               R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  folder.write("sentence_bert_config.json", R"({"max_seq_length": 77})");
  folder.write("config_sentence_transformers.json",
               R"({"prompts": {"query": "Q: ", "passage": ""}, "default_prompt_name": "query"})");
  folder.write("config.json",
               R"({"sentence_transformers": {"activation_fn": "torch.nn.Identity"}})");
  settings = load_embedding_settings(folder.path());
  EXPECT_EQ(settings.pooling, Pooling::first_token);
  EXPECT_FALSE(settings.normalise);
  EXPECT_EQ(settings.max_tokens, 77);
  EXPECT_EQ(settings.default_prompt, "query");
  EXPECT_EQ(settings.prompt("query"), "Q: ");
  EXPECT_THROW(settings.prompt("other"), Error);
  EXPECT_FALSE(settings.sigmoid_scores);
  folder.write("pool/config.json", R"({"pooling_mode": "lasttoken"})");
  EXPECT_EQ(load_embedding_settings(folder.path()).pooling, Pooling::last_token);
}

TEST(EmbeddingSettings, AreKeptByFoldersAndGgufFiles) {
  LanguageModel model = tiny_encoder();
  model.embedding = {.pooling = Pooling::last_token,
                     .normalise = false,
                     .max_tokens = 50,
                     .prompts = {{"query", "Q: "}},
                     .default_prompt = "query",
                     .sigmoid_scores = false};
  const ScratchFolder folder;
  export_folder(model, folder / "model", DType::f32);
  const LanguageModel read = open_language_model(folder / "model");
  EXPECT_EQ(read.embedding, model.embedding);
  const Ids ids = embedding_ids(model, "Q: ", "water");
  EXPECT_EQ(embedding_ids(read, "Q: ", "water"), ids);
  EXPECT_EQ(embedded(read, ids), embedded(model, ids));
  export_gguf(model, folder / "model.gguf", quantization_from_name("f32"));
  EXPECT_EQ(load_embedding_settings(folder / "model.gguf").pooling, Pooling::last_token);
}

TEST(EmbeddingSettings, RefuseWhatIsNotSupported) {
  for (const auto& [name, text] :
       {std::pair("modules.json", R"({})"), std::pair("modules.json", R"([7])"),
        std::pair("modules.json", R"([{"type": "sentence_transformers.models.Dense"}])"),
        std::pair("modules.json", R"([{"type": "Pooling", "path": "../elsewhere"}])"),
        std::pair("modules.json", R"([{"type": "Pooling", "path": "/etc"}])"),
        std::pair("pool/config.json", R"({"pooling_mode_mean_sqrt_len_tokens": true})"),
        std::pair("pool/config.json",
                  R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true})"),
        std::pair("pool/config.json", R"({"include_prompt": false})"),
        std::pair("sentence_bert_config.json", R"({"max_seq_length": -1})"),
        std::pair("config_sentence_transformers.json", R"({"prompts": {"query": 7}})"),
        std::pair("config_sentence_transformers.json", R"({"default_prompt_name": "none"})"),
        std::pair("config.json", R"({"sbert_ce_default_activation_function": "torch.nn.ReLU"})")}) {
    const ScratchFolder folder;
    std::filesystem::create_directory(folder / "pool");
    folder.write("modules.json", kModules);
    folder.write("pool/config.json", "{}");
    EXPECT_NO_THROW(load_embedding_settings(folder.path()));
    folder.write(name, text);
    EXPECT_THROW(load_embedding_settings(folder.path()), Error) << name << " " << text;
  }
}

TEST(Rerank, PairsAreCutTheLongerFirst) {
  LanguageModel model = tiny_encoder({"relevant"});
  TextPair pair = encode_pair(model, "ab", "xyz");
  EXPECT_EQ(pair.ids, (Ids{kBegin, 'a', 'b', kEnd, 'x', 'y', 'z', kEnd}));
  EXPECT_EQ(pair.types, (Ids{0, 0, 0, 0, 1, 1, 1, 1}));
  model.embedding.max_tokens = 9;  // six of them for the texts
  EXPECT_EQ(encode_pair(model, "ab", "uvwxyz").ids,
            (Ids{kBegin, 'a', 'b', kEnd, 'u', 'v', 'w', 'x', kEnd}));
  EXPECT_EQ(encode_pair(model, "abcde", "z").ids,
            (Ids{kBegin, 'a', 'b', 'c', 'd', 'e', kEnd, 'z', kEnd}));
  EXPECT_EQ(encode_pair(model, "abcde", "uvwxyz").ids,
            (Ids{kBegin, 'a', 'b', 'c', kEnd, 'u', 'v', 'w', kEnd}));
  const LanguageModel untyped = tiny_encoder({"relevant"}, 1);
  pair = encode_pair(untyped, "a", "x");
  EXPECT_EQ(pair.ids, (Ids{kBegin, 'a', kEnd, kEnd, 'x', kEnd}));
  EXPECT_EQ(pair.types, (Ids{0, 0, 0, 0, 0, 0}));
}

TEST(Rerank, ScoresAreLogitsOrTheirProbabilities) {
  LanguageModel model = tiny_encoder({"relevant"});
  const std::vector<std::string> documents = {"fire", "water", std::string(60, 'a'), "air"};
  const std::vector<float> scores = rerank(model, "water", documents);
  model.embedding.sigmoid_scores = false;
  const std::vector<float> scored = rerank(model, "water", documents);
  for (size_t i = 0; i < documents.size(); ++i) {
    EXPECT_NEAR(scores[i], 1 / (1 + std::exp(-scored[i])), 1e-6);
    EXPECT_EQ(rerank(model, "water", std::span(&documents[i], 1)).front(), scored[i]);
  }
  EXPECT_NE(scored[0], scored[1]);
  const std::vector<size_t> order = ranking(scores);
  EXPECT_GE(scores[order[0]], scores[order[1]]);
  EXPECT_GE(scores[order[2]], scores[order[3]]);
  EXPECT_EQ(ranking(std::vector<float>{1, 2, 1, 2}), (std::vector<size_t>{1, 3, 0, 2}));
  Workspace workspace;
  const LanguageModel classifier = tiny_encoder({"a", "b"});
  EXPECT_THROW(
      score_pairs(classifier, std::vector<TextPair>{encode_pair(classifier, "a", "b")}, workspace),
      Error);
}

TEST(Rerank, WithoutACrossEncoderItIsTheCosineOfEmbeddings) {
  const std::vector<std::string> documents = {"fire", "water"};
  for (const std::vector<std::string>& labels : {std::vector<std::string>(), {"no", "yes"}}) {
    const std::vector<float> scores = rerank(tiny_encoder(labels), "water", documents);
    EXPECT_NEAR(scores[1], 1, 1e-6);
    EXPECT_LT(scores[0], 0.9999f);
  }
}

}  // namespace
}  // namespace millrace
