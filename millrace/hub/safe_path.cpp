#include "millrace/hub/safe_path.h"

#include <utf8proc.h>

#include <algorithm>
#include <cctype>

#include "millrace/base/error.h"

namespace millrace::hub {
namespace {

constexpr size_t kMaxPath = 1024, kMaxPart = 255;

bool is_utf8(std::string_view text) {
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t point = 0;
    const utf8proc_ssize_t size = utf8proc_iterate(bytes, left, &point);
    if (size <= 0) return false;
    bytes += size;
    left -= size;
  }
  return true;
}

/// Why a part between slashes cannot be; null: it can.
const char* fault_of(std::string_view part) {
  if (part.empty()) return "is absolute or has an empty part";
  if (part == "." || part == "..") return "leaves its folder";
  if (part.size() > kMaxPart) return "has a part of more than 255 bytes";
  if (part.starts_with(".millrace")) return "has a name that Millrace keeps for itself";
  return nullptr;
}

}  // namespace

std::string checked_path(std::string_view path, std::string_view source) {
  auto refuse_if = [&](bool wrong, const char* why) {
    require(!wrong, "{}: the path {} {}; nothing was written there", source, quote(path), why);
  };
  refuse_if(path.size() > kMaxPath, "has more than 1024 bytes");
  refuse_if(std::ranges::any_of(path,
                                [](char c) {
                                  const auto byte = static_cast<unsigned char>(c);
                                  return byte < 0x20 || byte == 0x7f;
                                }),
            "has a control character");
  refuse_if(path.find('\\') != std::string_view::npos, "has a backslash");
  refuse_if(!is_utf8(path), "is not UTF-8");
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const char* fault = fault_of(path.substr(begin, end - begin));
    if (fault != nullptr) refuse_if(true, fault);
    begin = end + 1;
  }
  return std::string(path);
}

std::string checked_sha256(std::string_view text, std::string_view source) {
  const bool fits = text.size() == 64 && std::ranges::all_of(text, [](unsigned char c) {
                      return std::isxdigit(c) != 0;
                    });
  require(fits, "{}: {} is no SHA-256, which has 64 hexadecimal digits", source, quote(text));
  std::string result(text);
  std::ranges::transform(result, result.begin(), [](unsigned char c) { return std::tolower(c); });
  return result;
}

}  // namespace millrace::hub
