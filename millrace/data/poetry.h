// A poem as a record, as a page to pre-train on, and as the answer to requests in many phrasings.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/base/random.h"

namespace millrace {

/// A poem as the corpus holds it.
struct Poem {
  std::string title, author, dynasty;
  std::string form;                // "五言绝句"
  std::vector<std::string> lines;  // as printed: "白日依山尽，黄河入海流。"
};

/// Reads {"title", "author", "form", "lines", "dynasty"?}. Throws Error naming source and field.
Poem parse_poem(const Json& record, std::string_view source);

/// The lines of a poem, one below the other: the answer to every request.
std::string poem_body(const Poem& poem);

/// The page that a model is pre-trained on, e.g.
///   五言绝句《登鹳雀楼》王之涣
///   白日依山尽，黄河入海流。
///   欲穷千里目，更上一层楼。
std::string poem_page(const Poem& poem);

/// What a request gives away of the poem that it asks for.
enum class RequestKind { kTitle, kTitleAndAuthor, kAuthor, kFirstLine, kContinuation, kTheme };

/// A request for `poem` in one of several phrasings, e.g. "以《春望》为题写一首五言律诗",
/// "续写：床前明月光，", "用「月」字作一首五言绝句". Empty where the poem has nothing to ask for (a
/// theme word is a common noun that occurs in it).
std::string poem_request(const Poem& poem, RequestKind kind, Random& random);

}  // namespace millrace
