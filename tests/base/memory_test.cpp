#include "millrace/base/memory.h"

#include <gtest/gtest.h>

#include "millrace/base/file.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

class MemoryTest : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    make_folder((scratch_ / name).parent_path());
    write_file(scratch_ / name, text);
  }
  ScratchFolder scratch_;
};

TEST_F(MemoryTest, IsTheMachines) {
  write("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 5 kB\nMemAvailable:    600 kB\n");
  EXPECT_EQ(physical_memory(scratch_.path()), 1000u * 1024);
  EXPECT_EQ(available_memory(scratch_.path()), 600u * 1024);
  write("sys/fs/cgroup/memory.max", "max\n");
  EXPECT_EQ(physical_memory(scratch_.path()), 1000u * 1024);
}

TEST_F(MemoryTest, IsNoMoreThanTheContainerMayUse) {
  write("proc/meminfo", "MemTotal:       1000 kB\nMemAvailable:    600 kB\n");
  write("sys/fs/cgroup/memory.max", "204800\n");
  write("sys/fs/cgroup/memory.stat", "anon 102400\nfile 99999999\n");
  EXPECT_EQ(physical_memory(scratch_.path()), 204800u);
  EXPECT_EQ(available_memory(scratch_.path()), 102400u);
}

TEST_F(MemoryTest, IsThatOfAnOlderContainerToo) {
  write("proc/meminfo", "MemTotal:       1000 kB\nMemAvailable:    600 kB\n");
  write("sys/fs/cgroup/memory/memory.limit_in_bytes", "204800\n");
  write("sys/fs/cgroup/memory/memory.stat", "cache 1\ntotal_rss 204900\n");
  EXPECT_EQ(available_memory(scratch_.path()), 0u);
}

TEST_F(MemoryTest, HasNoLimitWhereNothingSaysSo) {
  EXPECT_GT(available_memory(scratch_.path()), uint64_t{1} << 60);
}

TEST(Memory, OfThisMachineIsSensible) {
  EXPECT_GT(available_memory(), uint64_t{1} << 20);
  EXPECT_LE(available_memory(), physical_memory());
}

}  // namespace
}  // namespace millrace
