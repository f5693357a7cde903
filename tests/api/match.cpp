#include "tests/api/match.h"

#include <charconv>
#include <regex>

#include "millrace/base/error.h"

namespace millrace {
namespace {

std::string shown(const Json& value) {
  std::string text = to_json_text(value);
  if (text.size() > 300) text = text.substr(0, 300) + "…";
  return text;
}

/// `<word argument>` as its two parts.
struct Matcher {
  std::string word, argument;
};

std::optional<Matcher> matcher_of(const Json& expected) {
  if (!expected.is_string()) return std::nullopt;
  const auto text = expected.get<std::string>();
  if (text.size() < 3 || text.front() != '<' || text.back() != '>' || text[1] == '|') {
    return std::nullopt;
  }
  const std::string inner = text.substr(1, text.size() - 2);
  const size_t space = inner.find(' ');
  if (space == std::string::npos) return Matcher{inner, ""};
  return Matcher{inner.substr(0, space), inner.substr(space + 1)};
}

double number_of(const std::string& text) {
  return std::strtod(text.c_str(), nullptr);
}

bool matches(const Matcher& matcher, const Json& actual, Variables& variables) {
  const auto& [word, argument] = matcher;
  if (word == "any") return true;
  if (word == "string") return actual.is_string();
  if (word == "text") return actual.is_string() && actual != "";
  if (word == "number") return actual.is_number();
  if (word == "integer") return actual.is_number_integer();
  if (word == "boolean") return actual.is_boolean();
  if (word == "object") return actual.is_object();
  if (word == "array") {
    return actual.is_array() && (argument.empty() || actual.size() == std::stoul(argument));
  }
  if (word == "above") return actual.is_number() && actual.get<double>() > number_of(argument);
  if (word == "most") return actual.is_number() && actual.get<double>() <= number_of(argument);
  if (word == "contains") {
    return actual.is_string() && actual.get<std::string>().find(argument) != std::string::npos;
  }
  if (word == "lacks") {
    return actual.is_string() && actual.get<std::string>().find(argument) == std::string::npos;
  }
  if (word == "matches") {
    return actual.is_string() && std::regex_search(actual.get<std::string>(), std::regex(argument));
  }
  if (word == "not") return actual != Json::parse(argument, nullptr, false);
  if (word == "save") {
    variables[argument] = actual;
    return true;
  }
  if (word == "append") {
    Json& value = variables[argument];
    if (value.is_null()) value = "";
    if (actual.is_string()) value = value.get<std::string>() + actual.get<std::string>();
    return actual.is_string();
  }
  fail("there is no matcher <{}>", word);
}

void compare(const Json& expected, const Json* actual, const std::string& path,
             Variables& variables, std::vector<std::string>& out) {
  const std::optional<Matcher> matcher = matcher_of(expected);
  if (matcher && matcher->word == "absent") {
    if (actual != nullptr)
      out.push_back(fmt::format("{} is {}, must not be", path, shown(*actual)));
    return;
  }
  if (actual == nullptr) {
    out.push_back(fmt::format("{} is missing, must be {}", path, shown(expected)));
    return;
  }
  if (matcher) {
    if (!matches(*matcher, *actual, variables)) {
      out.push_back(fmt::format("{} is {}, must be {}", path, shown(*actual), shown(expected)));
    }
    return;
  }
  if (expected.is_object() && actual->is_object()) {
    for (const auto& [name, value] : expected.items()) {
      auto found = actual->find(name);
      compare(value, found == actual->end() ? nullptr : &*found, path + "." + name, variables, out);
    }
    return;
  }
  if (expected.is_array() && actual->is_array()) {
    // ["<each>", X]: any number of entries, each of which is X.
    const bool each = expected.size() == 2 && expected[0] == "<each>";
    if (!each && expected.size() != actual->size()) {
      out.push_back(fmt::format("{} has {} entries, must have {}: {}", path, actual->size(),
                                expected.size(), shown(*actual)));
      return;
    }
    for (size_t i = 0; i < actual->size(); ++i) {
      compare(expected[each ? 1 : i], &(*actual)[i], fmt::format("{}[{}]", path, i), variables,
              out);
    }
    return;
  }
  if (expected != *actual) {
    out.push_back(fmt::format("{} is {}, must be {}", path, shown(*actual), shown(expected)));
  }
}

std::string without_quotes(const Json& value) {
  std::string text = to_json_text(value);
  return value.is_string() ? text.substr(1, text.size() - 2) : text;
}

/// What `{{…}}` stands for.
std::string expanded(std::string_view inner) {
  if (inner.starts_with("bytes ")) {
    std::string bytes;
    for (size_t i = 6; i + 1 < inner.size(); i += 3) {
      bytes += static_cast<char>(std::stoi(std::string(inner.substr(i, 2)), nullptr, 16));
    }
    return bytes;
  }
  const size_t star = inner.find(" * ");
  require(star != std::string_view::npos, "{{{{{}}}}}: must be COUNT * TEXT or bytes HEX", inner);
  const int count = std::stoi(std::string(inner.substr(0, star)));
  std::string text;
  for (int i = 0; i < count; ++i) {
    for (char c : inner.substr(star + 3)) {
      if (c == '#') {
        text += std::to_string(i);
      } else {
        text += c;
      }
    }
  }
  return text;
}

}  // namespace

std::vector<std::string> differences(const Json& expected, const Json& actual,
                                     Variables& variables) {
  std::vector<std::string> out;
  compare(expected, &actual, "$", variables, out);
  return out;
}

std::vector<std::string> text_differences(const std::string& expected,
                                          const std::optional<std::string>& actual,
                                          Variables& variables) {
  std::vector<std::string> out;
  const Json value = actual.value_or("");
  compare(expected, actual ? &value : nullptr, "the text", variables, out);
  return out;
}

std::string substitute(const std::string& text, const Variables& variables) {
  std::string out;
  for (size_t i = 0; i < text.size();) {
    const bool variable = text.compare(i, 2, "${") == 0;
    const size_t end = variable                        ? text.find('}', i)
                       : text.compare(i, 2, "{{") == 0 ? text.find("}}", i)
                                                       : std::string::npos;
    if (end == std::string::npos) {
      out += text[i++];
      continue;
    }
    const std::string inner = text.substr(i + 2, end - i - 2);
    auto found = variables.find(inner);
    if (!variable) {
      out += expanded(inner);
    } else if (found == variables.end()) {
      fail("there is no variable {}", inner);
    } else {
      out += without_quotes(found->second);
    }
    i = end + (variable ? 1 : 2);
  }
  return out;
}

}  // namespace millrace
