// The one exception type: what is wrong, where, and what to do about it.
#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

/// Thrown for anything that came from outside and cannot be used: a file, a field, an argument.
/// The message names the file or field, says what is wrong and, where there is one, the remedy.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& message) : std::runtime_error(message) {}
};

/// Throws Error with a formatted message: `fail("{}: no field 'hidden_size'", path)`.
template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> format, Args&&... args) {
  throw Error(fmt::format(format, std::forward<Args>(args)...));
}

/// Throws Error unless `condition` holds.
template <typename... Args>
void require(bool condition, fmt::format_string<Args...> format, Args&&... args) {
  if (!condition) fail(format, std::forward<Args>(args)...);
}

/// Text that came from outside, as it may stand in a message: between single quotes, control
/// characters written as \x1b, cut after 100 bytes.
std::string quote(std::string_view text);

}  // namespace millrace
