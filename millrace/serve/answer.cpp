#include "millrace/serve/answer.h"

#include <array>
#include <charconv>

namespace millrace::serve {

Json shortest(float value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value).ptr;
  double number = 0;
  std::from_chars(text.data(), end, number);
  return number;
}

Json shortest(std::span<const float> values) {
  Json list = Json::array();
  for (float value : values) list.push_back(shortest(value));
  return list;
}

std::string event(const Json& data, std::string_view name) {
  std::string text;
  if (!name.empty()) text = fmt::format("event: {}\n", name);
  return text + "data: " + to_json_text(data) + "\n\n";
}

}  // namespace millrace::serve
