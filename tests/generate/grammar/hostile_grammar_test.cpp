// Grammars made to take too much: each is refused by name, or done with, in bounded time.
#include <gtest/gtest.h>

#include <ctime>

#include "millrace/base/error.h"
#include "millrace/generate/grammar/grammar_cache.h"
#include "tests/generate/grammar/grammar_tools.h"

namespace millrace {
namespace {

using Kind = GrammarSource::Kind;

std::string repeated(std::string_view text, size_t times) {
  std::string result;
  for (size_t i = 0; i < times; ++i) result += text;
  return result;
}

std::string nested(std::string_view open, std::string_view inside, std::string_view close,
                   size_t depth) {
  return repeated(open, depth) + std::string(inside) + repeated(close, depth);
}

/// An Error, or a grammar that gives a few masks, or an Error with one of those.
std::string try_all(const GrammarSource& source) {
  try {
    const auto grammar = CompiledGrammar::compile(read_grammar(source), byte_trie());
    auto constraint = grammar->start();
    for (int i = 0; i < 40; ++i) {
      const auto allowed = constraint->allowed();
      int32_t id = 0;
      while (id < 258 && !is_allowed(allowed, id)) ++id;
      constraint->accept(id);
    }
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

/// Of this thread's own time, so that a busy machine does not matter; generous, for sanitizers.
/// Alone, each case takes well below a second.
constexpr double kSeconds = 10;

void expect_fast(const GrammarSource& source, std::string_view words) {
  auto now = [] {
    timespec time{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  };
  const double begin = now();
  const std::string message = try_all(source);
  EXPECT_LT(now() - begin, kSeconds) << source.text.substr(0, 100);
  EXPECT_NE(message.find(words), std::string::npos)
      << "'" << message << "' for " << source.text.substr(0, 100);
}

TEST(HostileGrammar, RegularExpressions) {
  const std::pair<std::string, const char*> cases[] = {
      {"(((a{1,1000}){1,1000}){1,1000}){1,1000}", ""},
      {"((((a{100}){100}){100}){100}){100}", ""},
      {"(a|b)*a(a|b){40}", ""},
      {"(a|b)*a" + repeated("[ab]", 20), "too large"},
      {"(.*a){30}", ""},
      {"(a*)*b", ""},
      {"(a|aa|aaa)*{2}", "repeats a repetition"},
      {"(x+x+)+y", ""},
      {"a{1,200000}", "more than 100000 times"},
      {"a{99999999999999}", "more than 100000 times"},
      {nested("(", "a", ")", 100'000), "more than 50000"},
      {nested("(", "a", ")", 10'000), "more than 200 groups"},
      {nested("(?:", "a", "){2}", 150), ""},
      {repeated("a?", 2'000) + repeated("a", 2'000), ""},
      {repeated("\\p{L}", 8'000), ""},
      {repeated("[^\\p{L}a]", 5'000), ""},
      {repeated("(\\p{L}|", 100) + repeated(")", 100), ""},
      {repeated("a|", 25'000), ""},
      {"(" + repeated("[a-c]*", 300) + ")*", ""},
      {"(?:.?.?.?.?.?.?.?.?){1,10000}", ""},
      {"(", "does not end"},
      {")", "too many"},
      {"[a", "does not end"},
      {"[b-a]", "before its beginning"},
      {"a**", "repeats a repetition"},
      {"*a", "repeats nothing"},
      {"a{3,2}", "upper bound"},
      {"\\", "backslash"},
      {"\\1(a)", "back-reference"},
      {"(?<=a)b", "look-behind"},
      {"\\bword", "word boundary"},
      {"(?i)a", "flag"},
      {"a$b", "'$'"},
      {"a^b", "'^'"},
      {"\\p{Greek}", "not supported"},
      {"\\u{110000}", "impossible"},
      {"\xff", "not UTF-8"},
      {"[]", "matches no text"},
  };
  for (const auto& [text, words] : cases) expect_fast({Kind::regex, text}, words);
}

TEST(HostileGrammar, Gbnf) {
  std::string many, chain, ambiguous = "root ::= ", doubling;
  for (int i = 0; i < 1'000'000 / 8; ++i) many += "r" + std::to_string(i) + " ::= \"a\"\n";
  for (int i = 0; i < 19'000; ++i) {
    chain += "r" + std::to_string(i) + " ::= r" + std::to_string(i + 1) + " | \"a\"\n";
  }
  for (int i = 0; i < 3000; ++i) ambiguous += "r" + std::to_string(i) + " | ";
  ambiguous += "\"x\"\n";
  for (int i = 0; i < 3000; ++i) ambiguous += "r" + std::to_string(i) + " ::= [a-z] root\n";
  for (int i = 0; i < 60; ++i) {
    const std::string next = "r" + std::to_string(i + 1);
    doubling += "r" + std::to_string(i) + " ::= " + next + " " + next + "\n";
  }
  const std::pair<std::string, const char*> cases[] = {
      {"root ::= \"a\"\n" + many, "20000 rules"},
      {"root ::= r0\n" + chain + "r19000 ::= \"a\"", ""},
      {ambiguous, "ambiguous"},
      {"root ::= r0\n" + doubling + "r60 ::= \"a\"?\n", ""},
      {"root ::= root \"a\" | \"b\"", "rule 'root' begins with itself"},
      {"root ::= a\na ::= b? c\nb ::= \"x\"\nc ::= a \"y\" | \"z\"", "begins with itself"},
      {"root ::= \"a\" root", "matches no text"},
      {"root ::= \"a\" root root | \"a\"", ""},
      {"root ::= (\"a\" root | \"a\" root \"b\"? | \"a\")", ""},
      {"root ::= " + nested("(", "\"a\"", ")", 50'000), "groups are nested"},
      {"root ::= " + nested("(", "\"a\"", "){9}", 150), ""},
      {"root ::= [a-z]{100001}", "more than 100000"},
      {"root ::= x", "'x' is used"},
      {"foo ::= \"a\"", "'root' is needed"},
      {"root ::= \"a\"\nroot ::= \"b\"", "line 2: rule 'root' is defined twice"},
      {"root ::= \"a", "does not end"},
      {"root = \"a\"", "line 1: expected ::="},
      {"root ::= \"\\q\"", "escape"},
      {"root ::= <think>", "by id"},
      {"root ::= <[440]>", "names token 440"},
      {"root ::= \"\xff\"", "UTF-8"},
      {"", "'root' is needed"},
  };
  for (const auto& [text, words] : cases) expect_fast({Kind::gbnf, text}, words);
}

TEST(HostileGrammar, Schemas) {
  std::string values, doubling, chain, wide, all_of = "{\"type\":\"object\",\"allOf\":[";
  for (int i = 0; i < 30'000; ++i)
    values += (i > 0 ? ",\"v" : "\"v") + std::to_string(i * 7919) + "\"";
  for (int i = 0; i < 40; ++i) {
    const std::string next = "{\"$ref\":\"#/$defs/d" + std::to_string(i + 1) + "\"}";
    doubling += "\"d" + std::to_string(i) + "\":{\"allOf\":[" + next + "," + next + "]},";
  }
  for (int i = 0; i < 15'000; ++i) {
    chain +=
        "\"c" + std::to_string(i) + "\":{\"$ref\":\"#/$defs/c" + std::to_string(i + 1) + "\"},";
  }
  for (int i = 0; i < 5'000; ++i) wide += (i > 0 ? ",\"p" : "\"p") + std::to_string(i) + "\":{}";
  for (int i = 0; i < 3'000; ++i) {
    all_of +=
        std::string(i > 0 ? "," : "") + "{\"properties\":{\"p" + std::to_string(i) + "\":{}}}";
  }
  const std::pair<std::string, const char*> cases[] = {
      {"{\"enum\":[" + values + "]}", ""},
      {"{\"$ref\":\"#/$defs/d0\",\"$defs\":{" + doubling + "\"d40\":{\"type\":\"null\"}}}",
       "lead back to themselves, or too far"},
      {"{\"$ref\":\"#/$defs/c0\",\"$defs\":{" + chain + "\"c15000\":{\"type\":\"null\"}}}", ""},
      {"{\"properties\":{" + wide + "}}", "more than 900 properties"},
      {all_of + "]}", "more than 1000 properties"},
      {nested("{\"items\":", "{}", "}", 150), ""},
      {nested("{\"anyOf\":[", "{}", "]}", 90), ""},
      {nested("{\"items\":", "{}", "}", 5000), "nested deeper"},
      {R"({"type": "string", "minLength": 1000000})", ""},
      {R"({"type": "string", "maxLength": 1000001})", "more than 1000000"},
      {R"({"type": "array", "items": {"type": "array", "items": {"type": "array", "maxItems": 90000},
          "maxItems": 90000}, "maxItems": 90000})",
       ""},
      {"{\"type\": \"string\", \"pattern\": \"a" + repeated("[ab]", 20) + "\"}", "too large"},
      {R"({"type": "string", "pattern": "(.*)*(.*)*x(.*){30}y"})", ""},
      {R"({"properties": {"c": {"allOf": [{"$ref": "#"}, {"properties": {"x": {}}}]}}})", ""},
      {"{\"properties\":{\"" + std::string(100'000, 'a') + "\":{}},\"additionalProperties\":true}",
       "too long"},
  };
  for (const auto& [text, words] : cases) expect_fast({Kind::json_schema, text}, words);
}

}  // namespace
}  // namespace millrace
