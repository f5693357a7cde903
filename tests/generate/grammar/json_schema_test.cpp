// JSON Schemas as grammars, held to the package jsonschema, and to a parser of JSON.
#include <gtest/gtest.h>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/generate/grammar/json_parts.h"
#include "millrace/generate/grammar/json_schema.h"
#include "tests/generate/grammar/grammar_tools.h"

namespace millrace {
namespace {

Json goldens() {
  return read_json(std::filesystem::path(MILLRACE_SOURCE_DIR) /
                   "tests/golden/text/json_schema.json");
}

std::shared_ptr<const CompiledGrammar> compiled_schema(const std::string& schema) {
  return compiled(grammar_from_json_schema(parse_json(schema, "schema")));
}

TEST(JsonSchema, AcceptsWhatJsonschemaFindsValid) {
  size_t texts = 0;
  for (const Json& golden : goldens()) {
    SCOPED_TRACE(to_json_text(golden.at("schema")));
    const auto grammar = compiled(grammar_from_json_schema(golden.at("schema")));
    for (const Json& one : golden.at("texts")) {
      const auto text = one[0].get<std::string>();
      EXPECT_EQ(grammar->matches(text), one[1].get<bool>()) << text;
      ++texts;
    }
  }
  EXPECT_GE(texts, 200u);
}

/// Tokens that cross the borders of JSON's parts, so that masks matter.
std::shared_ptr<const TokenTrie> json_trie() {
  return trie_with({"{\"", "\":",      "\": \"",   "\", \"", "\"}",  "}}",  "],",
                    "[[",  "true",     "null",     "-1",     "00",   "1.",  "e1",
                    "\\u", "\xf0\x9f", "\x99\x82", "  ",     "\n  ", "name"});
}

TEST(JsonSchema, WhatIsSampledParsesAndIsAcceptedAgain) {
  const auto trie = json_trie();
  int ended_texts = 0;
  uint64_t seed = 0;
  for (const Json& golden : goldens()) {
    const Grammar grammar = grammar_from_json_schema(golden.at("schema"));
    const auto compiled_one = CompiledGrammar::compile(grammar, trie);
    for (int i = 0; i < 4; ++i) {
      SCOPED_TRACE(to_json_text(golden.at("schema")) + " seed " + std::to_string(++seed));
      Random random(seed);
      bool ended = false;
      const std::string text = random_text(*compiled_one, *trie, random, 300, ended);
      if (!ended) continue;
      ++ended_texts;
      EXPECT_NO_THROW(parse_json(text, "text")) << text;
      EXPECT_TRUE(compiled_one->matches(text)) << text;
    }
  }
  EXPECT_GT(ended_texts, 100);
}

TEST(JsonSchema, AnyObjectParses) {
  const auto trie = json_trie();
  const auto grammar = CompiledGrammar::compile(grammar_of_json_objects(), trie);
  int ended_texts = 0;
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    SCOPED_TRACE(seed);
    Random random(seed);
    bool ended = false;
    const std::string text = random_text(*grammar, *trie, random, 300, ended);
    if (!ended) continue;
    ++ended_texts;
    EXPECT_TRUE(parse_json(text, "text").is_object()) << text;
  }
  EXPECT_GT(ended_texts, 10);
  EXPECT_TRUE(grammar->matches(R"({"a": "\ud83d\ude42"})"));
  EXPECT_FALSE(grammar->matches(R"({"a": "\ud83d"})"));
  EXPECT_FALSE(grammar->matches("{\"a\": \"\x1f\"}"));
  EXPECT_FALSE(grammar->matches("{\"a\": \"\xc3\"}"));
  EXPECT_FALSE(grammar->matches("[1]"));
}

TEST(JsonSchema, WhiteSpaceIsBounded) {
  const auto grammar = compiled_schema(R"({"type": "array", "items": {"type": "null"}})");
  EXPECT_TRUE(grammar->matches("[null,null]"));
  EXPECT_TRUE(grammar->matches("[\n    null,\n    null\n]"));
  EXPECT_TRUE(grammar->matches("[\n\tnull\n]"));
  EXPECT_FALSE(grammar->matches("[\n\nnull]"));
  EXPECT_FALSE(grammar->matches("[  null]"));
  EXPECT_FALSE(grammar->matches("[\n" + std::string(25, ' ') + "null]"));
  EXPECT_FALSE(grammar->matches(" [null]"));
  EXPECT_FALSE(grammar->matches("[null] "));
}

TEST(JsonSchema, RefusesByNameWhatItDoesNotSupport) {
  const std::pair<const char*, const char*> cases[] = {
      {R"({"not": {}})", "'not'"},
      {R"({"if": {}, "then": {}})", "'if'"},
      {R"({"type": "array", "uniqueItems": true})", "'uniqueItems'"},
      {R"({"properties": {"a": {"contains": {}}}})", "'/properties/a': the keyword 'contains'"},
      {R"({"type": "number", "multipleOf": 0.5})", "'multipleOf'"},
      {R"({"type": "object", "patternProperties": {"a": {}}})", "'patternProperties'"},
      {R"({"dependentRequired": {}})", "'dependentRequired'"},
      {R"({"unevaluatedProperties": false})", "'unevaluatedProperties'"},
      {R"({"type": "string", "format": "iri"})", "format 'iri'"},
      {R"({"type": "string", "pattern": "a", "maxLength": 3})", "only one of"},
      {R"({"type": "string", "pattern": "^(?=a)b"})", "look-ahead"},
      {R"({"enum": [1], "minimum": 0})", "'minimum' beside"},
      {R"({"properties": {"a": {}}, "minProperties": 1})", "'minProperties'"},
      {R"({"$ref": "other.json"})", "only references within"},
      {R"({"$ref": "#/$defs/a"})", "does not have"},
      {R"({"type": "strnig"})", "none of JSON's types"},
      {R"({"type": 3})", "none of JSON's types"},
      {R"({"allOf": [{"pattern": "a"}, {"pattern": "b"}]})", "'pattern'"},
      {R"({"required": ["a"], "additionalProperties": false})", "not among the properties"},
      {R"({"type": "integer", "minimum": 5, "maximum": 4})", "no integer"},
      {R"({"type": "array", "minItems": -1})", "'minItems'"},
      {R"({"type": "array", "maxItems": 1e300})", "'maxItems'"},
      {R"({"type": "string", "maxLength": "3"})", "'maxLength'"},
      {R"({"anyOf": []})", "'anyOf'"},
      {R"({"enum": []})", "matches no text"},
      {R"(false)", "matches no text"},
      {R"([])", "must be an object"},
      {R"({"allOf": [{"$ref": "#"}]})", "lead back to themselves"},
      {R"({"$ref": "#"})", "matches no text"},
      {R"({"anyOf": [{"$ref": "#"}, {"type": "null"}]})", "begins with itself"},
      {R"({"properties": {"a": {"$ref": "#"}}, "required": ["a"]})", "matches no text"},
  };
  for (const auto& [schema, words] : cases) {
    SCOPED_TRACE(schema);
    try {
      compiled_schema(schema);
      FAIL() << "was accepted";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what();
    }
  }
}

TEST(JsonSchema, KeywordsWithoutMeaningAreIgnored) {
  const auto grammar = compiled_schema(
      R"({"$schema": "x", "title": "T", "x-order": 3, "type": "string", "format": "password",
          "default": 1, "examples": [2], "minimum": 3})");
  EXPECT_TRUE(grammar->matches("\"a\""));
}

TEST(JsonSchema, AdditionalNamesAreNoneOfTheProperties) {
  const auto grammar = compiled_schema(
      R"({"properties": {"ab": {"type": "null"}, "a\"c": {"type": "null"}},
          "additionalProperties": {"type": "integer"}})");
  EXPECT_TRUE(grammar->matches(R"({"ab": null, "a\"c": null, "abc": 1, "a": 2, "": 3, "é": 4})"));
  EXPECT_FALSE(grammar->matches(R"({"ab": 1})"));
  EXPECT_FALSE(grammar->matches(R"({"a\u0062": 1})"));
  EXPECT_FALSE(grammar->matches(R"({"a\"c": 1})"));
}

}  // namespace
}  // namespace millrace
