// The special tokens that a tokenizer in training is told to have.
#pragma once

#include <initializer_list>
#include <span>
#include <string>

namespace millrace {

/// Throws Error unless the tokens are text, all different, and those with a part to play (empty:
/// none has it) are among them.
void check_special_tokens(std::span<const std::string> tokens,
                          std::initializer_list<std::string> with_a_part);

}  // namespace millrace
