// Damaged model files through the program: exit status 1 and one line that names the file, never a
// signal. tests/formats, tests/text and tests/model do the same by the thousand.
#include <gtest/gtest.h>

#include <algorithm>

#include "millrace/base/file.h"
#include "millrace/formats/safetensors.h"
#include "millrace/generate/export.h"
#include "tests/cli/program.h"
#include "tests/mutations.h"
#include "tests/scratch.h"
#include "tests/tiny_language_model.h"

namespace millrace {
namespace {

class HostileFiles : public testing::Test {
 protected:
  HostileFiles() {
    LanguageModel model = tiny_language_model();
    export_folder(model, folder_ / "model", DType::f32);
    export_gguf(model, folder_ / "model.gguf", quantization_from_name("Q8_0"));
  }

  /// Damages `file` in so many ways while `model` is asked to write; gives how often the program
  /// refused.
  int refused(const char* model, const char* file, size_t truncations, uint64_t mutations) const {
    const std::string whole = read_file(folder_ / file);
    int count = 0;
    auto run = [&](const std::string& damaged, bool must_fail) {
      folder_.write(file, damaged);
      const Outcome outcome = millrace_program({"run", (folder_ / model).string(), "--prompt",
                                                "abc", "--max-tokens", "2", "--temperature", "0"});
      if (outcome.status == 0 && !must_fail) return;
      ++count;
      EXPECT_EQ(outcome.status, 1) << outcome.err;
      EXPECT_EQ(std::count(outcome.err.begin(), outcome.err.end(), '\n'), 1) << outcome.err;
      const bool names_file =
          outcome.err.find(folder_.path().string()) != std::string::npos ||
          outcome.err.find("the model's logits are not finite") != std::string::npos;
      EXPECT_TRUE(names_file) << outcome.err;
    };
    for (size_t i = 0; i < truncations; ++i) {
      run(whole.substr(0, whole.find_last_not_of("\n\0") * i / truncations), true);
    }
    // The parts that say what the rest is stand at the beginning.
    const size_t head = std::min<size_t>(whole.size(), 2000);
    for (uint64_t seed = 0; seed < mutations; ++seed) {
      Random random(seed);
      SCOPED_TRACE(fmt::format("{} mutated with seed {}", file, seed));
      run(mutate_bytes(whole.substr(0, head), random) + whole.substr(head), false);
    }
    folder_.write(file, whole);
    return count;
  }

  const ScratchFolder folder_;
};

TEST_F(HostileFiles, EndWithStatus1AndNameTheFile) {
  for (const auto& [model, file] :
       {std::pair("model", "model/model.safetensors"), std::pair("model.gguf", "model.gguf"),
        std::pair("model", "model/tokenizer.json"), std::pair("model", "model/config.json")}) {
    EXPECT_GT(refused(model, file, 12, 30), 12 + 10) << file;
  }
}

}  // namespace
}  // namespace millrace
