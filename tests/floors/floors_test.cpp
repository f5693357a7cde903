// Nothing points up: no file includes a header of a floor above its own.
#include <gtest/gtest.h>

#include "tests/floors/floors.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

TEST(Floors, NothingIncludesUpward) {
  for (const std::string& violation : floor_violations(MILLRACE_SOURCE_DIR)) {
    ADD_FAILURE() << violation;
  }
}

/// A tree of one header in each of these folders, and what the check says of one more file.
class FloorsCheck : public testing::Test {
 protected:
  FloorsCheck() {
    for (const char* folder : {"base", "tensor", "formats", "store", "kernels", "graph", "model"}) {
      write(std::string("millrace/") + folder + "/a.h", "#pragma once\n#include <vector>\n");
    }
  }
  void write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((folder_ / path).parent_path());
    folder_.write(path, text);
  }
  std::vector<std::string> check() const { return floor_violations(folder_.path()); }
  std::vector<std::string> check(const std::string& path, const std::string& text) {
    write(path, text);
    return check();
  }

 private:
  ScratchFolder folder_;
};

using Lines = std::vector<std::string>;

TEST_F(FloorsCheck, DownwardAndWithinAFolderIsAllowed) {
  EXPECT_EQ(check(), Lines());
  EXPECT_EQ(check("millrace/graph/ops/b.cpp",
                  "#include \"millrace/graph/a.h\"\n#include \"millrace/kernels/a.h\"\n"
                  "#include \"millrace/base/a.h\"\n#include HWY_TARGET_INCLUDE\n"
                  "// #include \"millrace/model/a.h\"\n"),
            Lines());
}

TEST_F(FloorsCheck, UpwardIsNot) {
  EXPECT_EQ(
      check("millrace/kernels/deep/b.cpp",
            "// b\n#include \"millrace/base/a.h\"\n  #  include \"millrace/graph/a.h\"\n"),
      Lines{"millrace/kernels/deep/b.cpp:3: \"millrace/graph/a.h\": kernels is on floor 3 and "
            "may not include graph on floor 4"});
}

TEST_F(FloorsCheck, SidewaysIsNotUnlessTheTableSaysSo) {
  EXPECT_EQ(check("millrace/formats/b.h", "#include \"millrace/tensor/a.h\"\n"), Lines());
  EXPECT_EQ(check("millrace/tensor/b.h", "#include \"millrace/formats/a.h\"\n"),
            Lines{"millrace/tensor/b.h:1: \"millrace/formats/a.h\": tensor is on floor 2 and may "
                  "not include formats on floor 2"});
}

TEST_F(FloorsCheck, AFolderWithinAFolderMayHaveAFloorOfItsOwn) {
  write("millrace/serve/a.h", "#include \"millrace/serve/http/b.h\"\n");
  EXPECT_EQ(check("millrace/serve/http/b.h", "#include \"millrace/base/a.h\"\n"), Lines());
  EXPECT_EQ(
      check("millrace/serve/http/b.h",
            "#include \"millrace/serve/a.h\"\n#include \"millrace/model/a.h\"\n"),
      (Lines{"millrace/serve/http/b.h:1: \"millrace/serve/a.h\": serve/http is on floor 2 and "
             "may not include serve on floor 9",
             "millrace/serve/http/b.h:2: \"millrace/model/a.h\": serve/http is on floor 2 and "
             "may not include model on floor 5"}));
}

TEST_F(FloorsCheck, SomeLibrariesAreForTheSourcesOfOneFolder) {
  EXPECT_EQ(check("millrace/serve/http/b.cpp", "#include <boost/asio.hpp>\n"), Lines());
  EXPECT_EQ(check("millrace/serve/http/b.h", "#include <openssl/ssl.h>\n"),
            Lines{"millrace/serve/http/b.h:1: <openssl/ssl.h>: is for the sources of serve/http "
                  "and hub alone"});
  EXPECT_EQ(check("millrace/serve/b.cpp", "#include <boost/asio.hpp>\n").size(), 2u);
}

TEST_F(FloorsCheck, OnlyFullPathsAre) {
  EXPECT_EQ(check("millrace/base/b.cpp",
                  "#include \"a.h\"\n#include \"../base/a.h\"\n#include <millrace/base/a.h>\n"
                  "#include \"millrace/base/absent.h\"\n#include \"millrace/base/../model/a.h\"\n")
                .size(),
            5u);
}

TEST_F(FloorsCheck, EveryFolderHasAFloor) {
  EXPECT_EQ(check("millrace/util/b.h", ""), Lines{"millrace/util: is on no floor"});
  EXPECT_EQ(check("millrace/b.h", "").size(), 2u);
}

}  // namespace
}  // namespace millrace
