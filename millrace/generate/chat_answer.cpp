#include "millrace/generate/chat_answer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "millrace/generate/answer/answer_output.h"
#include "millrace/generate/answer/call_reader.h"
#include "millrace/generate/answer/channels.h"
#include "millrace/generate/answer/marker_lexer.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr std::string_view kSpaces = " \t\r\n";

bool marks_reasoning(MarkerRole role) {
  return role <= MarkerRole::answer_close;
}

/// The markers that matter to a request: nothing is a call where there are no tools.
std::vector<Marker> active_markers(const ChatSyntax& syntax, bool tools, bool demanded) {
  std::vector<Marker> markers;
  for (const Marker& marker : syntax.markers) {
    bool active = tools || marks_reasoning(marker.role) || syntax.calls == CallNotation::channels;
    if (!active || marker.text.empty()) continue;
    markers.push_back(marker);
    if (demanded) markers.back().token = false;
  }
  return markers;
}

bool ends_with_marker(std::string_view text, const ChatSyntax& syntax, MarkerRole role) {
  size_t last = text.find_last_not_of(kSpaces);
  std::string_view marker = syntax.marker(role);
  marker = marker.substr(0, marker.find_last_not_of(kSpaces) + 1);
  return last != std::string_view::npos && !marker.empty() &&
         text.substr(0, last + 1).ends_with(marker);
}

}  // namespace

void AnswerDelta::append(const AnswerDelta& later) {
  reasoning += later.reasoning;
  content += later.content;
  for (const ToolCallDelta& call : later.tool_calls) {
    if (!tool_calls.empty() && tool_calls.back().index == call.index) {
      tool_calls.back().arguments += call.arguments;
    } else {
      tool_calls.push_back(call);
    }
  }
}

struct AnswerParser::State {
  enum class Mode {
    content,
    reasoning,
    section,  // between the marker of the calls and a call
    opening,  // after the marker of a call
    calls,
  };

  State(const ChatSyntax& s, const AnswerOptions& options)
      : syntax(s),
        output(syntax, options),
        lexer(active_markers(syntax, !output.tools().empty(), options.demanded)) {
    if (syntax.calls == CallNotation::channels) {
      channels.emplace(syntax, options.prompt_tail, output);
      return;
    }
    auto opened = [&](MarkerRole role) {
      return ends_with_marker(options.prompt_tail, syntax, role);
    };
    if (opened(MarkerRole::reasoning_open)) mode = Mode::reasoning;
    if (output.tools().empty()) return;
    for (MarkerRole role : {MarkerRole::section_open, MarkerRole::call_open}) {
      if (opened(role)) lexer.add(syntax.marker(role), PieceKind::special, reader_of_lexemes());
    }
  }

  MarkerLexer::Emit reader_of_lexemes() {
    return [this](const Lexeme& lexeme) { read(lexeme); };
  }

  void read(const Lexeme& lexeme) {
    if (output.stopped()) return;
    if (channels) {
      channels->read(lexeme);
    } else if (lexeme.marker == nullptr) {
      read_text(lexeme.text);
    } else {
      read_marker(lexeme);
    }
  }

  void read_text(std::string_view text) {
    while (!text.empty() && !output.stopped()) {
      size_t spaces = std::min(text.find_first_not_of(kSpaces), text.size());
      switch (mode) {
        case Mode::reasoning:
          output.reasoning(text);
          return;
        case Mode::content:
          if (!may_begin_bare()) {
            output.content(text);
            return;
          }
          output.content(text.substr(0, spaces));
          text.remove_prefix(spaces);
          if (!text.empty()) begin_calls(text[0], true);
          break;
        case Mode::section:
        case Mode::opening:
          tentative += text.substr(0, spaces);
          text.remove_prefix(spaces);
          if (text.empty()) break;
          if (mode == Mode::opening || text[0] == '{')
            begin_calls(text[0], false);
          else
            refuse();
          break;
        case Mode::calls:
          read_call(text);
          break;
      }
    }
  }

  bool may_begin_bare() const {
    return syntax.calls_begin_answer && !bare_tried && !output.begun() && !output.tools().empty();
  }

  void begin_calls(char first, bool bare) {
    bare_tried = bare_tried || bare;
    reader = make_call_reader(syntax, first, bare, output);
    mode = Mode::calls;
  }

  /// The bytes of calls, up to where they end.
  void read_call(std::string_view& text) {
    CallReader::Status status = CallReader::Status::reading;
    while (status == CallReader::Status::reading && !text.empty()) {
      bool out = output.in_call();
      int calls = output.calls();
      status = reader->read(text[0]);
      if (status == CallReader::Status::after || status == CallReader::Status::refused) break;
      taken(text.substr(0, 1), out || output.in_call() || calls != output.calls());
      text.remove_prefix(1);
    }
    settle(status);
  }

  /// Text of which no call is out may yet turn out to be content.
  void taken(std::string_view text, bool out) {
    if (out)
      tentative.clear();
    else
      tentative += text;
  }

  void settle(CallReader::Status status) {
    if (status == CallReader::Status::refused) {
      refuse();
    } else if (status != CallReader::Status::reading) {
      tentative.clear();
      reader.reset();
      mode = in_section ? Mode::section : Mode::content;
    }
  }

  void refuse() {
    if (output.in_call()) output.end_call();
    reader.reset();
    mode = Mode::content;
    in_section = false;
    output.content(std::exchange(tentative, {}));
  }

  void begin_section(std::string_view text) {
    tentative = text;
    in_section = true;
    mode = Mode::section;
  }

  void read_marker(const Lexeme& lexeme) {
    switch (mode) {
      case Mode::content:
        in_content(lexeme);
        break;
      case Mode::reasoning:
        in_reasoning(lexeme);
        break;
      case Mode::section:
        in_section_of_calls(lexeme);
        break;
      case Mode::opening:
        refuse();
        in_content(lexeme);
        break;
      case Mode::calls:
        in_call(lexeme);
        break;
    }
  }

  void in_content(const Lexeme& lexeme) {
    bool begun = output.begun();
    switch (lexeme.marker->role) {
      case MarkerRole::reasoning_open:
        if (begun && !lexeme.special) break;
        mode = Mode::reasoning;
        return;
      case MarkerRole::reasoning_close:
        if (begun) break;
        output.end_reasoning();
        return;
      case MarkerRole::answer_open:
        if (begun) break;
        in_answer = true;
        output.end_reasoning();
        return;
      case MarkerRole::answer_close:
        if (!in_answer) break;
        in_answer = false;
        return;
      case MarkerRole::section_open:
        begin_section(lexeme.text);
        return;
      case MarkerRole::call_open:
        tentative = lexeme.text;
        mode = Mode::opening;
        return;
      case MarkerRole::section_close:
      case MarkerRole::call_close:
        if (output.calls() == 0) break;
        return;
      default:
        break;
    }
    output.content(lexeme.text);
  }

  void in_reasoning(const Lexeme& lexeme) {
    MarkerRole role = lexeme.marker->role;
    bool calls = role == MarkerRole::section_open || role == MarkerRole::call_open;
    if (role == MarkerRole::reasoning_close || (calls && lexeme.special)) {
      output.end_reasoning();
      mode = Mode::content;
      if (calls) in_content(lexeme);
    } else if (role != MarkerRole::reasoning_open || output.has_reasoning()) {
      output.reasoning(lexeme.text);
    }
  }

  void in_section_of_calls(const Lexeme& lexeme) {
    MarkerRole role = lexeme.marker->role;
    if (role == MarkerRole::call_open) {
      tentative += lexeme.text;
      mode = Mode::opening;
    } else if (role == MarkerRole::section_close && output.calls() > 0) {
      tentative.clear();
      in_section = false;
      mode = Mode::content;
    } else {
      refuse();
      in_content(lexeme);
    }
  }

  void in_call(const Lexeme& lexeme) {
    if (reader->reads_text() && !lexeme.special) {
      read_text(lexeme.text);
      return;
    }
    bool out = output.in_call();
    int calls = output.calls();
    CallReader::Status status = reader->read(lexeme);
    out = out || output.in_call() || calls != output.calls();
    bool took = status == CallReader::Status::reading || status == CallReader::Status::done;
    if (took || out) taken(lexeme.text, out);
    settle(status);
    if (!took) read_marker(lexeme);
  }

  void finish() {
    // The beginning of a marker that was cut: of a call it is no part.
    if (!output.in_call()) lexer.finish(reader_of_lexemes());
    if (channels) channels->finish();
    if (!output.stopped()) refuse();
    output.finish();
  }

  ChatSyntax syntax;
  AnswerOutput output;
  MarkerLexer lexer;
  std::optional<Channels> channels;
  Mode mode = Mode::content;
  std::unique_ptr<CallReader> reader;
  std::string tentative;  // what looks like a call and may be none
  bool in_section = false;
  bool in_answer = false;
  bool bare_tried = false;
};

AnswerParser::AnswerParser(const ChatSyntax& syntax, const AnswerOptions& options)
    : state_(std::make_unique<State>(syntax, options)) {}
AnswerParser::~AnswerParser() = default;
AnswerParser::AnswerParser(AnswerParser&&) noexcept = default;
AnswerParser& AnswerParser::operator=(AnswerParser&&) noexcept = default;

AnswerDelta AnswerParser::add(std::string_view text, PieceKind kind) {
  state_->lexer.add(text, kind, state_->reader_of_lexemes());
  return state_->output.take();
}

AnswerDelta AnswerParser::finish() {
  state_->finish();
  return state_->output.take();
}

bool AnswerParser::stopped() const {
  return state_->output.stopped();
}

const std::string& AnswerParser::stop_string() const {
  return state_->output.stop_string();
}

bool AnswerParser::has_tool_calls() const {
  return state_->output.calls() > 0;
}

ChatAnswer::ChatAnswer(Tokenizer tokenizer, const ChatSyntax& syntax, const AnswerOptions& options)
    : tokenizer_(std::move(tokenizer)), parser_(syntax, options) {
  added_.resize(static_cast<size_t>(tokenizer_.vocab_size()));
  for (const AddedToken& token : tokenizer_.definition().added_tokens) {
    added_[static_cast<size_t>(token.id)] = true;
  }
}

PieceKind ChatAnswer::kind(int32_t id) const {
  if (tokenizer_.is_special(id)) return PieceKind::special;
  bool added =
      id >= 0 && static_cast<size_t>(id) < added_.size() && added_[static_cast<size_t>(id)];
  return added ? PieceKind::added : PieceKind::text;
}

AnswerDelta ChatAnswer::add(int32_t id) {
  AnswerDelta delta;
  std::string_view bytes = tokenizer_.token_bytes(id);
  PieceKind piece = kind(id);
  if (piece != PieceKind::text) {
    delta = parser_.add(std::exchange(kept_, {}));
    delta.append(parser_.add(bytes, piece));
    return delta;
  }
  kept_ += bytes;
  size_t complete = kept_.size() - utf8_incomplete_length(kept_);
  delta = parser_.add(std::string_view(kept_).substr(0, complete));
  kept_.erase(0, complete);
  return delta;
}

AnswerDelta ChatAnswer::finish() {
  AnswerDelta delta = parser_.add(std::exchange(kept_, {}));
  delta.append(parser_.finish());
  return delta;
}

}  // namespace millrace
