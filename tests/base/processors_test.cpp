// Lists of processors, affinity, and the quotas of containers from trees of files like theirs.
#include "millrace/base/processors.h"

#include <gtest/gtest.h>

#include <sched.h>

#include <string>
#include <thread>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

TEST(Processors, ListsAreReadAsLinuxWritesThem) {
  EXPECT_EQ(parse_processors("3"), std::vector<int>({3}));
  EXPECT_EQ(parse_processors("0-3,8"), std::vector<int>({0, 1, 2, 3, 8}));
  EXPECT_EQ(parse_processors("8,2-2,1,2"), std::vector<int>({1, 2, 8}));
  for (const char* bad : {"", ",", "0,", "-1", "3-1", "0-", "a", "0 1", "0-3;", "99999", "1-99999",
                          "99999999999999999999"}) {
    EXPECT_THROW(parse_processors(bad), Error) << bad;
  }
}

TEST(Processors, AThreadStaysOnTheOnesItWasGiven) {
  const std::vector<int> allowed = allowed_processors();
  ASSERT_FALSE(allowed.empty());
  std::thread([&] {
    const std::vector<int> last = {allowed.back()};
    keep_to(last);
    EXPECT_EQ(allowed_processors(), last);
    EXPECT_EQ(sched_getcpu(), last.front());
    std::thread([&] { EXPECT_EQ(allowed_processors(), last); }).join();
    EXPECT_THROW(keep_to({CPU_SETSIZE - 1}), Error);
    EXPECT_THROW(keep_to({last.front(), CPU_SETSIZE - 1}), Error);
    EXPECT_EQ(allowed_processors(), last);
  }).join();
  EXPECT_EQ(allowed_processors(), allowed);
}

TEST(Processors, MemoryIsSpreadWhereThereAreNodes) {
  std::thread([] { EXPECT_NO_THROW(interleave_memory()); }).join();  // its own thread alone
}

class Quota : public testing::Test {
 protected:
  int quota() const { return processor_quota(root_.path()); }
  void write(const std::string& path, const std::string& text) const {
    make_folder((root_.path() / path).parent_path());
    write_file(root_.path() / path, text);
  }

  const ScratchFolder root_;
};

TEST_F(Quota, IsNoneWithoutGroups) {
  EXPECT_GT(quota(), 1024);
  write("proc/self/cgroup", "0::/\n");
  EXPECT_GT(quota(), 1024);
  write("sys/fs/cgroup/cpu.max", "max 100000\n");
  EXPECT_GT(quota(), 1024);
  EXPECT_GE(processor_quota(), 1);
}

TEST_F(Quota, OfVersion2IsTheTightestOnTheWayUp) {
  write("proc/self/cgroup", "0::/pod/container\n");
  write("sys/fs/cgroup/pod/container/cpu.max", "600000 100000\n");
  EXPECT_EQ(quota(), 6);
  write("sys/fs/cgroup/pod/cpu.max", "250000 100000\n");
  EXPECT_EQ(quota(), 2);
  write("sys/fs/cgroup/cpu.max", "50000 100000\n");
  EXPECT_EQ(quota(), 1);
}

TEST_F(Quota, OfVersion1IsFoundByEitherNameAndFromWithinAContainer) {
  write("proc/self/cgroup", "5:memory:/docker/12\n4:cpu,cpuacct:/docker/12\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "300000\n");
  write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 3);
  write("sys/fs/cgroup/cpu/docker/12/cpu.cfs_quota_us", "200000\n");
  write("sys/fs/cgroup/cpu/docker/12/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(quota(), 2);
  write("sys/fs/cgroup/cpu/docker/12/cpu.cfs_quota_us", "-1\n");
  EXPECT_EQ(quota(), 3);
}

TEST_F(Quota, FilesThatMakeNoSenseAreNoQuota) {
  for (const char* groups : {"", "0", "0:", "0::", ":::", "4:cpu:", "x:cpu:/a\n\n::\n"}) {
    write("proc/self/cgroup", groups);
    EXPECT_GT(quota(), 1024) << groups;
  }
  write("proc/self/cgroup", "0::/\n");
  for (const char* limit : {"", "5", "0 0", "-5 100", "1 -1", "a b", "100000 0"}) {
    write("sys/fs/cgroup/cpu.max", limit);
    EXPECT_GT(quota(), 1024) << limit;
  }
}

}  // namespace
}  // namespace millrace
