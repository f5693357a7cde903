#include "millrace/generate/answer/channels.h"

namespace millrace {
namespace {

constexpr size_t kLongestHeader = 512;
constexpr std::string_view kSpaces = " \t\r\n";
constexpr std::string_view kFunctions = "functions.";

std::string_view first_word(std::string_view text) {
  size_t begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  text.remove_prefix(begin);
  return text.substr(0, text.find_first_of(kSpaces));
}

/// What stands after to= in a message's header.
std::string_view recipient(std::string_view header) {
  constexpr std::string_view kTo = "to=";
  size_t found = header.find(kTo);
  return found == std::string_view::npos ? "" : first_word(header.substr(found + kTo.size()));
}

}  // namespace

Channels::Channels(const ChatSyntax& syntax, std::string_view prompt_tail, AnswerOutput& output)
    : output_(output) {
  std::string_view start = syntax.marker(MarkerRole::message_start);
  size_t last = prompt_tail.rfind(start);
  if (last == std::string_view::npos) return;
  std::vector<Marker> markers = syntax.markers;
  for (Marker& marker : markers) marker.token = false;  // the prompt is text here
  MarkerLexer lexer(markers);
  auto read_header = [this](const Lexeme& lexeme) { read(lexeme); };
  lexer.add(prompt_tail.substr(last), PieceKind::text, read_header);
  lexer.finish(read_header);
}

void Channels::read(const Lexeme& lexeme) {
  if (lexeme.marker != nullptr) {
    marker(lexeme);
    return;
  }
  switch (part_) {
    case Part::role:
      header_ += lexeme.text;
      break;
    case Part::channel:
      channel_ += lexeme.text;
      break;
    case Part::constraint:
      break;
    case Part::body:
      body(lexeme.text);
      return;
  }
  if (header_.size() + channel_.size() > kLongestHeader) finish();
}

void Channels::marker(const Lexeme& lexeme) {
  bool in_string = part_ == Part::body && kind_ == Kind::call && scanner_.in_string();
  if (in_string && !lexeme.special) {
    body(lexeme.text);
    return;
  }
  switch (lexeme.marker->role) {
    case MarkerRole::message_start:
    case MarkerRole::message_end:
      begin_message();
      break;
    case MarkerRole::channel:
      if (part_ == Part::body) begin_message();
      part_ = Part::channel;
      break;
    case MarkerRole::constrain:
      if (part_ != Part::body) part_ = Part::constraint;
      break;
    case MarkerRole::message:
      if (part_ != Part::body) begin_body();
      break;
    default:
      break;
  }
}

void Channels::begin_message() {
  if (part_ == Part::body) end_body();
  part_ = Part::role;
  header_.clear();
  channel_.clear();
}

void Channels::begin_body() {
  part_ = Part::body;
  std::string_view to = recipient(header_);
  if (to.empty()) to = recipient(channel_);
  bool function = to.starts_with(kFunctions);
  if (function) to.remove_prefix(kFunctions.size());
  bool analysis = first_word(channel_) == "analysis";
  if (output_.tools().has(to)) {
    kind_ = Kind::call;
    tool_ = to;
    scanner_ = JsonScanner();
    call_complete_ = false;
  } else if (analysis || (!to.empty() && !function && to != "user")) {
    kind_ = Kind::reasoning;
    if (reasoning_messages_++ > 0) output_.reasoning("\n\n");
  } else {
    kind_ = Kind::content;
    if (content_messages_++ > 0) output_.content("\n\n");
  }
}

void Channels::body(std::string_view text) {
  if (kind_ == Kind::reasoning) output_.reasoning(text);
  if (kind_ == Kind::content) output_.content(text);
  if (kind_ == Kind::call) arguments(text);
}

void Channels::arguments(std::string_view text) {
  for (size_t i = 0; i < text.size(); ++i) {
    char byte = text[i];
    bool space = kSpaces.find(byte) != std::string_view::npos;
    if (space && !output_.in_call()) continue;
    bool in_string = scanner_.in_string();
    JsonScanner::Step step = JsonScanner::Step::bad;
    if (!call_complete_ && (output_.in_call() || byte == '{')) step = scanner_.step(byte);
    if (step == JsonScanner::Step::bad) {
      end_body();
      kind_ = Kind::content;
      body(text.substr(i));
      return;
    }
    if (!output_.in_call()) output_.begin_call(tool_);
    std::string json;
    append_json_byte(json, byte, in_string);
    output_.arguments(json);
    if (step != JsonScanner::Step::done) continue;
    output_.end_call();
    call_complete_ = true;
  }
}

void Channels::end_body() {
  if (kind_ == Kind::reasoning) output_.end_reasoning();
  if (kind_ == Kind::call && output_.in_call()) output_.end_call();
}

void Channels::finish() {
  if (part_ == Part::body) {
    end_body();
    return;
  }
  part_ = Part::body;  // text without a header
  kind_ = Kind::content;
  std::string text = channel_ + header_;
  header_.clear();
  channel_.clear();
  body(text);
}

}  // namespace millrace
