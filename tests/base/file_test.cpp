#include "millrace/base/file.h"

#include <gtest/gtest.h>

#include "millrace/base/error.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

class FileTest : public testing::Test {
 protected:
  int entries() const {
    int count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder_.path()))
      ++count;
    return count;
  }
  ScratchFolder folder_;
};

TEST_F(FileTest, AWriterThatIsNotCommittedLeavesTheOldFile) {
  write_file(folder_ / "a", "old");
  {
    FileWriter writer(folder_ / "a");
    writer.write(std::string_view("half"));
    EXPECT_EQ(read_file(folder_ / "a"), "old");
  }
  EXPECT_EQ(read_file(folder_ / "a"), "old");
  EXPECT_EQ(entries(), 1);
}

TEST_F(FileTest, ACommittedWriterReplacesTheFile) {
  write_file(folder_ / "a", "old");
  FileWriter writer(folder_ / "a");
  writer.write(std::string_view("new "));
  writer.write(std::string_view("text"));
  EXPECT_EQ(writer.position(), 8u);
  writer.commit();
  EXPECT_EQ(read_file(folder_ / "a"), "new text");
  EXPECT_EQ(entries(), 1);
}

TEST_F(FileTest, AnErrorNamesThePath) {
  try {
    write_file(folder_ / "absent/a", "text");
    FAIL() << "a missing folder was accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find((folder_ / "absent/a").string()), std::string::npos);
  }
}

TEST_F(FileTest, AFolderAppearsWholeOrNotAtAll) {
  auto fill = [&](const char* text) {
    write_folder(folder_ / "a", [&](const std::filesystem::path& path) {
      write_file(path / "file", text);
      require(std::string_view(text) != "bad", "no");
    });
  };
  fill("one");
  fill("two");
  EXPECT_THROW(fill("bad"), Error);
  EXPECT_EQ(read_file(folder_ / "a/file"), "two");
  EXPECT_EQ(entries(), 1);
}

}  // namespace
}  // namespace millrace
