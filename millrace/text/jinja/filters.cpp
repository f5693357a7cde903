#include "millrace/text/jinja/filters.h"

#include <map>

#include "millrace/text/jinja/attributes.h"
#include "millrace/text/jinja/literals.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/text_operations.h"

namespace millrace::jinja {
namespace {

using FilterTable = std::map<std::string_view, decltype(NamedFilter::apply)>;

const FilterTable& all_filters() {
  static const FilterTable table = [] {
    FilterTable filters;
    for (const auto& group :
         {text_filters(), sequence_filters(), selection_filters(), scalar_filters()}) {
      for (const NamedFilter& filter : group) filters[filter.name] = filter.apply;
    }
    return filters;
  }();
  return table;
}

}  // namespace

bool is_filter(std::string_view name) {
  return all_filters().count(name) > 0;
}

Value apply_filter(Environment& environment, std::string_view name, const Value& input,
                   const Arguments& arguments) {
  auto found = all_filters().find(name);
  if (found == all_filters().end()) fail("there is no filter named {}", quote(name));
  return found->second(environment, input, arguments);
}

AttributePath::AttributePath(Environment& environment, const Value* attribute) {
  if (attribute == nullptr || attribute->is_none()) return;
  const Text* path = attribute->text();
  if (path == nullptr) {
    steps_.push_back(*attribute);
    return;
  }
  Text dot(".", Origin::kTemplate);
  for (Text& step : split(environment.budget, *path, &dot, -1, false)) {
    bool is_index =
        !step.bytes().empty() && step.bytes().find_first_not_of("0123456789") == std::string::npos;
    std::optional<Integer> index = is_index ? parse_integer(step.bytes(), 10) : std::nullopt;
    steps_.push_back(index ? Value(*index) : Value(std::move(step)));
  }
}

Value AttributePath::read(Environment& environment, Value item, const Value* fallback) const {
  for (const Value& step : steps_) {
    item = get_item(environment, item, step);
    if (item.is_undefined() && fallback != nullptr && !fallback->is_none()) item = *fallback;
  }
  return item;
}

Value ignore_case(Environment& environment, const Value& value) {
  if (value.text() == nullptr) return value;
  return change_case(environment.budget, *value.text(), Case::kLower);
}

int64_t integer_argument(const Value* argument, int64_t otherwise, std::string_view name) {
  if (argument == nullptr || argument->is_none()) return otherwise;
  std::optional<Integer> value = as_integer(*argument);
  require(value.has_value(), "{} must be an integer, not a {}", name, type_name(*argument));
  require(*value >= INT64_MIN / 2 && *value <= INT64_MAX / 2, "{} is too large", name);
  return static_cast<int64_t>(*value);
}

const Text& text_argument(const Value& argument, std::string_view name) {
  if (argument.is_undefined()) fail_undefined(argument);
  require(argument.text() != nullptr, "{} must be a string, not a {}", name, type_name(argument));
  return *argument.text();
}

}  // namespace millrace::jinja
