// Files of JSON records, read one record at a time: one object a line, or one array of objects.
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>

#include "millrace/base/json.h"
#include "millrace/base/thread_pool.h"

namespace millrace {

/// One object of a file.
struct JsonRecord {
  Json fields;
  std::string source;  // "poems.jsonl.zst:12", the file and the line where the object begins
};

/// Calls `take(record)` for every object of NAME.jsonl (one a line, blank lines skipped) or
/// NAME.json (one array, laid out in any way); either may be compressed, NAME.zst. No more than one
/// record and the longest line are held in memory. Throws Error naming file and line for bad JSON,
/// for anything but objects, and for a line or record of more than `max_bytes`.
void for_each_json_record(const std::filesystem::path& path, FunctionRef<void(JsonRecord&)> take,
                          size_t max_bytes = size_t{64} << 20);

}  // namespace millrace
