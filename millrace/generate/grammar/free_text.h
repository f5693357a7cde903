// Text that is free up to a marker and then held to a grammar: tool calls, answers after reasoning.
#pragma once

#include <span>
#include <string>

#include "millrace/generate/grammar/grammar.h"
#include "millrace/text/tokenizer_definition.h"

namespace millrace {

/// What turns up in the text: these bytes, or, when there is one, this special token instead.
struct PartMarker {
  std::string text;
  int32_t token = kNoToken;
};

/// A part of a text that is held to a grammar, with what begins and, if not empty, ends it.
struct MarkedPart {
  PartMarker begin;
  Grammar grammar;
  PartMarker end;
};

/// Where such parts may stand.
struct PartRules {
  bool required = false;    ///< at least one
  bool repeated = true;     ///< more than one, and free text after them
  bool text_before = true;  ///< free text before the first
};

/// Free text in which each beginning of a part is followed by that part; the text may end outside
/// of parts. Free text is any bytes and all special tokens that are no marker.
Grammar grammar_with_parts(std::span<const MarkedPart> parts, const PartRules& rules);

/// Free text up to `marker`, then, after up to `max_newlines` newlines, the grammar to its end:
/// for models that reason before they answer.
Grammar grammar_after(const PartMarker& marker, const Grammar& grammar, uint32_t max_newlines = 2);

}  // namespace millrace
