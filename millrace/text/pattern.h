// A regular expression that cuts text into words: compiled once, run by any number of threads.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace millrace {

/// Bytes [begin, end) of a text.
struct TextRange {
  size_t begin = 0;
  size_t end = 0;
};

/// Whether matching may be trusted to take time linear in the text, or must be counted.
enum class Effort { kLinear, kCounted };

class Pattern {
 public:
  /// Compiles an expression in Oniguruma's syntax, as tokenizer.json has them. Throws Error that
  /// begins with `source` for one that is malformed, too large or not supported.
  Pattern(std::string_view expression, std::string_view source, Effort effort);

  /// Appends all matches in `text`, which must be UTF-8, from left to right; they do not overlap
  /// and some may be empty. Throws Error when the expression needs more than some hundred steps a
  /// byte (Effort::kCounted), so that no file can make a text hang.
  void find_all(std::string_view text, std::vector<TextRange>& matches) const;

  const std::string& expression() const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

}  // namespace millrace
