// A real model, SmolLM2-135M-Instruct in Q4_1, against what llama.cpp makes of it
// (tools/make_smollm2_goldens.py). tools/fetch-models fetches the model.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "millrace/base/file.h"
#include "millrace/evaluate/perplexity.h"
#include "millrace/generate/language_model.h"
#include "tests/real/models.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

using Ids = std::vector<int32_t>;

const fs::path kFile = smollm2_file();
const fs::path kGoldens = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/real";

/// Steps at which llama.cpp's two best logits are this near may go either way.
constexpr float kNearTie = 0.05f;

/// A prompt and llama.cpp's greedy tokens after it.
struct Continuation {
  std::string text;
  bool chat = false;
  Ids ids;     // of the prompt
  Ids greedy;  // of the answer
  Ids second;  // the runner-up of each step
  Json gaps;   // how far its logit lies below
  bool near_tie(size_t step) const { return gaps[step].get<float>() <= kNearTie; }
};

Continuation continuation(const Json& json) {
  return {json.at("text"),   json.at("chat"),   json.at("ids"),
          json.at("greedy"), json.at("second"), json.at("gaps")};
}

class SmolLM2 : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    if (!fs::exists(kFile)) return;
    model_ = std::make_unique<LanguageModel>(open_language_model(kFile));
    golden_ = read_json(kGoldens / "smollm2.json");
  }
  static void TearDownTestSuite() { model_.reset(); }
  void SetUp() override {
    if (model_ == nullptr) GTEST_SKIP() << kFile << " is not there; run tools/fetch-models";
  }

  /// Of a kind, "firm" or "open": the tool that makes the goldens says what they are.
  static std::vector<Continuation> continuations(const char* kind) {
    std::vector<Continuation> all;
    for (const Json& one : golden_.at(kind)) all.push_back(continuation(one));
    return all;
  }
  static Ids english() {
    return model_->tokenizer.encode(read_file(kGoldens / "english.txt"),
                                    {.add_special = true, .parse_special = false});
  }
  static GenerationOptions greedy(size_t tokens) {
    GenerationOptions options;
    options.max_tokens = static_cast<int64_t>(tokens);
    options.sampling.temperature = 0;
    options.ignore_end = true;
    return options;
  }

  static inline std::unique_ptr<LanguageModel> model_;
  static inline Json golden_;
};

TEST_F(SmolLM2, IsWhatItsFileSays) {
  const ModelConfig& config = model_->model->config();
  EXPECT_EQ(config.model_type, "llama");
  EXPECT_EQ(config.num_layers, 30);
  EXPECT_EQ(config.hidden_size, 576);
  EXPECT_EQ(config.intermediate_size, 1536);
  EXPECT_EQ(config.num_heads, 9);
  EXPECT_EQ(config.num_kv_heads, 3);
  EXPECT_EQ(config.vocab_size, 49152);
  EXPECT_EQ(config.max_position_embeddings, 8192);
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(model_->model->num_parameters(), 134515008);
  EXPECT_EQ(model_->tokenizer.vocab_size(), 49152);
  EXPECT_TRUE(model_->tokenizer.is_end(model_->tokenizer.token_id("<|im_end|>")));
}

TEST_F(SmolLM2, TakesLittleMoreMemoryThanItsFile) {
  const auto file = static_cast<double>(fs::file_size(kFile));
  EXPECT_LE(static_cast<double>(model_->model->resident_bytes()), 1.1 * file);
}

TEST_F(SmolLM2, TokenizesAsLlamaCpp) {
  for (const Json& golden : golden_.at("texts")) {
    const auto text = golden.at("text").get<std::string>();
    EXPECT_EQ(model_->tokenizer.encode(text), golden.at("special").get<Ids>()) << text;
    EXPECT_EQ(model_->tokenizer.encode(text, {.add_special = true, .parse_special = false}),
              golden.at("plain").get<Ids>())
        << text;
  }
  EXPECT_EQ(english().size(), golden_.at("english").at("text_tokens").get<size_t>());
  for (const char* kind : {"firm", "open"}) {
    for (const Continuation& c : continuations(kind)) {
      Json message = {{"role", "user"}, {"content", c.text}};
      EXPECT_EQ(
          c.chat ? chat_prompt(*model_, Json::array({message})) : model_->tokenizer.encode(c.text),
          c.ids)
          << c.text;
    }
  }
}

/// The most likely token after each of llama.cpp's tokens (but the last), given all before it.
Ids teacher_forced(const Model& model, const Continuation& c) {
  Ids ids = c.ids;
  ids.insert(ids.end(), c.greedy.begin(), c.greedy.end() - 1);
  std::vector<int64_t> rows;
  for (size_t i = c.ids.size() - 1; i < ids.size(); ++i) rows.push_back(static_cast<int64_t>(i));
  RaggedBatch batch;
  batch.add_sequence(ids);
  Workspace workspace;
  EvaluatingContext context(batch, model.cache_dtype(), workspace);
  Value out = logits(context, model, rows);
  Ids best;
  for (int64_t i = 0; i < out.rows(); ++i) {
    auto row = out.data.f32().begin() + i * out.width();
    best.push_back(static_cast<int32_t>(std::max_element(row, row + out.width()) - row));
  }
  return best;
}

TEST_F(SmolLM2, ContinuesAsLlamaCppButForNearTies) {
  for (const Continuation& c : continuations("firm")) {
    ASSERT_GE(c.greedy.size(), 64u);
    Ids best = teacher_forced(*model_->model, c);
    ASSERT_EQ(best.size(), c.greedy.size());
    for (size_t i = 0; i < best.size(); ++i) {
      if (best[i] == c.greedy[i]) continue;
      EXPECT_TRUE(c.near_tie(i) && best[i] == c.second[i])
          << c.text << ": token " << i << " is " << best[i] << ", not " << c.greedy[i]
          << ", which is ahead by " << c.gaps[i];
    }
    // Left to itself it goes the same way, up to where a near-tie parts the two.
    Ids own = generate(*model_, c.ids, greedy(c.greedy.size())).ids;
    ASSERT_EQ(own.size(), c.greedy.size());
    auto parted = static_cast<size_t>(
        std::mismatch(own.begin(), own.end(), c.greedy.begin()).first - own.begin());
    if (parted < own.size()) {
      EXPECT_EQ(own[parted], best[parted]) << c.text;
    }
  }
}

// Where many tokens would do, rounding of activations decides; llama.cpp with flash attention and
// without it are two implementations as well.
TEST_F(SmolLM2, IsAboutAsNearToLlamaCppAsLlamaCppIsToItself) {
  int differences = 0;
  for (const Continuation& c : continuations("open")) {
    Ids best = teacher_forced(*model_->model, c);
    ASSERT_EQ(best.size(), c.greedy.size());
    for (size_t i = 0; i < best.size(); ++i) differences += best[i] != c.greedy[i];
  }
  EXPECT_LE(differences, 2 * golden_.at("open_disagreements").get<int>());
}

TEST_F(SmolLM2, FindsATextAsLikelyAsLlamaCppDoes) {
  const Json& golden = golden_.at("english");
  const auto expected = golden.at("window_nll").get<std::vector<double>>();
  const auto context = golden.at("context").get<size_t>();
  const size_t windows = 8;  // the others would only take longer
  ASSERT_GE(expected.size(), windows);
  Ids ids = english();
  ids.resize(windows * context);
  PerplexityOptions options;
  options.context = static_cast<int64_t>(context);
  Perplexity got = perplexity(*model_->model, ids, options);
  EXPECT_EQ(got.tokens, static_cast<int64_t>(windows * (context / 2 - 1)));
  double nll = 0;
  for (size_t i = 0; i < windows; ++i) nll += expected[i] / static_cast<double>(windows);
  EXPECT_NEAR(got.perplexity() / std::exp(nll), 1.0, 0.005);
}

TEST_F(SmolLM2, AnswersTheSameBitsInAnyCompany) {
  std::vector<Ids> prompts;
  for (const Continuation& c : continuations("open")) prompts.push_back(c.ids);
  const GenerationOptions options = greedy(24);
  const std::vector<Generation> together =
      generate_all(*model_, prompts, std::vector<GenerationOptions>(prompts.size(), options));
  for (size_t i = 0; i < prompts.size(); ++i) {
    Generation alone = generate(*model_, prompts[i], options);
    EXPECT_EQ(together[i].ids, alone.ids);
    EXPECT_EQ(together[i].log_probabilities, alone.log_probabilities);
  }
}

/// Log-probabilities of an answer to a prompt that is cut into chunks.
std::vector<float> chunked(const LanguageModel& model, const Ids& prompt, int64_t chunk) {
  std::vector<float> result;
  SequenceRequest request;
  request.prompt = prompt;
  request.max_tokens = 4;
  request.sampling.temperature = 0;
  request.on_token = [&](const GeneratedToken& token) {
    result.push_back(token.log_probability);
    return true;
  };
  Scheduler scheduler(*model.model, {.max_positions = 1024, .tokens_per_batch = chunk});
  scheduler.submit(std::move(request));
  scheduler.run();
  return result;
}

TEST_F(SmolLM2, AnswersTheSameBitsHoweverAPromptIsCut) {
  Ids prompt = english();
  prompt.resize(500);
  const std::vector<float> whole = chunked(*model_, prompt, 512);
  ASSERT_EQ(whole.size(), 4u);
  EXPECT_EQ(chunked(*model_, prompt, 64), whole);
  EXPECT_EQ(chunked(*model_, prompt, 17), whole);
}

}  // namespace
}  // namespace millrace
