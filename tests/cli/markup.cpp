#include "tests/cli/markup.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace millrace {
namespace {

bool is_void_element(std::string_view name) {
  constexpr std::string_view kVoid[] = {"meta", "link", "br", "hr", "img", "input", "col"};
  return std::find(std::begin(kVoid), std::end(kVoid), name) != std::end(kVoid);
}

}  // namespace

std::string markup_fault(std::string_view text) {
  std::vector<std::string_view> open;
  for (size_t at = text.find('<'); at != std::string_view::npos; at = text.find('<', at)) {
    const size_t end = text.find('>', at);
    if (end == std::string_view::npos) return "a tag has no end";
    std::string_view tag = text.substr(at + 1, end - at - 1);
    at = end;
    if (tag.starts_with('!') || tag.starts_with('?')) continue;
    const bool closes = tag.starts_with('/'), closed = tag.ends_with('/');
    if (closes) tag.remove_prefix(1);
    const std::string_view name = tag.substr(0, tag.find_first_of(" \n\t/"));
    if (name.empty()) return "a tag has no name";
    if (closes) {
      if (open.empty() || open.back() != name) return fmt::format("</{}> closes nothing", name);
      open.pop_back();
    } else if (!closed && !is_void_element(name)) {
      open.push_back(name);
      if (name == "style" || name == "script") at = text.find("</", at);
    }
  }
  return open.empty() ? "" : fmt::format("<{}> is not closed", open.back());
}

}  // namespace millrace
