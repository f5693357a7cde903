// What pre-tokenizers want to know of a character: letter, number, space, … by Unicode 16.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace millrace {

/// Sets of general categories, to be joined by |.
enum CharacterClass : uint8_t {
  kLetter = 1,    // \p{L}
  kNumber = 2,    // \p{N}
  kSpace = 4,     // \s
  kMark = 8,      // \p{M}
  kUpper = 16,    // \p{Lu} and \p{Lt}
  kLower = 32,    // \p{Ll}
  kLineEnd = 64,  // a carriage return or a line feed
  kOther = 128,   // none of letter, number, space and mark
  /// Both bits, which no other character has: \p{Han}. Only with_han() has it.
  kHan = kUpper | kLower,
};

class CharacterClasses {
 public:
  /// Made when first asked for, then shared.
  static const CharacterClasses& instance();
  /// The same with kHan.
  static const CharacterClasses& with_han();

  /// The classes of a code point, at most U+10FFFF; for ASCII a little faster.
  uint8_t of(char32_t c) const { return classes_[blocks_[c >> kBlockBits] + (c & (kBlock - 1))]; }
  uint8_t of_ascii(uint8_t c) const { return classes_[c]; }

 private:
  static constexpr size_t kBlockBits = 7;
  static constexpr size_t kBlock = size_t{1} << kBlockBits;

  explicit CharacterClasses(bool knows_han);

  std::array<uint16_t, (0x110000 >> kBlockBits)> blocks_;  // where each block begins in classes_
  std::vector<uint8_t> classes_;                           // blocks that are equal are there once
};

}  // namespace millrace
