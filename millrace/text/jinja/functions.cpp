// The global functions of a chat template.
#include <algorithm>
#include <array>
#include <ctime>

#include "millrace/text/jinja/environment.h"
#include "millrace/text/jinja/filters.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/printing.h"

namespace millrace::jinja {
namespace {

constexpr int64_t kMaxRange = 100'000;  // as Jinja's sandbox has it

Value range(Environment& environment, const Arguments& arguments) {
  size_t count = arguments.positional.size();
  require(arguments.named.empty() && count >= 1 && count <= 3, "range() takes 1 to 3 arguments");
  int64_t values[3] = {0, 0, 1};
  for (size_t i = 0; i < count; ++i) {
    const Value& value = arguments.positional[i];
    if (value.is_undefined()) fail_undefined(value);
    require(as_integer(value).has_value(), "range() needs integers, not a {}", type_name(value));
    values[count == 1 ? 1 : i] = integer_argument(&value, 0, "range(): an argument");
  }
  auto [start, stop, step] = values;
  require(step != 0, "range(): the step cannot be zero");
  int64_t distance = step > 0 ? stop - start : start - stop;
  int64_t stride = step > 0 ? step : -step;
  int64_t length = distance > 0 ? (distance - 1) / stride + 1 : 0;
  require(length <= kMaxRange, "range() is longer than {}", kMaxRange);
  std::vector<Value> items;
  items.reserve(static_cast<size_t>(length));
  for (int64_t i = 0; i < length; ++i) items.push_back(Value::integer(start + i * step));
  return make_list(environment.budget, std::move(items), ListKind::kRange);
}

/// dict(mapping or pairs, name=value, …), also the arguments of namespace().
std::vector<std::pair<Value, Value>> dict_entries(Environment& environment,
                                                  const Arguments& arguments) {
  require(arguments.positional.size() <= 1, "dict() takes at most one argument without a name");
  Budget& budget = environment.budget;
  std::vector<std::pair<Value, Value>> entries;
  if (!arguments.positional.empty()) {
    const Value& source = arguments.positional[0];
    if (const Dict* dict = source.dict()) {
      budget.spend(dict->entries.size());
      entries = dict->entries;
    } else {
      for (const Value& pair : iterate(budget, source)) {
        Items items = iterate(budget, pair);
        require(items.size() == 2, "dict() needs pairs of a key and a value");
        insert(budget, entries, items[0], items[1]);
      }
    }
  }
  for (const auto& [name, value] : arguments.named) {
    insert(budget, entries, Text(name, arguments.names_origin), value);
  }
  return entries;
}

Value dict(Environment& environment, const Arguments& arguments) {
  return make_dict(environment.budget, dict_entries(environment, arguments));
}

Value name_space(Environment& environment, const Arguments& arguments) {
  environment.budget.spend(4);
  Namespace space;
  for (auto& [key, value] : dict_entries(environment, arguments)) {
    const std::string& name = text_argument(key, "the name of a namespace's member").bytes();
    require(name.empty() || name[0] != '_', "a namespace cannot have a member {}", quote(name));
    space.members.emplace_back(name, value);
  }
  environment.namespaces.push_back(std::move(space));
  return &environment.namespaces.back();
}

Value raise_exception(Environment& environment, const Arguments& arguments) {
  auto bound = bind(arguments, "raise_exception", {"message"}, 1);
  fail("{}", str(environment.budget, *bound[0]).bytes());
}

/// Some libraries crash on directives that they do not know, so only these are passed on.
void check_directives(const std::string& format) {
  static constexpr std::string_view kDirectives = "aAbBcCdDeFgGhHIjklmMnprRsStTuUVwWxXyYzZ%";
  for (size_t at = format.find('%'); at != std::string::npos; at = format.find('%', at + 2)) {
    bool has_flag = at + 1 < format.size() && (format[at + 1] == '-' || format[at + 1] == '_');
    if (has_flag) ++at;
    bool known = at + 1 < format.size() && kDirectives.find(format[at + 1]) != std::string::npos;
    require(known, "strftime_now(): unknown directive in {}", quote(format));
  }
}

Value strftime_now(Environment& environment, const Arguments& arguments) {
  auto bound = bind(arguments, "strftime_now", {"format"}, 1);
  const Text& text = text_argument(*bound[0], "strftime_now(): format");
  const std::string& format = text.bytes();
  require(format.size() <= 200, "strftime_now(): the format is too long");
  check_directives(format);
  std::array<char, 8192> buffer;  // no directive above makes more than 40 bytes
  size_t length = std::strftime(buffer.data(), buffer.size(), format.c_str(), &environment.now);
  return Text(std::string(buffer.data(), length), text.origin());
}

}  // namespace

std::vector<std::pair<std::string, Value>> global_functions(Environment& environment) {
  using GlobalFunction = Value (*)(Environment&, const Arguments&);
  static constexpr std::pair<const char*, GlobalFunction> kFunctions[] = {
      {"range", range},
      {"dict", dict},
      {"namespace", name_space},
      {"raise_exception", raise_exception},
      {"strftime_now", strftime_now}};
  std::vector<std::pair<std::string, Value>> functions;
  for (const auto& entry : kFunctions) {
    GlobalFunction function = entry.second;
    functions.emplace_back(entry.first,
                           make_function(entry.first, [&environment, function](const Arguments& a) {
                             return function(environment, a);
                           }));
  }
  return functions;
}

}  // namespace millrace::jinja
