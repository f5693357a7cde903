#include "millrace/text/precompiled_map.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

// The fields of a unit.
constexpr uint32_t kLeaf = uint32_t{1} << 31;  // the unit is a value
bool has_value(uint32_t unit) {
  return (unit >> 8 & 1) != 0;
}
uint32_t label(uint32_t unit) {
  return unit & (kLeaf | 0xff);
}
/// From a unit's position to its children's, by exclusive or.
uint32_t offset(uint32_t unit) {
  return unit >> 10 << ((unit & uint32_t{1} << 9) >> 6);
}

// Bounds how much a text grows. No character of Unicode becomes more than 33 bytes.
constexpr size_t kMaxReplacement = 128;

}  // namespace

PrecompiledMap::PrecompiledMap(std::string blob, std::string_view source) : blob_(std::move(blob)) {
  uint32_t size = 0;
  require(blob_.size() > sizeof(size), "{}: precompiled character map: has only {} bytes", source,
          blob_.size());
  std::memcpy(&size, blob_.data(), sizeof(size));
  require(size >= sizeof(uint32_t) && size % sizeof(uint32_t) == 0 &&
              size <= blob_.size() - sizeof(size),
          "{}: precompiled character map: an array of {} bytes in {}", source, size, blob_.size());
  units_.resize(size / sizeof(uint32_t));
  std::memcpy(units_.data(), blob_.data() + sizeof(size), size);
  replacements_ = sizeof(size) + size;
  for (size_t at = replacements_; at < blob_.size();) {
    size_t end = std::min(blob_.find('\0', at), blob_.size());
    require(end - at <= kMaxReplacement, "{}: precompiled character map: a replacement of {} bytes",
            source, end - at);
    at = end + 1;
  }
}

/// Calls `visit(length, offset of the replacement)` for each entry that `text` begins with, the
/// shortest first, until it returns false.
template <typename Visit>
void PrecompiledMap::for_each_prefix(std::string_view text, Visit visit) const {
  size_t position = offset(units_[0]);
  for (size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<uint8_t>(text[i]);
    position ^= byte;
    if (byte == 0 || position >= units_.size()) return;
    uint32_t unit = units_[position];
    if (label(unit) != byte) return;
    position ^= offset(unit);
    if (!has_value(unit)) continue;
    if (position >= units_.size()) return;
    if (!visit(i + 1, units_[position] & ~kLeaf)) return;
  }
}

/// Empty where the offset is outside of the file.
std::string_view PrecompiledMap::replacement(uint32_t offset) const {
  std::string_view all = std::string_view(blob_).substr(replacements_);
  if (offset >= all.size()) return {};
  return all.substr(offset, all.find('\0', offset) - offset);
}

std::optional<PrecompiledMap::Match> PrecompiledMap::longest(std::string_view text) const {
  std::optional<Match> match;
  for_each_prefix(text, [&](size_t length, uint32_t at) {
    match = Match{length, {}};
    if (replacements_ + at < blob_.size()) {
      match->replacement = replacement(at);
    } else {
      match.reset();
    }
    return true;
  });
  return match;
}

std::optional<std::string_view> PrecompiledMap::shortest(std::string_view text) const {
  std::optional<std::string_view> found;
  for_each_prefix(text, [&](size_t, uint32_t at) {
    found = replacement(at);
    return false;
  });
  return found;
}

void PrecompiledMap::append_grapheme(std::string_view grapheme, std::string& result) const {
  constexpr size_t kShortGrapheme = 6;
  if (grapheme.size() < kShortGrapheme) {
    if (auto found = shortest(grapheme)) {
      result += *found;
      return;
    }
  }
  while (!grapheme.empty()) {
    std::string_view character = first_character(grapheme);
    auto found = shortest(character);
    result += found.has_value() ? *found : character;
    grapheme.remove_prefix(character.size());
  }
}

std::string PrecompiledMap::normalize_graphemes(std::string_view text) const {
  return map_well_formed(text, [&](std::string_view part, std::string& result) {
    size_t begin = 0;
    utf8proc_int32_t state = 0, last = 0;
    for (size_t at = 0; at < part.size();) {
      std::string_view character = first_character(part.substr(at));
      auto c = static_cast<utf8proc_int32_t>(decode_utf8(character));
      if (at > 0 && utf8proc_grapheme_break_stateful(last, c, &state)) {
        append_grapheme(part.substr(begin, at - begin), result);
        begin = at;
      }
      last = c;
      at += character.size();
    }
    append_grapheme(part.substr(begin), result);
  });
}

}  // namespace millrace
