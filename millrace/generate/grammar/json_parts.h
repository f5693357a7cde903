// What JSON is written with: strings, numbers, any value, and the white space between them.
#pragma once

#include "millrace/base/json.h"
#include "millrace/generate/grammar/code_points.h"
#include "millrace/generate/grammar/grammar.h"

namespace millrace {

/// White space is what writers of JSON use, and bounded, so that a model can neither be forced off
/// its habits nor go on with blanks for ever: an optional space after a colon; after a comma,
/// inside of brackets and before their end nothing, a space, or a line's end and up to 24 spaces or
/// 8 tabs; none around the whole text. Numbers have up to 16 digits before the point (integers up
/// to 18), 16 after it and two in the exponent, so that readers with 64 bits can hold them.
class JsonParts {
 public:
  explicit JsonParts(Grammar& grammar);

  /// Optional white space; `colon` with its own.
  Expression gap() { return grammar_.call(gap_); }
  Expression colon() { return colon_; }
  Expression comma() { return comma_; }
  Expression string() { return grammar_.call(string_); }
  Expression number() { return grammar_.call(number_); }
  Expression integer() { return grammar_.call(integer_); }
  Expression boolean() { return boolean_; }
  Expression null() { return null_; }
  Expression any_value() { return grammar_.call(value_); }
  Expression any_object() { return grammar_.call(object_); }
  Expression any_array() { return grammar_.call(array_); }

  /// Something between quotes, and a member whose name is written so.
  Expression quoted(Expression inside);
  Expression name(std::string_view name);
  /// In brackets: '{' members '}'; `empty` where there may be none.
  Expression brackets(char open, Expression members, bool may_be_empty, char close);
  /// first (comma part)*, so that there are min to max of them, at least one.
  Expression list(Expression part, uint32_t min, uint32_t max);
  /// Exactly this value.
  Expression value(const Json& value);
  /// One character of a string, in any way in which JSON can write it.
  Expression string_character() { return string_character_; }

 private:
  Expression make_string_character();

  Grammar& grammar_;
  CharacterExpressions characters_;
  Rule gap_, string_, number_, integer_, value_, object_, array_;
  Expression colon_, comma_, boolean_, null_, string_character_;
};

/// Texts that are one JSON object.
Grammar grammar_of_json_objects();

}  // namespace millrace
