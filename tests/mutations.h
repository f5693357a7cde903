// Damaged files, for tests of whatever reads them.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/base/random.h"

namespace millrace {

/// One to four random edits of a binary file: bits, bytes, whole integers, cuts, insertions,
/// copies.
inline std::string mutate_binary(std::string bytes, Random& random) {
  for (uint64_t edits = 1 + random.below(4); edits > 0 && !bytes.empty(); --edits) {
    size_t at = random.below(bytes.size());
    switch (random.below(6)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
        break;
      case 1:
        bytes[at] = static_cast<char>(random.bits());
        break;
      case 2: {  // an integer of an interesting size, where integers are wide
        uint64_t value = (uint64_t{1} << random.below(64)) - random.below(2);
        size_t width = std::min<size_t>(random.below(2) == 0 ? 4 : 8, bytes.size() - at);
        std::memcpy(bytes.data() + at, &value, width);
        break;
      }
      case 3:
        bytes.erase(at, 1 + random.below(16));
        break;
      case 4:
        bytes.insert(at, 1 + random.below(16), static_cast<char>(random.bits()));
        break;
      default: {
        std::string piece = bytes.substr(random.below(bytes.size()), 1 + random.below(32));
        bytes.replace(at, std::min(piece.size(), bytes.size() - at), piece);
        break;
      }
    }
  }
  return bytes;
}

/// One to four random edits of a text: bits, cuts, insertions and copies.
inline std::string mutate_bytes(std::string bytes, Random& random) {
  for (uint64_t edits = 1 + random.below(4); edits > 0; --edits) {
    size_t at = random.below(bytes.size());
    switch (random.below(4)) {
      case 0:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
        break;
      case 1:
        bytes.erase(at, 1 + random.below(16));
        break;
      case 2:
        bytes.insert(at, 1 + random.below(4), "0129.-\"\\[]{}(),:*+?ae"[random.below(22)]);
        break;
      default: {
        std::string piece = bytes.substr(random.below(bytes.size()), 1 + random.below(32));
        bytes.replace(at, std::min(piece.size(), bytes.size() - at), piece);
      }
    }
  }
  return bytes;
}

/// Every value of a document, at any depth.
inline void collect_values(Json& value, std::vector<Json*>& values) {
  values.push_back(&value);
  for (auto& member : value) {
    if (member.is_structured()) {
      collect_values(member, values);
    } else {
      values.push_back(&member);
    }
  }
}

/// The document with one value that is another one of its own, or an odd one.
inline std::string mutate_values(const Json& original, Random& random) {
  Json json = original;
  std::vector<Json*> values;
  collect_values(json, values);
  Json& target = *values[random.below(values.size())];
  const Json odd[] = {nullptr,
                      true,
                      -1,
                      0,
                      3,
                      4097,
                      1 << 30,
                      INT64_MAX,
                      INT64_MIN,
                      UINT64_MAX,
                      0.5,
                      -1e-300,
                      1e300,
                      "",
                      "a",
                      "\\",
                      std::string(3000, '('),
                      Json::array(),
                      Json::object(),
                      Json::array({1, "a"})};
  if (random.below(2) == 0) {
    target = odd[random.below(std::size(odd))];
  } else {
    Json copy = *values[random.below(values.size())];
    target = copy;
  }
  return to_json_text(json);
}

}  // namespace millrace
