// Masks held to a reader that tries every token byte by byte, on random grammars and random walks.
#include <gtest/gtest.h>

#include "millrace/base/error.h"
#include "millrace/generate/grammar/gbnf.h"
#include "millrace/generate/grammar/regex.h"
#include "tests/generate/grammar/grammar_tools.h"

namespace millrace {
namespace {

/// Random rules that cannot begin with themselves: a rule calls earlier ones only after a byte.
class RandomGrammar {
 public:
  explicit RandomGrammar(Random& random) : random_(random) {
    const uint64_t count = 1 + random.below(4);
    for (uint64_t i = 0; i < count; ++i) {
      grammar_.add_rule("rule" + std::to_string(i));
    }
    for (Rule rule = 0; rule < count; ++rule) {
      grammar_.define(rule, grammar_.choice({text(), expression(3, rule, false)}));
    }
  }
  const Grammar& grammar() const { return grammar_; }

 private:
  Expression text() {
    std::string bytes;
    for (uint64_t i = 1 + random_.below(2); i > 0; --i) bytes += "ab,\"\xc3\xa9"[random_.below(6)];
    return grammar_.literal(bytes);
  }

  Expression expression(int depth, Rule rule, bool guarded) {
    switch (depth == 0 ? random_.below(3) : random_.below(8)) {
      case 0:
        return text();
      case 1: {
        ByteSet set;
        const auto first = static_cast<uint8_t>('a' + random_.below(2));
        set.add(first, static_cast<uint8_t>(first + random_.below(2)));
        if (random_.below(4) == 0) set.add(0x80, 0xff);
        return grammar_.bytes(set);
      }
      case 2: {
        const auto rules = static_cast<Rule>(grammar_.rules().size());
        if (guarded) return grammar_.call(static_cast<Rule>(random_.below(rules)));
        if (rule + 1 == rules) return grammar_.empty();
        return grammar_.call(rule + 1 + static_cast<Rule>(random_.below(rules - rule - 1)));
      }
      case 3:
      case 4: {
        const Expression first = expression(depth - 1, rule, guarded);
        if (random_.below(2) == 0) {
          return grammar_.sequence({first, expression(depth - 1, rule, guarded)});
        }
        return grammar_.sequence({text(), expression(depth - 1, rule, true), first});
      }
      case 5:
        return grammar_.choice(
            {expression(depth - 1, rule, guarded), expression(depth - 1, rule, guarded)});
      default: {
        const auto min = static_cast<uint32_t>(random_.below(3));
        // Some beyond what is unrolled.
        const uint32_t most[] = {kUnbounded, min + 1, min + 3, 40, 100};
        return grammar_.repeat(expression(depth - 1, rule, guarded), min, most[random_.below(5)]);
      }
    }
  }

  Random& random_;
  Grammar grammar_;
};

std::vector<std::string> random_tokens(Random& random) {
  std::vector<std::string> tokens;
  for (int i = 0; i < 60; ++i) {
    std::string token;
    for (uint64_t n = 1 + random.below(6); n > 0; --n) token += "aabb,\"\xc3\xa9"[random.below(8)];
    tokens.push_back(token);  // some of them twice
  }
  return tokens;
}

void check_walk(const Grammar& grammar, const TokenTrie& trie, const CompiledGrammar& compiled,
                Random& random, int& compared) {
  std::unique_ptr<Constraint> constraint = compiled.start();
  NaiveReader reader(grammar);
  std::string text;
  for (int step = 0; step < 25; ++step) {
    const std::span<const uint64_t> allowed = constraint->allowed();
    std::vector<int32_t> ids;
    for (int32_t id = 0; id < trie.vocab_size(); ++id) {
      const std::string_view bytes = trie.bytes(id);
      const NaiveReader after = reader.after(bytes);
      if (after.gave_up()) return;
      const bool expected = trie.is_end(id) ? reader.may_end() : !bytes.empty() && after.alive();
      ASSERT_EQ(is_allowed(allowed, id), expected)
          << "after " << quote(text) << ", token " << id << ": " << quote(bytes);
      ++compared;
      if (expected && !trie.is_end(id)) ids.push_back(id);
    }
    if (ids.empty()) return;
    const int32_t id = ids[random.below(ids.size())];
    if (random.below(4) == 0) constraint = constraint->clone();
    constraint->accept(id);
    reader = reader.after(trie.bytes(id));
    text += trie.bytes(id);
  }
}

TEST(Masks, AreThoseOfANaiveReaderOnRandomGrammars) {
  int compared = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Random random(seed);
    RandomGrammar made(random);
    const auto trie = trie_with(random_tokens(random));
    std::shared_ptr<const CompiledGrammar> compiled;
    try {
      compiled = CompiledGrammar::compile(made.grammar(), trie);
    } catch (const Error& error) {
      // A rule whose beginning may be empty can still begin with itself.
      ASSERT_NE(std::string(error.what()).find("left recursion"), std::string::npos)
          << error.what();
      continue;
    }
    for (int walk = 0; walk < 3; ++walk) {
      check_walk(made.grammar(), *trie, *compiled, random, compared);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GT(compared, 50'000);
}

TEST(Masks, LongRepetitionsAreCountedExactly) {
  Random random(7);
  int compared = 0;
  const auto trie = trie_with(random_tokens(random));
  for (const char* regex : {"(a|b){3,200}", "(?:[ab]{100}|a{99}),", "(?:[ab]{1,90}\"){2,70}a",
                            "[^a]{80,}", "(?:a?b){0,150}", "(?:(?:a|bb){70,80},){3}"}) {
    SCOPED_TRACE(regex);
    const Grammar grammar = grammar_from_regex(regex);
    const auto compiled = CompiledGrammar::compile(grammar, trie);
    for (int walk = 0; walk < 4; ++walk) check_walk(grammar, *trie, *compiled, random, compared);
  }
  const auto exact = compiled(grammar_from_regex("a{150,160}"));
  for (size_t n : {0, 149, 150, 155, 160, 161}) {
    EXPECT_EQ(exact->matches(std::string(n, 'a')), n >= 150 && n <= 160) << n;
  }
}

}  // namespace
}  // namespace millrace
