#include "millrace/generate/answer/json_scanner.h"

#include <fmt/format.h>

namespace millrace {
namespace {

constexpr size_t kDeepest = 100;

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

}  // namespace

JsonScanner::Step JsonScanner::complete() {
  state_ = State::comma_or_end;
  return open_.empty() ? Step::done : Step::more;
}

JsonScanner::Step JsonScanner::close(char open) {
  if (open_.empty() || open_.back() != open) return Step::bad;
  open_.pop_back();
  return complete();
}

JsonScanner::Step JsonScanner::value(char byte) {
  bool may_close = may_close_;
  may_close_ = false;
  if (byte == ']' && may_close) return close('[');
  if (byte == '{' || byte == '[') {
    if (open_.size() == kDeepest) return Step::bad;
    open_ += byte;
    state_ = byte == '{' ? State::first_key : State::value;
    may_close_ = byte == '[';
    return Step::more;
  }
  if (byte == '"') {
    is_key_ = false;
    state_ = State::string;
    return Step::more;
  }
  if (byte == '-' || is_digit(byte)) {
    state_ = byte == '-' ? State::minus : byte == '0' ? State::zero : State::digits;
    return Step::more;
  }
  for (std::string_view word : {"true", "false", "null"}) {
    if (byte != word[0]) continue;
    word_ = word.substr(1);
    state_ = State::word;
    return Step::more;
  }
  return Step::bad;
}

JsonScanner::Step JsonScanner::number(char byte) {
  bool digit = is_digit(byte);
  switch (state_) {
    case State::minus:
      if (!digit) return Step::bad;
      state_ = byte == '0' ? State::zero : State::digits;
      return Step::more;
    case State::point:
    case State::fraction:
      if (!digit && state_ == State::point) return Step::bad;
      if (digit) {
        state_ = State::fraction;
        return Step::more;
      }
      break;
    case State::exponent:
      if (byte == '+' || byte == '-') {
        state_ = State::exponent_sign;
        return Step::more;
      }
      [[fallthrough]];
    case State::exponent_sign:
      if (!digit) return Step::bad;
      state_ = State::exponent_digits;
      return Step::more;
    case State::exponent_digits:
    case State::digits:
      if (digit) return Step::more;
      break;
    default:
      break;
  }
  bool whole = state_ == State::zero || state_ == State::digits;
  if (byte == '.' && whole) {
    state_ = State::point;
    return Step::more;
  }
  if ((byte == 'e' || byte == 'E') && (whole || state_ == State::fraction)) {
    state_ = State::exponent;
    return Step::more;
  }
  if (open_.empty()) return Step::after;
  complete();
  return step(byte);
}

JsonScanner::Step JsonScanner::step(char byte) {
  switch (state_) {
    case State::value:
      return is_space(byte) ? Step::more : value(byte);
    case State::first_key:
    case State::key:
      if (is_space(byte)) return Step::more;
      if (byte == '}' && state_ == State::first_key) return close('{');
      if (byte != '"') return Step::bad;
      is_key_ = true;
      state_ = State::string;
      return Step::more;
    case State::colon:
      if (is_space(byte)) return Step::more;
      if (byte != ':') return Step::bad;
      state_ = State::value;
      return Step::more;
    case State::comma_or_end:
      if (is_space(byte)) return Step::more;
      if (byte == '}') return close('{');
      if (byte == ']') return close('[');
      if (byte != ',' || open_.empty()) return Step::bad;
      state_ = open_.back() == '{' ? State::key : State::value;
      return Step::more;
    case State::string:
      if (byte == '\\') {
        state_ = State::escape;
      } else if (byte == '"') {
        if (!is_key_) return complete();
        state_ = State::colon;
      }
      return Step::more;
    case State::escape:
      if (std::string_view("\"\\/bfnrtu").find(byte) == std::string_view::npos) return Step::bad;
      state_ = byte == 'u' ? State::unicode : State::string;
      left_ = 4;
      return Step::more;
    case State::unicode:
      if (!is_hex(byte)) return Step::bad;
      if (--left_ == 0) state_ = State::string;
      return Step::more;
    case State::word:
      if (byte != word_[0]) return Step::bad;
      word_.remove_prefix(1);
      return word_.empty() ? complete() : Step::more;
    default:
      return number(byte);
  }
}

void append_json_byte(std::string& text, char byte, bool in_string) {
  if (in_string && static_cast<unsigned char>(byte) < 0x20) {
    append_json_escaped(text, {&byte, 1});
  } else {
    text += byte;
  }
}

void append_json_escaped(std::string& text, std::string_view raw) {
  for (char byte : raw) {
    switch (byte) {
      case '"':
        text += "\\\"";
        break;
      case '\\':
        text += "\\\\";
        break;
      case '\n':
        text += "\\n";
        break;
      case '\r':
        text += "\\r";
        break;
      case '\t':
        text += "\\t";
        break;
      default:
        if (static_cast<unsigned char>(byte) < 0x20) {
          text += fmt::format("\\u{:04x}", static_cast<unsigned>(byte));
        } else {
          text += byte;
        }
    }
  }
}

}  // namespace millrace
