// JSON that came from outside: parsed with limits, read with errors that name file and field.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "millrace/base/indexed_map.h"

namespace millrace {

/// Keeps the order of keys, as files that people read should.
using Json = nlohmann::basic_json<IndexedMap>;

/// Parses text. `source` (a file name or "request body") begins every error message.
/// Throws Error on malformed text, invalid UTF-8 and nesting deeper than 200.
Json parse_json(std::string_view text, std::string_view source);

/// Reads and parses a file.
Json read_json(const std::filesystem::path& path);

/// The member `name` of an object as a T (bool, integers, double, std::string). Numbers must fit:
/// a fraction or an overflow is an error, not a rounding. Throws Error naming source and field.
template <typename T>
T json_field(const Json& object, const char* name, std::string_view source);

/// As json_field, but nullopt when the member is missing or null.
template <typename T>
std::optional<T> optional_json_field(const Json& object, const char* name, std::string_view source);

/// Text in a form that JSON can hold: invalid UTF-8 becomes U+FFFD.
std::string to_json_text(const Json& value, int indent = -1);

}  // namespace millrace
