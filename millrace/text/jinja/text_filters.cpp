// Filters that make text.
#include <algorithm>

#include "millrace/text/jinja/characters.h"
#include "millrace/text/jinja/filters.h"
#include "millrace/text/jinja/markup.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/printing.h"
#include "millrace/text/jinja/string_format.h"
#include "millrace/text/jinja/text_operations.h"
#include "millrace/text/jinja/tojson.h"

namespace millrace::jinja {
namespace {

Value trim(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "trim", {"chars"});
  const Text* set = bound[0] == nullptr || bound[0]->is_none()
                        ? nullptr
                        : &text_argument(*bound[0], "trim(): chars");
  return strip(environment.budget, soft_str(environment.budget, input), set, true, true);
}

template <Case kCase>
Value to_case(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "filter", {});
  return change_case(environment.budget, soft_str(environment.budget, input), kCase);
}

/// Upper case after white space, -, (, {, [ and <, which is not what the method title() does.
Value title(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "title", {});
  Text text = soft_str(environment.budget, input);
  TextBuilder out(environment.budget);
  bool begins = true;
  size_t begin = 0;
  for (const Text::Run& run : text.runs()) {
    std::string piece;
    std::string_view bytes = std::string_view(text.bytes()).substr(begin, run.end - begin);
    for_each_character(bytes, [&](uint32_t code, std::string_view) {
      if (begins) {
        append_upper(piece, code);
      } else {
        append_lower(piece, code);
      }
      begins =
          is_space(code) || code == '-' || code == '(' || code == '{' || code == '[' || code == '<';
    });
    out.append(piece, run.origin);
    begin = run.end;
  }
  return out.finish();
}

Value replace_filter(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "replace", {"old", "new", "count"}, 2);
  Budget& budget = environment.budget;
  return replace(budget, str(budget, input), str(budget, *bound[0]), str(budget, *bound[1]),
                 integer_argument(bound[2], -1, "replace(): count"));
}

Value string(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "string", {});
  return input.text() != nullptr ? input : Value(str(environment.budget, input));
}

Value safe(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "safe", {});
  Text text = str(environment.budget, input);
  text.markup = true;
  return text;
}

Value escape_filter(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "escape", {});
  return escape(environment.budget, input);
}

Value forceescape(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "forceescape", {});
  return escape(environment.budget, str(environment.budget, input));
}

Value format(Environment& environment, const Value& input, const Arguments& arguments) {
  require(arguments.positional.empty() || arguments.named.empty(),
          "format() takes values in order or by name, not both");
  Text text = soft_str(environment.budget, input);
  if (arguments.named.empty()) {
    return format_percent(environment.budget, text,
                          make_tuple(environment.budget, arguments.positional));
  }
  std::vector<std::pair<Value, Value>> entries;
  for (const auto& [name, value] : arguments.named) {
    entries.emplace_back(Text(name, arguments.names_origin), value);
  }
  return format_percent(environment.budget, text,
                        make_dict(environment.budget, std::move(entries)));
}

Value indent(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "indent", {"width", "first", "blank"});
  Budget& budget = environment.budget;
  Text text = text_argument(input, "the input of indent()");
  Text indention;
  if (bound[0] != nullptr && bound[0]->text() != nullptr) {
    indention = *bound[0]->text();
  } else {
    int64_t width = std::max<int64_t>(integer_argument(bound[0], 4, "indent(): width"), 0);
    budget.check_text_size(static_cast<size_t>(width));
    indention = Text(std::string(static_cast<size_t>(width), ' '), Origin::kTemplate);
  }
  bool first = bound[1] != nullptr && is_true(*bound[1]);
  bool blank = bound[2] != nullptr && is_true(*bound[2]);
  bool markup = text.markup;
  text.append("\n", Origin::kTemplate);
  std::vector<Text> lines = split_lines(budget, text, false);
  TextBuilder out(budget);
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n", Origin::kTemplate);
    if (i == 0 ? first : blank || lines[i].size() > 0) out.append(indention);
    out.append(lines[i]);
  }
  Text result = out.finish();
  result.markup = markup;
  return result;
}

Value truncate(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "truncate", {"length", "killwords", "end", "leeway"});
  Budget& budget = environment.budget;
  Text end = bound[2] == nullptr ? Text("...", Origin::kTemplate)
                                 : text_argument(*bound[2], "truncate(): end");
  int64_t length = integer_argument(bound[0], 255, "truncate(): length");
  int64_t leeway = integer_argument(bound[3], 5, "truncate(): leeway");
  auto end_length = static_cast<int64_t>(count_characters(end.bytes()));
  require(length >= end_length && leeway >= 0, "truncate(): length or leeway is too small");
  if (static_cast<int64_t>(length_of(budget, input)) <= length + leeway) return input;
  const Text& text = text_argument(input, "the input of truncate()");
  Text kept = cut(budget, text, 0,
                  byte_of_character(text.bytes(), static_cast<size_t>(length - end_length)));
  if (bound[1] == nullptr || !is_true(*bound[1])) {
    size_t space = kept.bytes().rfind(' ');
    if (space != std::string::npos) kept = cut(budget, kept, 0, space);
  }
  return join_texts(budget, kept, end);
}

Value center(Environment& environment, const Value& input, const Arguments& arguments) {
  auto bound = bind(arguments, "center", {"width"});
  Arguments width;
  width.positional = {Value::integer(integer_argument(bound[0], 80, "center(): width"))};
  Value text = soft_str(environment.budget, input);
  return find_method(environment, text, "center")->function()->call(width);
}

Value wordcount(Environment& environment, const Value& input, const Arguments& arguments) {
  bind(arguments, "wordcount", {});
  int64_t count = 0;
  bool in_word = false;
  for_each_character(soft_str(environment.budget, input).bytes(),
                     [&](uint32_t code, std::string_view) {
                       bool is_word = code == '_' || is_alphabetic(code) || is_numeric(code);
                       count += is_word && !in_word;
                       in_word = is_word;
                     });
  return Value::integer(count);
}

Value tojson(Environment& environment, const Value& input, const Arguments& arguments) {
  return tojson_filter(environment.budget, input, arguments);
}

}  // namespace

std::vector<NamedFilter> text_filters() {
  return {{"trim", trim},
          {"upper", to_case<Case::kUpper>},
          {"lower", to_case<Case::kLower>},
          {"capitalize", to_case<Case::kCapitalize>},
          {"title", title},
          {"replace", replace_filter},
          {"string", string},
          {"safe", safe},
          {"escape", escape_filter},
          {"e", escape_filter},
          {"forceescape", forceescape},
          {"format", format},
          {"indent", indent},
          {"truncate", truncate},
          {"center", center},
          {"wordcount", wordcount},
          {"tojson", tojson}};
}

}  // namespace millrace::jinja
