// A conversation with a model, turn by turn.
#include "millrace/generate/language_model.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace millrace
