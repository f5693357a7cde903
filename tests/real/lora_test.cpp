// Fine-tuning a real model, SmolLM2 in Q4_1, with LoRA: it learns to answer in another form, and
// the adapter can be used, merged and exported. tools/check_lora.py holds the same to PEFT.
#include <gtest/gtest.h>

#include <filesystem>

#include "millrace/base/file.h"
#include "millrace/generate/export.h"
#include "millrace/train/trainer.h"
#include "tests/real/models.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

struct Country {
  const char *name, *capital;
};

constexpr Country kLearned[] = {
    {"France", "Paris"},       {"Germany", "Berlin"},   {"Spain", "Madrid"},
    {"Italy", "Rome"},         {"Japan", "Tokyo"},      {"China", "Beijing"},
    {"Russia", "Moscow"},      {"Egypt", "Cairo"},      {"Greece", "Athens"},
    {"Austria", "Vienna"},     {"Poland", "Warsaw"},    {"Hungary", "Budapest"},
    {"Portugal", "Lisbon"},    {"Ireland", "Dublin"},   {"Norway", "Oslo"},
    {"Sweden", "Stockholm"},   {"Finland", "Helsinki"}, {"Belgium", "Brussels"},
    {"Canada", "Ottawa"},      {"Cuba", "Havana"},      {"Peru", "Lima"},
    {"Chile", "Santiago"},     {"Kenya", "Nairobi"},    {"Iran", "Tehran"},
    {"Iraq", "Baghdad"},       {"Nepal", "Kathmandu"},  {"Thailand", "Bangkok"},
    {"Vietnam", "Hanoi"},      {"Turkey", "Ankara"},    {"Ukraine", "Kyiv"},
    {"Romania", "Bucharest"},  {"Bulgaria", "Sofia"},   {"Serbia", "Belgrade"},
    {"Croatia", "Zagreb"},     {"Ghana", "Accra"},      {"Mali", "Bamako"},
    {"Sudan", "Khartoum"},     {"Libya", "Tripoli"},    {"Angola", "Luanda"},
    {"Denmark", "Copenhagen"},
};

constexpr Country kHeldOut[] = {
    {"Syria", "Damascus"}, {"Lebanon", "Beirut"}, {"Jordan", "Amman"}, {"Uganda", "Kampala"}};

constexpr const char* kQuestions[] = {
    "What is the capital of {}?", "Name the capital of {}.", "Which city is the capital of {}?",
    "Tell me the capital city of {}.", "{}: what is its capital?"};

std::string question(const char* form, const Country& country) {
  return fmt::format(fmt::runtime(form), country.name);
}

/// The form that answers are to take.
std::string answer(const Country& country) {
  return fmt::format("capital({}) = {}", country.name, country.capital);
}

/// 200 conversations as OpenAI's fine-tuning files have them.
std::string training_data() {
  std::string lines;
  for (const Country& country : kLearned) {
    for (const char* form : kQuestions) {
      Json user = {{"role", "user"}, {"content", question(form, country)}};
      Json assistant = {{"role", "assistant"}, {"content", answer(country)}};
      lines += Json({{"messages", {user, assistant}}}).dump() + "\n";
    }
  }
  return lines;
}

/// Greedy answers to questions about countries that no example named.
std::vector<std::string> answers(const LanguageModel& model) {
  std::vector<std::vector<int32_t>> prompts;
  for (const Country& country : kHeldOut) {
    Json message = {{"role", "user"}, {"content", question(kQuestions[0], country)}};
    prompts.push_back(chat_prompt(model, Json::array({message})));
  }
  GenerationOptions options;
  options.max_tokens = 24;
  options.sampling.temperature = 0;
  std::vector<std::string> texts;
  const std::vector<GenerationOptions> all(prompts.size(), options);
  for (const Generation& one : generate_all(model, prompts, all)) texts.push_back(one.text);
  return texts;
}

TEST(Lora, TeachesARealModelAnotherForm) {
  if (!fs::exists(smollm2_file())) {
    GTEST_SKIP() << smollm2_file() << " is not there; run tools/fetch-models";
  }
  ScratchFolder scratch;
  const fs::path data = scratch.write("train.jsonl", training_data());
  Recipe recipe = load_recipe(
      fs::path(MILLRACE_SOURCE_DIR) / "recipes/lora.yaml",
      std::vector<std::string>{
          "model.init_from=" + smollm2_file().string(), "data.train=" + data.string(),
          "data.epochs=1", "data.sequence_length=128", "data.micro_batch_tokens=512",
          "optimizer.lr=0.002", "schedule.warmup_steps=2", "lora.rank=8", "lora.alpha=16"});
  RunFolder run = RunFolder::create(scratch / "run", recipe);
  const TrainingResult result = train(run);
  ASSERT_TRUE(result.finished);
  EXPECT_EQ(result.model, scratch / "run/adapter");

  // Before, it answers in sentences; with the adapter, as it was taught.
  const std::vector<std::string> before = answers(open_language_model(smollm2_file()));
  const std::vector<std::string> after = answers(open_language_model(smollm2_file(), result.model));
  for (size_t i = 0; i < after.size(); ++i) {
    const std::string form = fmt::format("capital({}) = ", kHeldOut[i].name);
    EXPECT_TRUE(after[i].starts_with(form)) << "before: " << before[i] << "\nafter: " << after[i];
    EXPECT_FALSE(before[i].starts_with("capital(")) << before[i];
  }

  // In plain weights, the adapter beside them and merged into them come to the same.
  LoadOptions plain;
  plain.dtype = DType::f32;
  LanguageModel model = open_language_model(smollm2_file(), result.model, plain);
  const std::vector<std::string> beside = answers(model);
  merge(*model.model, *model.adapter);
  model.adapter.reset();
  EXPECT_EQ(answers(model), beside);

  // So do the exported ones.
  model.model->set_dtype(DType::bf16);
  export_folder(model, scratch / "merged", DType::bf16);
  export_gguf(model, scratch / "merged.gguf", quantization_from_name("Q8_0"));
  EXPECT_EQ(answers(open_language_model(scratch / "merged")), beside);
  EXPECT_EQ(answers(open_language_model(scratch / "merged.gguf")), beside);
}

}  // namespace
}  // namespace millrace
