// Unicode normal forms, which some tokenizers (Qwen2: NFC) apply to text before they split it.
// https://unicode.org/reports/tr15/
#pragma once

#include <string>
#include <string_view>

#include "millrace/base/json.h"

namespace millrace {

enum class Normalizer { kNone, kNfc, kNfd, kNfkc, kNfkd };

/// tokenizer.json's "normalizer": null, one of the four forms, or a Sequence of at most one. Throws
/// Error naming the type of any other.
Normalizer normalizer_from_json(const Json& normalizer, std::string_view source);
Json to_json(Normalizer normalizer);

/// The text in a normal form. Bytes that are not UTF-8 stay as they are, and nothing combines
/// across them. Takes time linear in the text, but for a sort of each run of combining marks.
std::string normalize(Normalizer normalizer, std::string_view text);

}  // namespace millrace
