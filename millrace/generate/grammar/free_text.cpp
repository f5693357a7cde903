#include "millrace/generate/grammar/free_text.h"

#include <vector>

#include "millrace/base/error.h"

namespace millrace {
namespace {

Expression marker_expression(const PartMarker& marker, Grammar& grammar) {
  require(!marker.text.empty() || marker.token != kNoToken,
          "a marker in free text must have bytes or be a token");
  return marker.token != kNoToken ? grammar.token(marker.token) : grammar.literal(marker.text);
}

bool is_given(const PartMarker& marker) {
  return !marker.text.empty() || marker.token != kNoToken;
}

Expression free_text(Grammar& grammar) {
  ByteSet all;
  all.add(0, 255);
  const Expression one = grammar.choice({grammar.bytes(all), grammar.token(kAnySpecial)});
  return grammar.repeat(one, 0, kUnbounded);
}

}  // namespace

Grammar grammar_with_parts(std::span<const MarkedPart> parts, const PartRules& rules) {
  Grammar grammar;
  const Rule root = grammar.add_rule("text with marked parts");
  const Expression free = free_text(grammar);
  std::vector<Expression> ways, first_ways;
  for (const MarkedPart& part : parts) {
    const Expression begin = marker_expression(part.begin, grammar);
    std::vector<Expression> held = {grammar.call(grammar.import(part.grammar))};
    if (is_given(part.end)) held.push_back(marker_expression(part.end, grammar));
    const Expression body = grammar.sequence(held);
    // The first marker that turns up decides: what follows it is no free text any more.
    ways.push_back(grammar.sequence({grammar.first(grammar.sequence({free, begin})), body}));
    first_ways.push_back(grammar.sequence({begin, body}));
  }
  const Expression anywhere = grammar.choice(ways);
  const Expression first = rules.text_before ? anywhere : grammar.choice(first_ways);
  if (!rules.repeated) {
    grammar.define(root, rules.required ? first : grammar.choice({first, free}));
    return grammar;
  }
  const Expression later = grammar.sequence({grammar.repeat(anywhere, 0, kUnbounded), free});
  const Expression with_one = grammar.sequence({first, later});
  grammar.define(root, rules.required ? with_one : grammar.choice({with_one, free}));
  return grammar;
}

Grammar grammar_after(const PartMarker& marker, const Grammar& held, uint32_t max_newlines) {
  Grammar grammar;
  const Rule root = grammar.add_rule("text after reasoning");
  const Expression reasoning =
      grammar.first(grammar.sequence({free_text(grammar), marker_expression(marker, grammar)}));
  const Expression newlines = grammar.repeat(grammar.literal("\n"), 0, max_newlines);
  grammar.define(root, grammar.sequence({reasoning, newlines, grammar.call(grammar.import(held))}));
  return grammar;
}

}  // namespace millrace
