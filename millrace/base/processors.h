// Which processors the process uses, and on which memory nodes its data lies.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace millrace {

/// Processors in Linux's notation, "0-3,8": ascending, each once. Throws Error for anything else.
std::vector<int> parse_processors(std::string_view text);

/// The processors that the calling thread may run on, ascending; empty where the system does not
/// say.
std::vector<int> allowed_processors();

/// Lets the calling thread, and threads that it starts later, run on these alone. Throws Error,
/// with nothing changed, where one of them is not there or this process may not use it.
void keep_to(const std::vector<int>& processors);

/// keep_to for the whole process, to be called first thing: each thread that the pool starts from
/// now on keeps to one of them. None: later threads keep to nothing.
void choose_processors(const std::vector<int>& processors);

/// Those that were chosen; empty: none were.
const std::vector<int>& chosen_processors();

/// The container's CPU quota (cgroup v1 and v2, the tightest of the groups that enclose this
/// process) in whole processors, at least 1, or a large number without one. `root` stands for the
/// file system's.
int processor_quota(const std::filesystem::path& root = "/");

/// Spreads memory that the calling thread, and threads that it starts later, touch first page by
/// page over the memory nodes of its processors. Nothing happens where these are one. Throws Error
/// when the system refuses.
void interleave_memory();

}  // namespace millrace
