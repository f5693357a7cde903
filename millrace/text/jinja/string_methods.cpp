// The methods of strings. Results keep the origin of every byte, and the string's markup flag.
#include <algorithm>
#include <string>

#include "millrace/text/jinja/characters.h"
#include "millrace/text/jinja/filters.h"
#include "millrace/text/jinja/markup.h"
#include "millrace/text/jinja/methods.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/string_format.h"
#include "millrace/text/jinja/text_operations.h"

namespace millrace::jinja {
namespace {

const Text& of(const Value& self) {
  return *self.text();
}

/// An argument that is a string, or none, or was not given: then nullptr.
const Text* optional_text(const Value* argument, std::string_view name) {
  if (argument == nullptr || argument->is_none()) return nullptr;
  return &text_argument(*argument, name);
}

template <bool left, bool right>
Value strip_method(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "strip", {"chars"});
  return strip(environment.budget, of(self), optional_text(bound[0], "strip(): chars"), left,
               right);
}

template <Case to>
Value case_method(Environment& environment, const Value& self, const Arguments& arguments) {
  bind(arguments, "a change of case", {});
  return change_case(environment.budget, of(self), to);
}

Value list_of_texts(Environment& environment, std::vector<Text> texts) {
  std::vector<Value> items;
  items.reserve(texts.size());
  for (Text& text : texts) items.emplace_back(std::move(text));
  return make_list(environment.budget, std::move(items));
}

template <bool from_right>
Value split_method(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "split", {"sep", "maxsplit"});
  return list_of_texts(environment,
                       split(environment.budget, of(self), optional_text(bound[0], "split(): sep"),
                             integer_argument(bound[1], -1, "split(): maxsplit"), from_right));
}

Value splitlines(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "splitlines", {"keepends"});
  bool keep_ends = bound[0] != nullptr && is_true(*bound[0]);
  return list_of_texts(environment, split_lines(environment.budget, of(self), keep_ends));
}

template <bool from_right>
Value partition(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "partition", {"sep"}, 1);
  Budget& budget = environment.budget;
  const Text& text = of(self);
  const Text& separator = text_argument(*bound[0], "partition(): sep");
  require(separator.size() > 0, "partition() needs a separator that is not empty");
  size_t at =
      from_right ? find_last(budget, text, separator) : find_bytes(text.bytes(), separator.bytes());
  bool found = at != std::string::npos;
  size_t begin = found ? at : from_right ? 0 : text.size();
  size_t end = found ? at + separator.size() : begin;
  return make_tuple(budget, {cut(budget, text, 0, begin), cut(budget, text, begin, end),
                             cut(budget, text, end, text.size())});
}

bool begins_with(std::string_view text, std::string_view part) {
  return text.substr(0, part.size()) == part;
}

bool ends_with(std::string_view text, std::string_view part) {
  return text.size() >= part.size() && text.substr(text.size() - part.size()) == part;
}

/// startswith and endswith: of one string or any of a tuple of them.
template <bool (*matches)(std::string_view, std::string_view)>
Value affix(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "startswith or endswith", {"affix"}, 1);
  const List* several = bound[0]->list();
  if (several == nullptr || several->kind != ListKind::kTuple) {
    return matches(of(self).bytes(), text_argument(*bound[0], "the affix").bytes());
  }
  environment.budget.spend(several->items.size());
  return std::any_of(several->items.begin(), several->items.end(), [&](const Value& part) {
    return matches(of(self).bytes(), text_argument(part, "the affix").bytes());
  });
}

Value removeprefix(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "removeprefix", {"prefix"}, 1);
  const std::string& prefix = text_argument(*bound[0], "removeprefix(): prefix").bytes();
  if (!begins_with(of(self).bytes(), prefix)) return self;
  return cut(environment.budget, of(self), prefix.size(), of(self).size());
}

Value removesuffix(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "removesuffix", {"suffix"}, 1);
  const std::string& suffix = text_argument(*bound[0], "removesuffix(): suffix").bytes();
  if (!ends_with(of(self).bytes(), suffix)) return self;
  return cut(environment.budget, of(self), 0, of(self).size() - suffix.size());
}

Value replace_method(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "replace", {"old", "new", "count"}, 2);
  Budget& budget = environment.budget;
  const Text& old = text_argument(*bound[0], "replace(): old");
  const Text& replacement = text_argument(*bound[1], "replace(): new");
  return replace(budget, of(self), old, of(self).markup ? escape(budget, replacement) : replacement,
                 integer_argument(bound[2], -1, "replace(): count"));
}

Value join_method(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "join", {"iterable"}, 1);
  Budget& budget = environment.budget;
  TextBuilder out(budget);
  bool first = true;
  for (const Value& item : iterate(budget, *bound[0])) {
    if (!first) out.append(of(self));
    first = false;
    const Text& text = text_argument(item, "join(): each item");
    out.append(of(self).markup ? escape(budget, text) : text);
  }
  Text result = out.finish();
  result.markup = of(self).markup;
  return result;
}

Value format_method(Environment& environment, const Value& self, const Arguments& arguments) {
  return format_braces(environment, of(self), arguments);
}

/// The byte range that start and end select, as a slice would.
ByteRange selected(Environment& environment, const Value& self, const Value* start,
                   const Value* end) {
  auto length = static_cast<int64_t>(length_of(environment.budget, self));
  int64_t from = integer_argument(start, 0, "start");
  int64_t to = integer_argument(end, length, "end");
  if (from < 0) from = std::max<int64_t>(from + length, 0);
  if (to < 0) to = std::max<int64_t>(to + length, 0);
  const std::string& bytes = of(self).bytes();
  if (from > to || from > length) return {bytes.size() + 1, bytes.size()};
  return {byte_of_character(bytes, static_cast<size_t>(from)),
          byte_of_character(bytes, static_cast<size_t>(to))};
}

/// find, rfind, index and rindex; `must_exist` for the latter two.
template <bool from_right, bool must_exist>
Value find_method_of_string(Environment& environment, const Value& self,
                            const Arguments& arguments) {
  auto bound = bind(arguments, "find", {"sub", "start", "end"}, 1);
  Budget& budget = environment.budget;
  const Text& part = text_argument(*bound[0], "find(): sub");
  ByteRange range = selected(environment, self, bound[1], bound[2]);
  size_t at = std::string::npos;
  if (range.begin <= range.end) {
    Text window = cut(budget, of(self), range.begin, range.end);
    at = from_right ? find_last(budget, window, part) : find_bytes(window.bytes(), part.bytes());
  }
  require(!must_exist || at != std::string::npos, "index(): the substring is not there");
  if (at == std::string::npos) return Value::integer(-1);
  std::string_view before = std::string_view(of(self).bytes()).substr(0, range.begin + at);
  return Value::integer(static_cast<int64_t>(count_characters(before)));
}

Value count(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "count", {"sub"}, 1);
  const std::string& part = text_argument(*bound[0], "count(): sub").bytes();
  const std::string& bytes = of(self).bytes();
  environment.budget.spend_bytes(bytes.size());
  if (part.empty()) return Value::integer(static_cast<int64_t>(count_characters(bytes)) + 1);
  int64_t found = 0;
  for (size_t at = find_bytes(bytes, part); at != std::string::npos;
       at = find_bytes(bytes, part, at + part.size())) {
    ++found;
  }
  return Value::integer(found);
}

/// Every character is of a class, and there is one.
template <bool (*is_member)(uint32_t)>
Value all_characters(Environment& environment, const Value& self, const Arguments& arguments) {
  bind(arguments, "a test of characters", {});
  environment.budget.spend_bytes(of(self).size());
  bool all = of(self).size() > 0;
  for_each_character(of(self).bytes(),
                     [&](uint32_t code, std::string_view) { all = all && is_member(code); });
  return all;
}

bool is_alphanumeric(uint32_t code) {
  return is_alphabetic(code) || is_numeric(code);
}

template <bool upper>
Value all_of_case(Environment& environment, const Value& self, const Arguments& arguments) {
  bind(arguments, "a test of case", {});
  return apply_test(environment, upper ? "upper" : "lower", self, {});
}

enum class Side { kLeft, kRight, kCenter };

/// ljust, rjust and center.
template <Side side>
Value justify(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "justify", {"width", "fillchar"}, 1);
  int64_t width = integer_argument(bound[0], 0, "width");
  const Text* fill = optional_text(bound[1], "fillchar");
  Text space(" ", Origin::kTemplate);
  if (fill == nullptr) fill = &space;
  require(count_characters(fill->bytes()) == 1, "fillchar must be one character");
  auto length = static_cast<int64_t>(length_of(environment.budget, self));
  int64_t missing = std::max<int64_t>(width - length, 0);
  // Python puts the odd character of center() on the left when the width is odd.
  int64_t before = side == Side::kLeft    ? 0
                   : side == Side::kRight ? missing
                                          : missing / 2 + (missing & width & 1);
  TextBuilder out(environment.budget);
  for (int64_t i = 0; i < before; ++i) out.append(*fill);
  out.append(of(self));
  for (int64_t i = before; i < missing; ++i) out.append(*fill);
  Text result = out.finish();
  result.markup = of(self).markup;
  return result;
}

Value zfill(Environment& environment, const Value& self, const Arguments& arguments) {
  auto bound = bind(arguments, "zfill", {"width"}, 1);
  int64_t width = integer_argument(bound[0], 0, "zfill(): width");
  const std::string& bytes = of(self).bytes();
  size_t sign = !bytes.empty() && (bytes[0] == '-' || bytes[0] == '+') ? 1 : 0;
  TextBuilder out(environment.budget);
  out.append(of(self), 0, sign);
  auto length = static_cast<int64_t>(length_of(environment.budget, self));
  for (int64_t i = length; i < width; ++i) out.append("0", Origin::kTemplate);
  out.append(of(self), sign, bytes.size());
  Text result = out.finish();
  result.markup = of(self).markup;
  return result;
}

}  // namespace

const MethodTable& string_methods() {
  static const MethodTable table = {
      {"strip", strip_method<true, true>},
      {"lstrip", strip_method<true, false>},
      {"rstrip", strip_method<false, true>},
      {"upper", case_method<Case::kUpper>},
      {"lower", case_method<Case::kLower>},
      {"casefold", case_method<Case::kLower>},
      {"title", case_method<Case::kTitle>},
      {"capitalize", case_method<Case::kCapitalize>},
      {"swapcase", case_method<Case::kSwap>},
      {"split", split_method<false>},
      {"rsplit", split_method<true>},
      {"splitlines", splitlines},
      {"partition", partition<false>},
      {"rpartition", partition<true>},
      {"startswith", affix<begins_with>},
      {"endswith", affix<ends_with>},
      {"removeprefix", removeprefix},
      {"removesuffix", removesuffix},
      {"replace", replace_method},
      {"join", join_method},
      {"format", format_method},
      {"find", find_method_of_string<false, false>},
      {"rfind", find_method_of_string<true, false>},
      {"index", find_method_of_string<false, true>},
      {"rindex", find_method_of_string<true, true>},
      {"count", count},
      {"isspace", all_characters<is_space>},
      {"isalpha", all_characters<is_alphabetic>},
      {"isdigit", all_characters<is_decimal>},
      {"isdecimal", all_characters<is_decimal>},
      {"isnumeric", all_characters<is_numeric>},
      {"isalnum", all_characters<is_alphanumeric>},
      {"isupper", all_of_case<true>},
      {"islower", all_of_case<false>},
      {"ljust", justify<Side::kLeft>},
      {"rjust", justify<Side::kRight>},
      {"center", justify<Side::kCenter>},
      {"zfill", zfill},
  };
  return table;
}

}  // namespace millrace::jinja
