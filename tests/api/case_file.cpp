#include "tests/api/case_file.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <string_view>

#include "millrace/base/file.h"

namespace millrace {
namespace {

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front()))) {
    text.remove_prefix(1);
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back()))) {
    text.remove_suffix(1);
  }
  return text;
}

std::vector<std::string> split(std::string_view text, std::string_view separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    if (const auto part = trimmed(text.substr(begin, end - begin)); !part.empty()) {
      parts.emplace_back(part);
    }
    begin = end + separator.size();
  }
  return parts;
}

/// "Name: value"; the name may be a loop's "${NAME}".
std::optional<std::pair<std::string, std::string>> header_of(std::string_view line) {
  const size_t colon = line.find(": ");
  const bool named =
      colon != std::string_view::npos && colon > 0 &&
      std::all_of(line.begin(), line.begin() + static_cast<std::ptrdiff_t>(colon), [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '$' || c == '{' ||
               c == '}';
      });
  if (!named) return std::nullopt;
  return std::pair(std::string(line.substr(0, colon)),
                   std::string(trimmed(line.substr(colon + 2))));
}

/// Takes the first word off a text.
std::string take_word(std::string_view& text) {
  const size_t end = std::min(text.find(' '), text.size());
  const std::string word(text.substr(0, end));
  text = trimmed(text.substr(end));
  return word;
}

class Reader {
 public:
  explicit Reader(const std::filesystem::path& path) : text_(read_file(path)) {
    file_.path = path;
    for (std::string_view rest = text_; !rest.empty();) {
      const size_t end = std::min(rest.find('\n'), rest.size());
      lines_.push_back(rest.substr(0, end));
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
  }

  CaseFile read() {
    while (skip_blank()) {
      std::string_view line = lines_[at_];
      if (line.starts_with("server ")) {
        check(line.find('=') != std::string::npos, "must be `server SETTING=VALUE`");
        file_.settings += std::string(line.substr(6));
        ++at_;
      } else {
        check(line.starts_with("== "), "must be `== TITLE`");
        read_request(std::string(trimmed(line.substr(3))));
      }
    }
    return std::move(file_);
  }

 private:
  void check(bool holds, std::string_view message) const {
    require(holds, "{}:{}: {}", file_.path.string(), at_ + 1, message);
  }

  static bool is_blank(std::string_view line) {
    return line.starts_with("#") || trimmed(line).empty();
  }
  /// False: the file ends.
  bool skip_blank() {
    while (at_ < lines_.size() && is_blank(lines_[at_])) ++at_;
    return at_ < lines_.size();
  }

  void read_request(std::string title) {
    ApiRequest request;
    request.title = std::move(title);
    request.line = static_cast<int>(++at_);
    for (; skip_blank() && lines_[at_].starts_with("for "); ++at_) {
      std::string_view loop = lines_[at_].substr(4);
      const std::string name = take_word(loop);
      check(take_word(loop) == "in", "must be `for NAME in A | B`");
      request.loops.emplace_back(name, split(loop, " | "));
    }
    check(at_ < lines_.size(), "a request must follow");
    std::string_view first = lines_[at_++];
    request.method = take_word(first);
    request.path = first;
    for (; at_ < lines_.size(); ++at_) {
      auto header = header_of(lines_[at_]);
      if (!header) break;
      request.headers.push_back(std::move(*header));
    }
    for (; at_ < lines_.size() && !lines_[at_].starts_with("=> "); ++at_) {
      if (!lines_[at_].starts_with("#")) request.body += std::string(lines_[at_]) + "\n";
    }
    request.body = trimmed(request.body);
    check(at_ < lines_.size(), "`=> STATUS` must follow");
    request.status = std::atoi(std::string(lines_[at_++].substr(3)).c_str());
    read_expected(request);
    file_.requests.push_back(std::move(request));
  }

  void read_expected(ApiRequest& request) {
    for (; at_ < lines_.size(); ++at_) {
      auto header = header_of(lines_[at_]);
      if (!header) break;
      request.expected_headers.push_back(std::move(*header));
    }
    while (skip_blank() && !lines_[at_].starts_with("== ")) request.parts.push_back(read_part());
  }

  /// One part: its line, and those after it that are indented or close a bracket.
  ExpectedPart read_part() {
    using Kind = ExpectedPart::Kind;
    using Times = ExpectedPart::Times;
    ExpectedPart part;
    part.line = static_cast<int>(at_ + 1);
    std::string whole(lines_[at_++]);
    for (; at_ < lines_.size(); ++at_) {
      const std::string_view line = lines_[at_];
      if (line.empty() || std::string_view(" ]}").find(line.front()) == std::string_view::npos) {
        break;
      }
      whole += "\n" + std::string(line);
    }
    std::string_view text = trimmed(whole);
    if (text.starts_with("* ") || text.starts_with("+ ")) {
      part.times = text.front() == '*' ? Times::any : Times::some;
      text.remove_prefix(2);
    }
    if (text.starts_with("{") || text.starts_with("[")) {
      part.text = text;
      return part;
    }
    const std::string word = take_word(text);
    if (word == "text") {
      part.kind = Kind::text;
    } else if (word == "event") {
      part.kind = Kind::event;
      part.name = take_word(text);
    } else if (word == "data") {
      part.kind = Kind::data;
    } else if (word == "line") {
      part.kind = Kind::line;
    } else if (word == "comment") {
      part.kind = Kind::comment;
    } else {
      at_ = static_cast<size_t>(part.line) - 1;
      check(false, "must be JSON, text, event, data, line or comment");
    }
    part.text = text;
    return part;
  }

  std::string text_;
  std::vector<std::string_view> lines_;
  size_t at_ = 0;
  CaseFile file_;
};

}  // namespace

CaseFile read_case_file(const std::filesystem::path& path) {
  return Reader(path).read();
}

}  // namespace millrace
