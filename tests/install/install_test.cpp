// What `cmake --install` puts into a prefix is enough to build the example against, and to talk.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>

#include "millrace/base/file.h"
#include "millrace/generate/export.h"
#include "tests/scratch.h"
#include "tests/tiny_language_model.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

class Install : public testing::Test {
 protected:
  /// Runs a shell command and gives its exit status; its output goes to a file in the scratch
  /// folder.
  int run(const std::string& command) {
    const int status = std::system((command + " > '" + log_.string() + "' 2>&1").c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  std::string output() const { return read_file(log_); }
  std::string quoted(std::string_view name) const {
    return fmt::format("'{}'", (scratch_ / name).string());
  }

  ScratchFolder scratch_;
  fs::path log_ = scratch_ / "log";
};

TEST_F(Install, TheExampleBuildsAgainstAnInstalledCopyAndTalks) {
  const std::string cmake = "'" MILLRACE_CMAKE "'";
  ASSERT_EQ(run(cmake + " --install '" MILLRACE_BINARY_DIR "' --prefix " + quoted("prefix")), 0)
      << output();
  ASSERT_EQ(run(cmake + " -S '" MILLRACE_SOURCE_DIR "/examples' -B " + quoted("build") +
                " -DCMAKE_PREFIX_PATH=" + quoted("prefix") +
                " -DCMAKE_CXX_COMPILER='" MILLRACE_CXX_COMPILER "' -DCMAKE_CXX_FLAGS='" +
                MILLRACE_CXX_FLAGS "'"),
            0)
      << output();
  ASSERT_EQ(run(cmake + " --build " + quoted("build")), 0) << output();

  const std::string chat = quoted("build/chat");
  const fs::path model = scratch_ / "model";
  export_folder(tiny_language_model(), model, DType::f32);
  EXPECT_EQ(run("printf 'Hello\\nAgain\\n' | " + chat + " '" + model.string() + "'"), 0)
      << output();
  EXPECT_GE(std::ranges::count(output(), '\n'), 2) << output();
  EXPECT_EQ(run(chat), 2);
  EXPECT_NE(output().find("usage: chat MODEL"), std::string::npos) << output();
  EXPECT_EQ(run(chat + " " + quoted("nothing-here") + " < /dev/null"), 1);
  EXPECT_NE(output().find("nothing-here"), std::string::npos) << output();
}

TEST_F(Install, TheProgramIsInstalledToo) {
  ASSERT_EQ(
      run("'" MILLRACE_CMAKE "' --install '" MILLRACE_BINARY_DIR "' --prefix " + quoted("prefix")),
      0)
      << output();
  EXPECT_EQ(run(quoted("prefix/bin/millrace") + " --help"), 0) << output();
}

}  // namespace
}  // namespace millrace
