// Unicode normal forms, which some tokenizers (Qwen2: NFC) apply to text before they split it.
// https://unicode.org/reports/tr15/
#pragma once

#include <string>
#include <string_view>

namespace millrace {

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

/// The text in a normal form. Bytes that are not UTF-8 stay as they are, and nothing combines
/// across them. Takes time linear in the text, but for a sort of each run of combining marks.
std::string normalize(NormalForm form, std::string_view text);

}  // namespace millrace
