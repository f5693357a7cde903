// What follows for expressions from their parts: which may match nothing at all, and which can
// match anything.
#pragma once

#include <cstdint>
#include <vector>

#include "millrace/generate/grammar/grammar.h"

namespace millrace {

/// By expression: may it match the empty text?
std::vector<uint8_t> find_nullable(const Grammar& grammar);

/// By expression: is there a text that it matches?
std::vector<uint8_t> find_productive(const Grammar& grammar);

}  // namespace millrace
