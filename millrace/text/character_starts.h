// Characters that byte-pair encoding may begin with instead of their bytes: Chinese text is merged
// in a third of the steps.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "millrace/text/pair_map.h"
#include "millrace/text/tokenizer_definition.h"

namespace millrace {

/// What becomes of a pair of tokens, and when.
struct Join {
  static constexpr uint32_t kNever = UINT32_MAX;
  uint32_t rank = kNever;
  int32_t result = kNoToken;
};

/// For each character of two or three bytes: the tokens that its bytes become by themselves, and
/// beside which bytes they become so, because every join within the character comes before any
/// that would join a part of it with a neighbour.
class CharacterStarts {
 public:
  /// Knows no character.
  CharacterStarts() = default;
  /// Knows all that the merges allow. Every byte has a token of its own in `byte_tokens`; each
  /// merge gives a token of both its parts' bytes.
  CharacterStarts(const TokenizerDefinition& definition, const PairMap<Join>& joins,
                  const std::array<int32_t, 256>& byte_tokens);

  /// Tokens of a character, as many as there are before kNoToken.
  using Tokens = std::array<int32_t, 3>;
  struct Start {
    const Tokens* tokens = nullptr;  // nullptr: merging has to begin with the byte here
    size_t length = 0;
  };
  /// What to begin with at a byte of a word, which may be any bytes.
  Start at(std::string_view word, size_t i) const;

 private:
  /// A bit for each of 64 neighbouring bytes beside which the tokens may be others.
  struct Character {
    Tokens tokens = {kNoToken, kNoToken, kNoToken};
    uint64_t unsafe_before = 0;  // by the lower bits of the byte before it, 0x80 to 0xbf
    uint64_t unsafe_after = 0;   // by those of the byte after it, 0xc0 to 0xff
  };
  std::vector<Character> characters_;  // by code point, or none at all
};

}  // namespace millrace
