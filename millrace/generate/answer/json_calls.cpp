#include "millrace/generate/answer/json_calls.h"

#include <utility>

namespace millrace {
namespace {

constexpr size_t kLongestName = 256;

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

bool names_function(std::string_view key) {
  return key == "name" || key == "tool_name" || key == "function";
}

bool names_arguments(std::string_view key) {
  return key == "arguments" || key == "parameters";
}

bool begins_call(std::string_view key) {
  return names_function(key) || names_arguments(key) || key == "type" || key == "id" ||
         key == "tool_call_id";
}

/// What a JSON string says, given with its quotes; empty if it is none.
std::string unquoted(const std::string& json) {
  Json value = Json::parse(json, nullptr, false);
  return value.is_string() ? value.get<std::string>() : std::string();
}

bool is_object(std::string_view text) {
  JsonScanner scanner;
  for (char byte : text) {
    if (scanner.step(byte) == JsonScanner::Step::bad) return false;
  }
  return Json::parse(text, nullptr, false).is_object();
}

}  // namespace

bool JsonCalls::reads_text() const {
  return state_ >= State::key && scanner_.in_string();
}

CallReader::Status JsonCalls::read(const Lexeme& marker) {
  if (state_ != State::between && state_ != State::end) return Status::refused;
  return marker.marker->role == MarkerRole::call_close ? Status::done : Status::after;
}

CallReader::Status JsonCalls::read(char byte) {
  if (state_ >= State::key) return in_value(byte, state_);
  if (is_space(byte)) return Status::reading;
  switch (state_) {
    case State::first_key:
    case State::next_key:
      return before_key(byte);
    case State::colon:
      state_ = State::value;
      return byte == ':' ? Status::reading : Status::refused;
    case State::value:
      return begin_value(byte);
    case State::comma:
      if (byte == '}') return end_object();
      state_ = State::next_key;
      return byte == ',' ? Status::reading : Status::refused;
    default:
      return outside(byte);
  }
}

CallReader::Status JsonCalls::outside(char byte) {
  if (state_ == State::end) return Status::after;
  if (byte == '{') {
    state_ = State::first_key;
    has_arguments_ = nested_ = false;
    name_.clear();
    early_.clear();
    return Status::reading;
  }
  if (state_ == State::start) {
    if (byte != '[' || array_) return Status::refused;
    array_ = true;
    return Status::reading;
  }
  if (byte == ']' && array_) {
    state_ = State::end;
    return has_close_ ? Status::reading : Status::done;
  }
  return byte == ',' || byte == ';' ? Status::reading : Status::after;
}

CallReader::Status JsonCalls::before_key(char byte) {
  if (byte == '}' && state_ == State::first_key) return end_object();
  if (byte != '"') return Status::refused;
  state_ = State::key;
  scanner_ = JsonScanner();
  text_.clear();
  return in_value(byte, state_);
}

CallReader::Status JsonCalls::begin_value(char byte) {
  scanner_ = JsonScanner();
  text_.clear();
  state_ = State::other;
  if (keyed_ && name_.empty()) {
    if (named(key_) == Status::refused) return Status::refused;
    key_ = "arguments";
  }
  if (names_function(key_) && byte == '"') {
    state_ = State::name;
  } else if (key_ == "function" && byte == '{' && !nested_) {
    nested_ = true;
    state_ = State::first_key;
    return Status::reading;
  } else if (names_arguments(key_) && !has_arguments_) {
    has_arguments_ = byte == '{' || byte == '"';
    if (!has_arguments_ && byte != 'n') return Status::refused;
    if (has_arguments_) state_ = byte == '{' ? State::arguments : State::quoted;
  }
  return in_value(byte, state_);
}

CallReader::Status JsonCalls::in_value(char byte, State inside) {
  bool in_string = scanner_.in_string();
  JsonScanner::Step step = scanner_.step(byte);
  if (step == JsonScanner::Step::bad) return Status::refused;
  if (step == JsonScanner::Step::after) {
    state_ = State::comma;
    return read(byte);
  }
  if (inside == State::arguments) {
    std::string json;
    append_json_byte(json, byte, in_string);
    pass_on(json);
  } else if (inside != State::other) {
    append_json_byte(text_, byte, in_string);
    bool too_long = inside != State::quoted && text_.size() > kLongestName;
    if (too_long) return Status::refused;
  }
  return step == JsonScanner::Step::done ? end_value(inside) : Status::reading;
}

CallReader::Status JsonCalls::end_value(State inside) {
  state_ = State::comma;
  if (inside == State::name) return named(unquoted(text_));
  if (inside == State::key) {
    state_ = State::colon;
    key_ = unquoted(text_);
    if (bare_ && !keyed_ && !begins_call(key_)) return Status::refused;
  } else if (inside == State::quoted) {
    std::string arguments = unquoted(text_);
    if (!is_object(arguments)) return Status::refused;
    pass_on(arguments);
  }
  return Status::reading;
}

/// The name is there: what came of the arguments before it can go out.
CallReader::Status JsonCalls::named(const std::string& name) {
  if (!name_.empty() || !output_.tools().has(name)) return Status::refused;
  name_ = name;
  if (!early_.empty()) pass_on(std::exchange(early_, {}));
  return Status::reading;
}

void JsonCalls::pass_on(std::string_view json) {
  if (name_.empty()) {
    early_ += json;
    return;
  }
  if (!output_.in_call()) output_.begin_call(name_);
  output_.arguments(json);
}

CallReader::Status JsonCalls::end_object() {
  if (nested_) {
    nested_ = false;
    state_ = State::comma;
    return Status::reading;
  }
  if (name_.empty()) return Status::refused;
  if (!has_arguments_) pass_on("{}");
  output_.end_call();
  state_ = State::between;
  return Status::reading;
}

}  // namespace millrace
