// Paths that came from outside, which must stay in the folder that they are meant for.
#pragma once

#include <string>
#include <string_view>

namespace millrace::hub {

/// The path of a file within a folder, as a list of files, an archive or a manifest gives it:
/// parts between slashes. Throws Error, which begins with `source`, for one that is absolute,
/// leaves the folder (..), has empty parts, a backslash, a control character or bytes that are no
/// UTF-8, is longer than a file system takes, or is one of our own (.millrace…).
std::string checked_path(std::string_view path, std::string_view source);

/// 64 hexadecimal digits, as small letters. Throws Error for anything else.
std::string checked_sha256(std::string_view text, std::string_view source);

}  // namespace millrace::hub
