// Whether JSON is what a test expects: a subset with matchers.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "millrace/base/json.h"

namespace millrace {

/// What `<save NAME>` and `<append NAME>` noted.
using Variables = std::map<std::string, Json>;

/// How `actual` differs from `expected`, a line each; empty when it does not. An object may have
/// more members than expected, an array may not have more entries. Strings in angle brackets stand
/// for what tests/api/README.md lists.
std::vector<std::string> differences(const Json& expected, const Json& actual,
                                     Variables& variables);

/// As differences, of a text that may be missing.
std::vector<std::string> text_differences(const std::string& expected,
                                          const std::optional<std::string>& actual,
                                          Variables& variables);

/// Replaces `${NAME}`, within JSON by the text of the value without quotes, and
/// `{{3 * text}}` by the text so many times, `{{bytes ff fe}}` by these bytes.
std::string substitute(const std::string& text, const Variables& variables);

}  // namespace millrace
