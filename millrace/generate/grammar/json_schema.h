// JSON Schema as a grammar: texts that are valid, in the form that a model should write.
#pragma once

#include "millrace/base/json.h"
#include "millrace/generate/grammar/grammar.h"

namespace millrace {

/// Texts that the schema (draft 2020-12 and what older drafts and OpenAI call the same) finds
/// valid, with the members of objects in the schema's order and white space as JsonParts has it.
/// What comes out always validates; not all that validates can come out:
/// - an object whose schema has `properties` and says nothing of `additionalProperties` gets no
///   others, and additional members come after those of the schema;
/// - where `type` is missing, other keywords imply it (`properties`: an object);
/// - `oneOf` is read as `anyOf`;
/// - texts of `format` are those in common use (a year of four digits, no quoted local part).
/// Unknown keywords are annotations. Throws Error that names the JSON pointer and the keyword for
/// what would change the answer and is not supported, and for what is malformed or too large.
Grammar grammar_from_json_schema(const Json& schema);

}  // namespace millrace
