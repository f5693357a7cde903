#include "millrace/generate/answer/named_calls.h"

#include <algorithm>

namespace millrace {
namespace {

constexpr size_t kLongestHeader = 256;
constexpr std::string_view kFunctions = "functions.";

bool is_space(char c) {
  return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// functions.name:0, as Kimi and gpt-oss write it.
std::string_view plain_name(std::string_view name) {
  name = trimmed(name);
  if (name.starts_with(kFunctions)) name.remove_prefix(kFunctions.size());
  size_t colon = name.rfind(':');
  if (colon == std::string_view::npos) return name;
  bool number = name.find_first_not_of("0123456789", colon + 1) == std::string_view::npos;
  return number ? name.substr(0, colon) : name;
}

}  // namespace

/// The name is what stands before the marker of arguments, or the first line behind it ("function"
/// then stands before). Only the beginning of a code block may be between it and the arguments.
bool NamedCalls::find_name() {
  std::string_view rest = trimmed(gap_);
  std::string_view name = header_;
  if (name_.empty()) {
    if (!rest.empty() && !rest.starts_with("```")) {
      size_t end = std::min(rest.find('\n'), rest.size());
      name = rest.substr(0, end);
      rest = trimmed(rest.substr(end));
    }
    std::string_view known = output_.tools().has(trimmed(name)) ? trimmed(name) : plain_name(name);
    if (!output_.tools().has(known)) return false;
    name_ = known;
  }
  return rest.empty() || rest == "```json" || rest == "```";
}

CallReader::Status NamedCalls::read(char byte) {
  switch (state_) {
    case State::name:
    case State::gap:
      return in_name(byte);
    case State::arguments:
      return in_arguments(byte);
    case State::end:
      return is_space(byte) || byte == '`' ? Status::reading : Status::after;
    case State::key:
      return in_key(byte);
    case State::value:
      in_value(byte);
      return Status::reading;
    default:
      return Status::reading;  // between parameters there is nothing
  }
}

CallReader::Status NamedCalls::read(const Lexeme& marker) {
  MarkerRole role = marker.marker->role;
  bool closes = role == MarkerRole::call_close || role == MarkerRole::section_close;
  switch (state_) {
    case State::name:
    case State::call_id:
      if (role == MarkerRole::call_id) state_ = State::call_id;
      if (role == MarkerRole::arguments_open) state_ = State::gap;
      if (role == MarkerRole::call_id || role == MarkerRole::arguments_open) return Status::reading;
      [[fallthrough]];
    case State::gap:
      if (role == MarkerRole::key_open) return find_name() ? begin_key() : Status::refused;
      if (role != MarkerRole::call_close || !find_name()) return Status::refused;
      output_.begin_call(name_);
      return end_parameters(Status::done);
    case State::arguments:
      return Status::refused;
    case State::end:
      return role == MarkerRole::call_close ? Status::done : Status::after;
    case State::between:
      if (role == MarkerRole::key_open) return begin_key();
      if (role == MarkerRole::call_close) return end_parameters(Status::done);
      return closes || role == MarkerRole::call_open ? end_parameters(Status::after)
                                                     : Status::reading;
    case State::key:
      if (role == MarkerRole::key_close) {
        state_ = State::between_key_and_value;
        return Status::reading;
      }
      for (char byte : marker.text) {
        if (in_key(byte) == Status::refused) return Status::refused;
      }
      return Status::reading;
    case State::between_key_and_value:
      return role == MarkerRole::value_open ? begin_value() : Status::refused;
    case State::value:
      break;
  }
  if (role == MarkerRole::value_close) {
    end_value();
  } else if (closes && marker.marker->token) {  // a parameter that was left open
    end_value();
    return end_parameters(role == MarkerRole::call_close ? Status::done : Status::after);
  } else {
    for (char byte : marker.text) in_value(byte);
  }
  return Status::reading;
}

CallReader::Status NamedCalls::in_name(char byte) {
  if (byte == '{' && !trimmed(header_).empty()) {
    return find_name() ? begin_arguments() : Status::refused;
  }
  std::string& text = state_ == State::name ? header_ : gap_;
  text += byte;
  if (header_.size() + gap_.size() > kLongestHeader) return Status::refused;
  if (bare_ && !output_.tools().any_begins_with(trimmed(header_))) return Status::refused;
  const std::string& end = syntax_.name_end;
  if (state_ == State::gap || end.empty() || !text.ends_with(end)) return Status::reading;
  header_.resize(header_.size() - end.size());
  if (trimmed(header_).empty()) return Status::reading;  // a newline before the name
  state_ = State::gap;
  return find_name() ? Status::reading : Status::refused;
}

CallReader::Status NamedCalls::begin_arguments() {
  output_.begin_call(name_);
  state_ = State::arguments;
  return in_arguments('{');
}

CallReader::Status NamedCalls::in_arguments(char byte) {
  bool in_string = scanner_.in_string();
  JsonScanner::Step step = scanner_.step(byte);
  if (step == JsonScanner::Step::bad) return Status::refused;
  std::string json;
  append_json_byte(json, byte, in_string);
  output_.arguments(json);
  if (step == JsonScanner::Step::more) return Status::reading;
  output_.end_call();
  state_ = State::end;
  return syntax_.marker(MarkerRole::call_close).empty() ? Status::done : Status::reading;
}

CallReader::Status NamedCalls::begin_key() {
  if (!output_.in_call()) output_.begin_call(name_);
  key_.clear();
  state_ = State::key;
  return Status::reading;
}

CallReader::Status NamedCalls::in_key(char byte) {
  key_ += byte;
  if (key_.size() > kLongestHeader) return Status::refused;
  if (syntax_.key_end.empty() || !key_.ends_with(syntax_.key_end)) return Status::reading;
  key_.resize(key_.size() - syntax_.key_end.size());
  return begin_value();
}

CallReader::Status NamedCalls::begin_value() {
  passes_on_ = !syntax_.cdata && output_.tools().is_string(name_, key_);
  value_begun_ = newline_ = false;
  value_.clear();
  std::string json = parameters_++ == 0 ? "{\"" : ", \"";
  append_json_escaped(json, trimmed(key_));
  output_.arguments(json + (passes_on_ ? "\": \"" : "\": "));
  state_ = State::value;
  return Status::reading;
}

void NamedCalls::in_value(char byte) {
  bool first = !value_begun_;
  value_begun_ = true;
  std::string raw = newline_ ? "\n" : "";
  newline_ = syntax_.values_on_lines && byte == '\n' && !first;
  if (!syntax_.values_on_lines || byte != '\n') raw += byte;
  if (passes_on_) {
    std::string json;
    append_json_escaped(json, raw);
    output_.arguments(json);
  } else {
    value_ += raw;
  }
}

void NamedCalls::end_value() {
  state_ = State::between;
  if (passes_on_) {
    output_.arguments("\"");
    return;
  }
  std::string_view text = value_;
  constexpr std::string_view kOpen = "<![CDATA[", kClose = "]]>";
  if (syntax_.cdata && text.starts_with(kOpen) && text.ends_with(kClose)) {
    text = text.substr(kOpen.size(), text.size() - kOpen.size() - kClose.size());
  }
  output_.arguments(output_.tools().value(name_, key_, text));
}

CallReader::Status NamedCalls::end_parameters(Status status) {
  output_.arguments(parameters_ == 0 ? "{}" : "}");
  output_.end_call();
  return status;
}

}  // namespace millrace
