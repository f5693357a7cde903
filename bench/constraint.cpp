// Constrained decoding: ms to compile a grammar, µs a mask along texts that it allows, for real
// vocabularies (MILLRACE_VOCABULARY: a GGUF file; its tokenizer is all that is read).
//   MILLRACE_VOCABULARY=model.gguf build/bench/bench_constraint
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/generate/grammar/compiled_grammar.h"
#include "millrace/generate/grammar/grammar_cache.h"
#include "millrace/text/tokenizer.h"

namespace millrace {
namespace {

struct Case {
  const char* name;
  GrammarSource source;
  std::vector<const char*> texts;
};

const std::vector<Case>& cases() {
  using Kind = GrammarSource::Kind;
  static const std::vector<Case> all = {
      {"json_object",
       {Kind::json_object, ""},
       {R"({"name": "Ada Lovelace", "born": 1815, "tags": ["mathematics", "poetry — \"science\""],
  "address": {"city": "London", "zip": null, "lines": ["12 St. James's Square"]}})"}},
      {"person",
       {Kind::json_schema, R"({"type": "object", "properties": {
          "name": {"type": "string"}, "age": {"type": "integer", "minimum": 0, "maximum": 150},
          "email": {"type": "string", "format": "email"},
          "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 10},
          "role": {"enum": ["admin", "editor", "viewer"]},
          "address": {"type": "object", "properties": {"street": {"type": "string"},
            "city": {"type": "string"}, "zip": {"type": "string", "pattern": "^[0-9]{5}$"}},
            "required": ["street", "city"], "additionalProperties": false}},
          "required": ["name", "age", "role"], "additionalProperties": false})"},
       {R"({"name": "Grace Hopper", "age": 85, "email": "grace@navy.example.org", "tags": ["compiler", "COBOL"], "role": "admin", "address": {"street": "1 Main Street", "city": "Arlington", "zip": "22201"}})",
        R"({"name": "Bob", "age": 7, "role": "viewer"})"}},
      {"recursive",
       {Kind::json_schema, R"({"$ref": "#/$defs/node", "$defs": {"node": {"type": "object",
          "properties": {"value": {"type": "number"}, "label": {"type": "string"},
          "children": {"type": "array", "items": {"$ref": "#/$defs/node"}}},
          "required": ["value", "children"], "additionalProperties": false}}})"},
       {R"({"value": 1.5, "label": "root", "children": [{"value": 2, "children": [{"value": -3e4, "children": []}]}, {"value": 0.25, "label": "leaf of the tree", "children": []}]})"}},
      {"bounded_string",
       {Kind::json_schema, R"({"type": "object", "properties": {"summary": {"type": "string",
          "minLength": 10, "maxLength": 400}}, "required": ["summary"],
          "additionalProperties": false})"},
       {R"({"summary": "A mill race is the current of water that turns a water wheel, or the channel conducting water to or from a water wheel."})"}},
      {"regex",
       {Kind::regex, R"((?:\(\d{3}\) \d{3}-\d{4}|[A-Z][a-z]+(?: [A-Z][a-z]+)*: \p{L}+[.!?])+)"},
       {"(555) 123-4567Ada Lovelace: Grüße.An Alle: Übermut!"}},
      {"arithmetic",
       {Kind::gbnf,
        "root ::= (expr \"=\" ws term \"\\n\")+\n"
        "expr ::= term ([-+*/] term)*\n"
        "term ::= ident | num | \"(\" ws expr \")\" ws\n"
        "ident ::= [a-z] [a-z0-9_]* ws\n"
        "num ::= [0-9]+ ws\n"
        "ws ::= [ \\t\\n]*\n"},
       {"x+y*(foo-12)= 4\n(a1 /(b*c+77 ))=result\n"}},
  };
  return all;
}

const Tokenizer& tokenizer() {
  static const Tokenizer loaded = [] {
    const char* path = std::getenv("MILLRACE_VOCABULARY");
    if (path == nullptr) {
      fmt::print(stderr, "set MILLRACE_VOCABULARY to a GGUF file or a model's folder\n");
      std::exit(2);
    }
    return load_tokenizer(path);
  }();
  return loaded;
}

const std::shared_ptr<const TokenTrie>& trie() {
  static const auto shared =
      std::make_shared<const TokenTrie>(tokenizer(), tokenizer().end_ids(), 0);
  return shared;
}

double microseconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin)
      .count();
}

void build_trie(benchmark::State& state) {
  for (auto _ : state) TokenTrie(tokenizer(), tokenizer().end_ids(), 0);
  state.counters["vocabulary"] = tokenizer().vocab_size();
}
BENCHMARK(build_trie)->Unit(benchmark::kMillisecond);

void compile(benchmark::State& state, const Case& of) {
  trie();
  for (auto _ : state) CompiledGrammar::compile(read_grammar(of.source), trie());
}

/// Every mask on the way, for a grammar that no text was read with yet, and then again.
void masks(benchmark::State& state, const Case& of) {
  std::vector<double> first, again;
  for (auto _ : state) {
    const auto grammar = CompiledGrammar::compile(read_grammar(of.source), trie());
    for (std::vector<double>* times : {&first, &again}) {
      for (const char* text : of.texts) {
        auto constraint = grammar->start();
        std::vector<int32_t> ids = tokenizer().encode(text, {false, false});
        for (int32_t id : ids) {
          const auto begin = std::chrono::steady_clock::now();
          benchmark::DoNotOptimize(constraint->allowed());
          constraint->accept(id);
          times->push_back(microseconds_since(begin));
        }
      }
    }
  }
  auto at = [](std::vector<double>& times, double part) {
    std::sort(times.begin(), times.end());
    return times[static_cast<size_t>(part * static_cast<double>(times.size() - 1))];
  };
  state.counters["first_median_us"] = at(first, 0.5);
  state.counters["first_p99_us"] = at(first, 0.99);
  state.counters["first_max_us"] = at(first, 1);
  state.counters["again_median_us"] = at(again, 0.5);
}

const bool kRegistered = [] {
  for (const Case& of : cases()) {
    benchmark::RegisterBenchmark(("compile/" + std::string(of.name)).c_str(), compile, of)
        ->Unit(benchmark::kMillisecond);
    benchmark::RegisterBenchmark(("masks/" + std::string(of.name)).c_str(), masks, of)
        ->Iterations(5)
        ->Unit(benchmark::kMillisecond);
  }
  return true;
}();

}  // namespace
}  // namespace millrace
