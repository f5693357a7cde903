// Bytes as text (RFC 4648).
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace millrace {

std::string to_base64(std::string_view bytes);

/// The bytes of a text; nullopt where it is not base64. Padding may be missing.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace millrace
