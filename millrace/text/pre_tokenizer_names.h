// The pre-tokenizers that llama.cpp and GGUF files call by name.
#pragma once

#include <array>
#include <span>
#include <string_view>

namespace millrace {

/// GPT-2's expression, which ByteLevel applies by itself (Radford et al. 2019).
inline constexpr std::string_view kGpt2Expression =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

struct NamedPreTokenizer {
  /// All names for the same thing; the first is the one to write.
  std::span<const std::string_view> names;
  /// Splits in order; each isolates its matches.
  std::span<const std::string_view> expressions;
  /// A word that is a token by itself is never merged from parts (Llama 3).
  bool ignore_merges = false;
  /// Texts begin with the bos token unless the file says otherwise.
  bool add_bos = false;
};

std::span<const NamedPreTokenizer> named_pre_tokenizers();

/// nullptr for an unknown name.
const NamedPreTokenizer* find_named_pre_tokenizer(std::string_view name);

}  // namespace millrace
