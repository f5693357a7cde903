// URLs taken apart and put together, by the rules that libcurl follows when it connects.
#pragma once

#include <string>
#include <string_view>

namespace millrace::hub {

/// "https://host:443": to whom a secret may go. Throws Error for what is no http or https URL.
std::string origin_of(const std::string& url);

/// What an answer's Location or Link means, seen from `base`. Throws Error where it is no URL.
std::string resolved_url(const std::string& base, const std::string& reference);

/// The path with its query ("/a/b?c=d").
std::string path_and_query(const std::string& url);

/// The last part of the path, without escapes: a file's name.
std::string file_name_of(const std::string& url);

/// For messages: without name, password and query, which may be secrets.
std::string public_url(const std::string& url);

/// Percent-encoded; `keep_slashes` for a path of several parts.
std::string escaped(std::string_view text, bool keep_slashes = false);

/// Whether what is sent there can be read on the way: http to another machine.
bool is_in_clear(const std::string& url);

}  // namespace millrace::hub
