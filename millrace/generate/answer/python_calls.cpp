#include "millrace/generate/answer/python_calls.h"

#include "millrace/generate/answer/json_scanner.h"

namespace millrace {
namespace {

constexpr size_t kLongestName = 256;

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/// Of names of tools and, but for dots and dashes, of arguments; letters beyond ASCII are letters.
bool is_name(char c) {
  return static_cast<uint8_t>(c) >= 0x80 || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
}

}  // namespace

CallReader::Status PythonCalls::read(const Lexeme& marker) {
  if (state_ != State::between && state_ != State::end) return Status::refused;
  return marker.marker->role == MarkerRole::call_close ? Status::done : Status::after;
}

CallReader::Status PythonCalls::read(char byte) {
  if (state_ == State::value) return in_value(byte);
  if (is_space(byte)) return Status::reading;
  switch (state_) {
    case State::start:
      if (byte == '[' && !list_) {
        list_ = true;
        return Status::reading;
      }
      return in_name(byte);
    case State::name:
      return in_name(byte);
    case State::key:
      return in_key(byte);
    case State::between:
      if (byte == ',') {
        state_ = State::name;
        name_.clear();
        return Status::reading;
      }
      if (byte != ']' || !list_) return Status::after;
      state_ = State::end;
      return has_close_ ? Status::reading : Status::done;
    default:
      return Status::after;
  }
}

CallReader::Status PythonCalls::in_name(char byte) {
  state_ = State::name;
  if (is_name(byte)) {
    name_ += byte;
    return name_.size() > kLongestName ? Status::refused : Status::reading;
  }
  if (byte != '(' || !output_.tools().has(name_)) return Status::refused;
  state_ = State::key;
  text_.clear();
  arguments_ = 0;
  return Status::reading;
}

CallReader::Status PythonCalls::in_key(char byte) {
  if (byte == ')' && text_.empty()) {
    if (arguments_ == 0) output_.begin_call(name_);
    return end_call();
  }
  if (is_name(byte)) {
    text_ += byte;
    return text_.size() > kLongestName ? Status::refused : Status::reading;
  }
  if (byte != '=' || text_.empty()) return Status::refused;
  if (arguments_ == 0) output_.begin_call(name_);
  output_.arguments(arguments_++ == 0 ? "{" : ", ");
  output_.arguments('"' + text_ + "\": ");
  key_ = text_;
  text_.clear();
  value_end_ = {};
  state_ = State::value;
  return Status::reading;
}

CallReader::Status PythonCalls::in_value(char byte) {
  if (!value_end_.step(byte)) {
    text_ += byte;
    return Status::reading;
  }
  std::optional<Json> value = python_literal(text_);
  output_.arguments(value ? to_json_text(*value) : output_.tools().value(name_, key_, text_));
  text_.clear();
  if (byte != ',') return byte == ')' ? end_call() : Status::refused;
  state_ = State::key;
  return Status::reading;
}

CallReader::Status PythonCalls::end_call() {
  output_.arguments(arguments_ == 0 ? "{}" : "}");
  output_.end_call();
  state_ = State::between;
  return Status::reading;
}

}  // namespace millrace
