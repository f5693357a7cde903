#include "millrace/generate/answer/python_literal.h"

#include <fmt/format.h>

#include <string>

#include "millrace/generate/answer/json_scanner.h"

namespace millrace {
namespace {

constexpr int kDeepest = 100;

/// A recursive descent; `ok` tells whether all was understood so far.
class Reader {
 public:
  explicit Reader(std::string_view text) : left_(text) {}

  std::optional<Json> whole() {
    Json value = read(0);
    skip_spaces();
    if (!ok_ || !left_.empty()) return std::nullopt;
    return value;
  }

 private:
  void skip_spaces() {
    size_t spaces = left_.find_first_not_of(" \t\r\n");
    left_.remove_prefix(spaces == std::string_view::npos ? left_.size() : spaces);
  }

  bool take(std::string_view word) {
    if (!left_.starts_with(word)) return false;
    left_.remove_prefix(word.size());
    return true;
  }

  Json refuse() {
    ok_ = false;
    return nullptr;
  }

  Json read(int depth) {
    skip_spaces();
    if (left_.empty() || depth > kDeepest) return refuse();
    char first = left_[0];
    if (first == '\'' || first == '"') return string();
    if (first == '[' || first == '(') return list(first == '[' ? ']' : ')', depth);
    if (first == '{') return dict(depth);
    if (take("None") || take("null")) return nullptr;
    if (take("True") || take("true")) return true;
    if (take("False") || take("false")) return false;
    return number();
  }

  Json number() {
    size_t end = left_.find_first_not_of("+-.0123456789eE_");
    std::string text;  // as JSON has it: a digit on both sides of the point
    for (char byte : left_.substr(0, end)) {
      bool digit = !text.empty() && text.back() >= '0' && text.back() <= '9';
      if (byte == '_' || (byte == '+' && text.empty())) continue;
      if (byte == '.' && !digit) text += '0';
      text += byte;
    }
    if (text.ends_with('.')) text += '0';
    Json value = Json::parse(text, nullptr, false);
    if (!value.is_number()) return refuse();
    left_.remove_prefix(end == std::string_view::npos ? left_.size() : end);
    return value;
  }

  /// As JSON text, which the JSON parser then reads: its escapes and most of Python's are the same.
  Json string() {
    char quote = left_[0];
    std::string json = "\"";
    size_t at = 1;
    for (; at < left_.size() && left_[at] != quote; ++at) {
      if (left_[at] != '\\') {
        append_json_escaped(json, left_.substr(at, 1));
        continue;
      }
      if (++at == left_.size()) return refuse();
      escape(left_[at], at, json);
    }
    if (at >= left_.size()) return refuse();
    left_.remove_prefix(at + 1);
    Json value = Json::parse(json + '"', nullptr, false);
    return value.is_string() ? value : refuse();
  }

  void escape(char byte, size_t& at, std::string& json) {
    if (std::string_view("\"\\/bfnrtu").find(byte) != std::string_view::npos) {
      json += '\\';
      json += byte;
    } else if (byte == 'x' && at + 2 < left_.size()) {
      json += "\\u00";
      json += left_.substr(at + 1, 2);
      at += 2;
    } else if (byte == '\'') {
      json += byte;
    } else if (byte != '\n') {  // Python keeps the backslash of what is no escape
      json += "\\\\";
      append_json_escaped(json, {&byte, 1});
    }
  }

  Json list(char close, int depth) {
    left_.remove_prefix(1);
    Json items = Json::array();
    while (ok_) {
      skip_spaces();
      if (take({&close, 1})) return items;
      items.push_back(read(depth + 1));
      skip_spaces();
      if (!take(",") && !left_.starts_with(close)) return refuse();
    }
    return refuse();
  }

  Json dict(int depth) {
    left_.remove_prefix(1);
    Json members = Json::object();
    while (ok_) {
      skip_spaces();
      if (take("}")) return members;
      Json key = read(depth + 1);
      skip_spaces();
      if (!ok_ || !key.is_string() || !take(":")) return refuse();
      members[key.get<std::string>()] = read(depth + 1);
      skip_spaces();
      if (!take(",") && !left_.starts_with('}')) return refuse();
    }
    return refuse();
  }

  std::string_view left_;
  bool ok_ = true;
};

}  // namespace

std::optional<Json> python_literal(std::string_view text) {
  return Reader(text).whole();
}

bool PythonLiteralEnd::step(char byte) {
  if (in_string()) {
    if (escaped_)
      escaped_ = false;
    else if (byte == '\\')
      escaped_ = true;
    else if (byte == quote_)
      quote_ = '\0';
    return false;
  }
  if (byte == '\'' || byte == '"') {
    quote_ = byte;
  } else if (byte == '(' || byte == '[' || byte == '{') {
    ++depth_;
  } else if (byte == ')' || byte == ']' || byte == '}') {
    if (depth_ == 0) return true;
    --depth_;
  } else if (byte == ',') {
    return depth_ == 0;
  }
  return false;
}

}  // namespace millrace
