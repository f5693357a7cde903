// A conversation with a model, turn by turn.
#include "millrace/generate/language_model.h"

#include <gtest/gtest.h>

#include "millrace/base/error.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/text/blank_tokens.h"
#include "tests/tiny_language_model.h"

namespace millrace {
namespace {

TEST(Conversation, ReadsOfTheNextTurnOnlyWhatIsNewAndSaysTheSame) {
  const LanguageModel model = tiny_language_model(byte_tokenizer(), "", 4096);
  Scheduler scheduler(*model.model, {.max_sequences = 1});
  GenerationOptions options;
  options.max_tokens = 100;
  options.ignore_end = true;
  Json messages = Json::array();
  for (int turn = 0; turn < 3; ++turn) {
    messages.push_back({{"role", "user"}, {"content", std::string(200, 'q')}});
    const std::vector<int32_t> prompt = chat_prompt(model, messages);
    const Generation alone = generate(model, prompt, options);
    const Generation answer = generate(model, scheduler, prompt, options);
    EXPECT_EQ(answer.ids, alone.ids);
    EXPECT_EQ(answer.log_probabilities, alone.log_probabilities);
    EXPECT_EQ(alone.cached_prompt_tokens, 0);
    EXPECT_GE(answer.cached_prompt_tokens, 190 * turn) << "turn " << turn;
    EXPECT_LT(answer.cached_prompt_tokens, answer.prompt_tokens);
    messages.push_back({{"role", "assistant"}, {"content", answer.text}});
    ++options.sampling.seed;
  }
}

/// A model that fills blanks, whose tokenizer has the tokens for them.
LanguageModel blank_model(bool with_masks) {
  std::vector<std::string> special = {"<|endoftext|>"};
  if (with_masks) special.insert(special.end(), kBlankNames.begin(), kBlankNames.end());
  Tokenizer tokenizer = byte_tokenizer(special);
  ModelConfig config = tiny_language_config(tokenizer, 128);
  config.model_type = "glm_blank";
  config.norm = NormKind::layer;
  config.activation = Activation::gelu;
  config.rope.rotary_dim = 0;
  config.fills_blanks = config.tie_word_embeddings = true;
  return make_language_model(initialized_model(std::move(config), 1), std::move(tokenizer), "",
                             "test");
}

TEST(Blanks, AreFoundInAPromptOrPutAtItsEnd) {
  const LanguageModel model = blank_model(true);
  constexpr int32_t kEnd = 256, kMask = 257, kDocumentMask = 259, kStart = 260;
  struct Case {
    std::vector<int32_t> prompt, expected;
    int64_t prefix, blank;
  };
  for (const Case& c : {Case{{65, 66}, {65, 66, kDocumentMask, kStart}, 3, 2},
                        Case{{65, kEnd}, {65, kDocumentMask, kEnd, kStart}, 3, 1},
                        Case{{65, kMask, 66, kMask}, {65, kMask, 66, kMask, kStart}, 4, 1},
                        Case{{kDocumentMask, kStart, 67}, {kDocumentMask, kStart, 67}, 1, 0},
                        Case{{kStart, 67, kMask}, {kDocumentMask, kStart, 67, kMask}, 1, 0}}) {
    SequenceRequest request;
    request.prompt = c.prompt;
    begin_prompt(model, request);
    EXPECT_EQ(request.prompt, c.expected);
    EXPECT_EQ(request.prefix, c.prefix);
    EXPECT_EQ(request.blank, c.blank);
  }
  EXPECT_EQ(model.end_ids(), (std::vector<int32_t>{kEnd, kImEnd, 261}));
  EXPECT_EQ(model.chat_template_source, built_in_template("plain"));
  GenerationOptions options;
  options.max_tokens = 9;
  options.ignore_end = true;
  EXPECT_EQ(generate(model, {65, 66}, options).ids.size(), 9u);
}

TEST(Blanks, NeedATokenizerThatHasThem) {
  const LanguageModel model = blank_model(false);
  EXPECT_THROW(generate(model, {65, 66}, {}), Error);
}

TEST(PrefixLm, SeesItsPromptBothWays) {
  Tokenizer tokenizer = byte_tokenizer();
  ModelConfig config = tiny_language_config(tokenizer, 128);
  config.num_layers = 2;  // what the first makes of a token is what the second sees of it
  LanguageModel model =
      make_language_model(initialized_model(config, 1), std::move(tokenizer), "", "test");
  GenerationOptions options;
  options.max_tokens = 5;
  options.ignore_end = true;
  options.sampling.temperature = 0;
  const std::vector<int32_t> prompt = {72, 101, 108, 108, 111};
  const Generation causal = generate(model, prompt, options);
  model.model->set_prefix_lm(true);
  const Generation both_ways = generate(model, prompt, options);
  EXPECT_NE(both_ways.log_probabilities, causal.log_probabilities);

  RaggedBatch batch;  // the first token of the answer, by the same pass as in training
  batch.add_sequence(prompt, 0, {}, 5);
  Workspace workspace;
  EvaluatingContext context(batch, model.model->cache_dtype(), workspace);
  const Value last = logits(context, *model.model, std::vector<int64_t>{4});
  const std::span<const float> row = last.data.f32();
  EXPECT_EQ(std::max_element(row.begin(), row.end()) - row.begin(), both_ways.ids.front());
}

}  // namespace
}  // namespace millrace
