#include "millrace/base/processors.h"

#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <string>

#include "millrace/base/error.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr int kUnlimited = 1 << 20;

/// A number at the beginning of `text`, which is cut off.
int take_number(std::string_view& text, std::string_view whole) {
  int value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require(error == std::errc() && value >= 0 && value < CPU_SETSIZE,
          "'{}' are no processors; give numbers below {} as in 0-3,8", whole, CPU_SETSIZE);
  text.remove_prefix(static_cast<size_t>(end - text.data()));
  return value;
}

bool take(char c, std::string_view& text) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

/// Where groups of this process have files of the version's CPU quota.
struct Group {
  fs::path mount;    // of the hierarchy
  std::string path;  // within it
  bool version2;
};

/// The lines of /proc/self/cgroup: "0::/path" for version 2, "4:cpu,cpuacct:/path" for version 1.
std::vector<Group> groups_of_process(const fs::path& root) {
  std::vector<Group> groups;
  std::ifstream file(root / "proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos || line.size() == second + 1) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 2);  // without its slash
    if (controllers.empty()) {
      groups.push_back({root / "sys/fs/cgroup", path, true});
    } else if (("," + controllers + ",").find(",cpu,") != std::string::npos) {
      groups.push_back({root / "sys/fs/cgroup/cpu", path, false});
      groups.push_back({root / "sys/fs/cgroup" / controllers, path, false});
    }
  }
  return groups;
}

/// Processors that one group may use at a time, or a large number.
int quota_of(const fs::path& folder, bool version2) {
  double quota = 0, period = 0;
  if (version2) {
    std::ifstream(folder / "cpu.max") >> quota >> period;  // "max" is no number
  } else {
    std::ifstream(folder / "cpu.cfs_quota_us") >> quota;  // -1: none
    std::ifstream(folder / "cpu.cfs_period_us") >> period;
  }
  if (quota <= 0 || period <= 0) return kUnlimited;
  return static_cast<int>(std::clamp(quota / period, 1.0, double{kUnlimited}));
}

std::vector<int> read_list(const fs::path& path) {
  std::string text;
  if (!(std::ifstream(path) >> text)) return {};
  return parse_processors(text);
}

/// The memory nodes of these processors.
std::vector<int> nodes_of(const std::vector<int>& processors) {
  const fs::path folder = "/sys/devices/system/node";
  std::vector<int> nodes;
  for (int node : read_list(folder / "online")) {
    const std::vector<int> own = read_list(folder / fmt::format("node{}", node) / "cpulist");
    if (std::find_first_of(own.begin(), own.end(), processors.begin(), processors.end()) !=
        own.end()) {
      nodes.push_back(node);
    }
  }
  return nodes;
}

/// The error's number, or 0.
int set_affinity(const std::vector<int>& processors) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int i : processors) CPU_SET(static_cast<size_t>(i), &set);
  return ::sched_setaffinity(0, sizeof set, &set) == 0 ? 0 : errno;
}

std::vector<int>& chosen() {
  static std::vector<int> processors;
  return processors;
}

}  // namespace

std::vector<int> parse_processors(std::string_view text) {
  std::vector<int> result;
  std::string_view rest = text;
  do {
    const int first = take_number(rest, text);
    const int last = take('-', rest) ? take_number(rest, text) : first;
    require(first <= last, "'{}': the range {}-{} runs backwards", text, first, last);
    for (int i = first; i <= last; ++i) result.push_back(i);
  } while (take(',', rest));
  require(rest.empty(), "'{}' are no processors; '{}' was not expected", text, rest);
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

std::vector<int> allowed_processors() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> result;
  if (::sched_getaffinity(0, sizeof set, &set) != 0) return result;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(static_cast<size_t>(i), &set)) result.push_back(i);
  }
  return result;
}

void keep_to(const std::vector<int>& processors) {
  const std::vector<int> before = allowed_processors();
  const int error = set_affinity(processors);
  // The system takes what is there of a set and passes over the rest.
  if (error == 0 && allowed_processors() == processors) return;
  set_affinity(before);
  fail("this process may not run on processors {}{}{}; it may on {}", fmt::join(processors, ","),
       error == 0 ? "" : ": ", error == 0 ? "" : std::strerror(error), fmt::join(before, ","));
}

void choose_processors(const std::vector<int>& processors) {
  if (!processors.empty()) keep_to(processors);
  chosen() = processors;
}

const std::vector<int>& chosen_processors() {
  return chosen();
}

int processor_quota(const fs::path& root) {
  int quota = kUnlimited;
  for (const Group& group : groups_of_process(root)) {
    // A container may see its own group as the root, whatever its path is outside.
    for (fs::path path = group.path;; path = path.parent_path()) {
      quota = std::min(quota, quota_of(group.mount / path, group.version2));
      if (path.empty()) break;
    }
  }
  return quota;
}

void interleave_memory() {
#if defined(__linux__)
  const std::vector<int> nodes = nodes_of(allowed_processors());
  if (nodes.size() < 2) return;
  constexpr int kInterleave = 3;  // MPOL_INTERLEAVE of linux/mempolicy.h
  constexpr size_t kBits = 8 * sizeof(unsigned long);
  unsigned long mask[1024 / kBits] = {};
  for (int node : nodes) {
    if (node < 1024) mask[static_cast<size_t>(node) / kBits] |= 1ul << (node % kBits);
  }
  require(::syscall(SYS_set_mempolicy, kInterleave, mask, 1024ul + 1) == 0,
          "the system does not let this process spread its memory over nodes: {}",
          std::strerror(errno));
#endif
}

}  // namespace millrace
