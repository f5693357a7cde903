#include "millrace/generate/answer/call_writing.h"

#include "millrace/generate/answer/offered_tools.h"

namespace millrace {
namespace {

/// {"name": "f", "arguments": {…}}
void write_json(const ChatSyntax& syntax, CallWriting& writing) {
  bool keyed = syntax.calls == CallNotation::keyed_json;
  writing.before_name = keyed ? "{\"" : "{\"" + syntax.name_key + "\": \"";
  writing.after_name = keyed ? "\": " : "\", \"" + syntax.arguments_key + "\": ";
  writing.after_arguments = "}";
  std::string open(syntax.marker(MarkerRole::call_open));
  std::string close(syntax.marker(MarkerRole::call_close));
  switch (syntax.grouping) {
    case CallGrouping::array:
      writing.begin = open + "[";
      writing.between = ", ";
      writing.end = "]" + close;
      return;
    case CallGrouping::list:
      writing.begin = open + "\n";
      writing.between = "\n";
      writing.end = "\n" + close;
      return;
    case CallGrouping::each:
      writing.before_name = open + "\n" + writing.before_name;
      writing.after_arguments += "\n" + close;
      writing.between = "\n";
      return;
    case CallGrouping::one:
      if (!syntax.calls_begin_answer) writing.begin = open;
  }
}

void write_named(const ChatSyntax& syntax, CallWriting& writing) {
  auto text = [&](MarkerRole role) { return std::string(syntax.marker(role)); };
  std::string arguments_open = text(MarkerRole::arguments_open);
  writing.before_name = text(MarkerRole::call_open);
  writing.after_name = syntax.name_end + arguments_open;
  writing.after_arguments = text(MarkerRole::call_close);
  if (syntax.ids == CallIdForm::functions) {
    writing.before_name += "functions.";
    writing.has_index = true;
  }
  if (syntax.code_block) {
    writing.before_name += "function" + arguments_open;
    writing.after_name = "\n```json\n";
    writing.after_arguments = "\n```" + writing.after_arguments;
  }
  writing.tagged = !syntax.marker(MarkerRole::value_close).empty();
  writing.raw_strings = writing.tagged;
  if (writing.tagged) {
    std::string value_line = syntax.values_on_lines ? "\n" : "";
    std::string value_open = text(MarkerRole::value_open);
    if (!value_open.empty()) value_open = syntax.line + value_open;
    if (syntax.name_end != "\n" && !syntax.cdata) writing.after_name += syntax.line;
    writing.before_key = text(MarkerRole::key_open);
    writing.after_key = syntax.key_end + text(MarkerRole::key_close) + value_open + value_line;
    writing.after_value = value_line + text(MarkerRole::value_close);
    if (!syntax.cdata) writing.after_value += syntax.line;
  }
  std::string open = text(MarkerRole::section_open);
  std::string close = text(MarkerRole::section_close);
  std::string line = writing.tagged ? syntax.line : "";
  if (syntax.grouping == CallGrouping::list) {
    writing.begin = open + line;
    writing.end = line + close;
    writing.between = line;
  } else if (!open.empty()) {
    writing.before_name = open + line + writing.before_name;
    writing.after_arguments += line + close;
    writing.between = "\n";
  }
}

void write_python(const ChatSyntax& syntax, CallWriting& writing) {
  writing.begin = std::string(syntax.marker(MarkerRole::call_open)) + "[";
  writing.between = writing.between_values = ", ";
  writing.end = "]" + std::string(syntax.marker(MarkerRole::call_close));
  writing.after_name = "(";
  writing.after_arguments = ")";
  writing.tagged = true;
  writing.after_key = "=";
}

void write_channels(const ChatSyntax& syntax, CallWriting& writing) {
  auto text = [&](MarkerRole role) { return std::string(syntax.marker(role)); };
  writing.before_name = text(MarkerRole::channel) + "commentary to=functions.";
  writing.after_name = " " + text(MarkerRole::constrain) + "json" + text(MarkerRole::message);
  writing.after_arguments = "<|call|>";
}

/// An object, whatever form a client gave it.
Json arguments_of(const Json& function) {
  auto found = function.find("arguments");
  if (found == function.end()) return Json::object();
  Json value = found->is_string() ? Json::parse(found->get<std::string>(), nullptr, false) : *found;
  return value.is_object() ? value : Json::object();
}

/// JSON text with spaces after colons and commas, as Python writes it and models have read it.
std::string spaced_json(const Json& value) {
  std::string text;
  bool in_string = false, escaped = false;
  for (char byte : to_json_text(value)) {
    text += byte;
    if (!in_string && (byte == ':' || byte == ',')) text += ' ';
    if (byte == '"' && !escaped) in_string = !in_string;
    escaped = byte == '\\' && !escaped;
  }
  return text;
}

std::string write_arguments(const CallWriting& writing, const Json& arguments) {
  if (!writing.tagged) return spaced_json(arguments);
  std::string text;
  for (const auto& [key, value] : arguments.items()) {
    if (!text.empty()) text += writing.between_values;
    bool raw = writing.raw_strings && value.is_string();
    text += writing.before_key + key + writing.after_key;
    text += raw ? value.get<std::string>() : spaced_json(value);
    text += writing.after_value;
  }
  return text;
}

}  // namespace

CallWriting call_writing(const ChatSyntax& syntax) {
  CallWriting writing;
  switch (syntax.calls) {
    case CallNotation::json:
    case CallNotation::keyed_json:
      write_json(syntax, writing);
      break;
    case CallNotation::named:
      write_named(syntax, writing);
      break;
    case CallNotation::python:
      write_python(syntax, writing);
      break;
    case CallNotation::channels:
      write_channels(syntax, writing);
      break;
  }
  return writing;
}

std::string write_calls(const ChatSyntax& syntax, const Json& tool_calls, int first_index) {
  CallWriting writing = call_writing(syntax);
  std::string text = writing.begin;
  int index = 0;
  for (const Json& call : tool_calls) {
    const Json& function = tool_function(call);
    if (!function.is_object()) continue;
    if (index > 0) text += writing.between;
    text += writing.before_name + function.value("name", "");
    if (writing.has_index) text += ":" + std::to_string(first_index + index);
    text += writing.after_name + write_arguments(writing, arguments_of(function)) +
            writing.after_arguments;
    ++index;
  }
  return text + writing.end;
}

}  // namespace millrace
