// Sets of characters, and how a grammar over bytes reads one character of a set.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/generate/grammar/grammar.h"

namespace millrace {

struct CodePointRange {
  char32_t first = 0;
  char32_t last = 0;
  auto operator<=>(const CodePointRange&) const = default;
};

/// Characters, which surrogates are not.
class CodePointSet {
 public:
  CodePointSet() = default;
  CodePointSet(std::initializer_list<CodePointRange> ranges);
  explicit CodePointSet(std::vector<CodePointRange> ranges);
  static CodePointSet any();

  void add(char32_t first, char32_t last);
  void add(const CodePointSet& other);
  CodePointSet inverted() const;
  CodePointSet without(const CodePointSet& other) const;

  bool contains(char32_t c) const;
  bool empty() const { return ranges_.empty(); }
  /// Ascending, none touching another.
  const std::vector<CodePointRange>& ranges() const { return ranges_; }

 private:
  void normalize();

  std::vector<CodePointRange> ranges_;
};

CodePointSet digits();           // \d: 0 to 9
CodePointSet word_characters();  // \w: ASCII letters, digits and _
CodePointSet white_space();      // \s, as ECMA-262 has it
CodePointSet line_ends();
/// \p{…} for general categories ("L", "Lu", "Letter", "gc=Lu", …), "Any" and "ASCII". Throws Error
/// for other properties.
CodePointSet unicode_property(std::string_view name);

/// How characters are written in the text.
enum class TextEncoding : uint8_t {
  utf8,
  json_string,  // between quotes: some are escaped
};

/// Makes expressions for sets of characters, equal parts of them once.
class CharacterExpressions {
 public:
  CharacterExpressions(Grammar& grammar, TextEncoding encoding)
      : grammar_(grammar), encoding_(encoding) {}

  Expression one_of(const CodePointSet& set);
  /// A text, character by character.
  Expression text(std::string_view utf8);

 private:
  enum class Cover : uint8_t { none, some, all };

  Expression utf8(const CodePointSet& set);
  Expression json_string(const CodePointSet& set);
  Expression continuation(const CodePointSet& set, uint32_t bytes, char32_t base);
  static Cover cover(const CodePointSet& set, char32_t first, char32_t last);

  Grammar& grammar_;
  TextEncoding encoding_;
  std::map<std::vector<CodePointRange>, Expression> known_;
  std::map<std::vector<std::pair<Expression, uint64_t>>, Expression> groups_;
};

}  // namespace millrace
