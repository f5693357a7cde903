// The regular expressions of tokenizer.json are Oniguruma's (Ruby syntax, Unicode 16); ours are
// run by PCRE2. This is the translation, which keeps what they match.
#pragma once

#include <string>
#include <string_view>

namespace millrace {

/// The expression in PCRE2's syntax, for its options UTF, UCP and MULTILINE. Throws Error that
/// begins with `source` where Oniguruma and PCRE2 differ in a way that cannot be translated.
std::string oniguruma_to_pcre2(std::string_view expression, std::string_view source);

/// An expression that matches exactly `text`.
std::string literal_expression(std::string_view text);

}  // namespace millrace
