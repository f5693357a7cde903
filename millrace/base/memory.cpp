#include "millrace/base/memory.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <string>

namespace millrace {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

/// The number behind a name in a file of lines "name number"; `otherwise` where there is none.
uint64_t number_of(const fs::path& path, const std::string& name, uint64_t otherwise) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(name)) continue;
    const size_t digits = line.find_first_of("0123456789", name.size());
    if (digits != std::string::npos) return std::stoull(line.substr(digits, 18));
  }
  return otherwise;
}

uint64_t read_number(const fs::path& path, uint64_t otherwise) {
  uint64_t number = 0;
  return std::ifstream(path) >> number ? number : otherwise;  // "max" is no number
}

uint64_t in_meminfo(const fs::path& root, const std::string& name) {
  const uint64_t kilobytes = number_of(root / "proc/meminfo", name, kUnlimited >> 10);
  return std::min(kilobytes, kUnlimited >> 10) << 10;
}

/// What the container may use in all, and what it uses that no file holds as well.
struct Container {
  uint64_t limit, used;
};

Container container(const fs::path& root) {
  const fs::path version2 = root / "sys/fs/cgroup", version1 = version2 / "memory";
  return {std::min(read_number(version2 / "memory.max", kUnlimited),
                   read_number(version1 / "memory.limit_in_bytes", kUnlimited)),
          number_of(version2 / "memory.stat", "anon ",
                    number_of(version1 / "memory.stat", "total_rss ", 0))};
}

}  // namespace

uint64_t physical_memory(const fs::path& root) {
  return std::min(in_meminfo(root, "MemTotal:"), container(root).limit);
}

uint64_t available_memory(const fs::path& root) {
  const Container own = container(root);
  const uint64_t left = own.limit - std::min(own.limit, own.used);
  return std::min(in_meminfo(root, "MemAvailable:"), left);
}

}  // namespace millrace
