// Files of models that were saved without their head, or with one more part before it: names have
// no prefix, or one that the family's do not have.
#include "millrace/model/published_names.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "millrace/formats/safetensors.h"
#include "millrace/model/load.h"
#include "millrace/model/plan.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const fs::path kGoldens = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden";

struct Renamed {
  std::string folder, without, with;  // what names lose and get
};

void PrintTo(const Renamed& renamed, std::ostream* out) {
  *out << renamed.folder << ": " << renamed.without << " to " << renamed.with;
}

class Prefixes : public testing::TestWithParam<Renamed> {};

TEST_P(Prefixes, MayBeMissingOrMore) {
  const auto& [folder, without, with] = GetParam();
  const ScratchFolder scratch;
  const SafetensorsFile file = read_safetensors_folder(kGoldens / folder);
  std::vector<TensorSource> sources;
  int renamed = 0;
  for (const NamedTensor& named : file.tensors) {
    const bool has = named.name.starts_with(without);
    renamed += has;
    sources.emplace_back(has ? with + named.name.substr(without.size()) : named.name, named.tensor);
  }
  ASSERT_GT(renamed, 10);
  write_safetensors_folder(scratch.path(), sources);
  fs::copy_file(kGoldens / folder / "config.json", scratch / "config.json");
  const auto expected = load_model(kGoldens / folder, {.for_training = true});
  const auto got = load_model(scratch.path(), {.for_training = true});
  for (size_t i = 0; i < expected->parameters().size(); ++i) {
    const Parameter &a = expected->parameters()[i], &b = got->parameters()[i];
    ASSERT_EQ(a.name, b.name);
    if (a.name.empty()) continue;
    EXPECT_TRUE(std::ranges::equal(a.value.f32(), b.value.f32())) << a.name;
  }
  const ModelPlan plan = plan_model(scratch.path());
  EXPECT_TRUE(plan.unexpected.empty());
}

INSTANTIATE_TEST_SUITE_P(All, Prefixes,
                         testing::Values(Renamed{"families/llama", "model.", ""},
                                         Renamed{"families/bloom", "transformer.", ""},
                                         Renamed{"families/openai-gpt", "transformer.", ""},
                                         Renamed{"families/gpt_neox", "gpt_neox.", ""},
                                         Renamed{"families/glm_blank", "glm.", ""},
                                         Renamed{"families/roberta", "roberta.", ""},
                                         Renamed{"families/bert-classifier", "bert.", ""},
                                         Renamed{"models/gpt2", "transformer.", ""},
                                         Renamed{"families/chatglm_1", "transformer.",
                                                 "model.transformer."}));

}  // namespace
}  // namespace millrace
