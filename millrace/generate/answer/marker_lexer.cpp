#include "millrace/generate/answer/marker_lexer.h"

#include <algorithm>

namespace millrace {

MarkerLexer::MarkerLexer(std::vector<Marker> markers) : markers_(std::move(markers)) {
  for (const Marker& marker : markers_) begins_[static_cast<unsigned char>(marker.text[0])] = true;
}

void MarkerLexer::add(std::string_view text, PieceKind kind, const Emit& emit) {
  if (text.empty()) return;
  if (kind != PieceKind::text) {
    tokens_.push_back({held_.size(), held_.size() + text.size(), kind == PieceKind::special});
  }
  held_ += text;
  run(false, emit);
}

void MarkerLexer::finish(const Emit& emit) {
  run(true, emit);
}

bool MarkerLexer::token_begins(size_t at, bool special_only) const {
  return std::any_of(tokens_.begin(), tokens_.end(), [&](const TokenPlace& token) {
    return token.begin == at && (token.special || !special_only);
  });
}

MarkerLexer::Match MarkerLexer::match(size_t at) const {
  Match best;
  if (!begins_[static_cast<unsigned char>(held_[at])]) return best;
  std::string_view here = std::string_view(held_).substr(at);
  for (const Marker& marker : markers_) {
    if (marker.token && !token_begins(at)) continue;
    if (here.starts_with(marker.text)) {
      if (best.marker == nullptr || marker.text.size() > best.marker->text.size()) {
        best.marker = &marker;
      }
    } else if (marker.text.starts_with(here)) {
      best.undecided = true;
    }
  }
  return best;
}

std::string MarkerLexer::visible(size_t begin, size_t end) const {
  std::string text;
  for (const TokenPlace& token : tokens_) {
    if (!token.special || token.begin < begin || token.begin >= end) continue;
    text += held_.substr(begin, token.begin - begin);
    begin = std::min(token.end, end);
  }
  return text + held_.substr(begin, end - begin);
}

void MarkerLexer::emit_text(size_t begin, size_t end, const Emit& emit) const {
  std::string text = visible(begin, end);
  if (!text.empty()) emit({nullptr, text, false});
}

void MarkerLexer::run(bool last, const Emit& emit) {
  size_t done = 0;
  size_t at = 0;
  while (at < held_.size()) {
    Match found = match(at);
    if (found.undecided && !last) break;
    if (found.marker == nullptr) {
      ++at;
      continue;
    }
    emit_text(done, at, emit);
    done = at + found.marker->text.size();
    emit({found.marker, visible(at, done), token_begins(at, true)});
    at = done;
  }
  emit_text(done, at, emit);
  held_.erase(0, at);
  std::erase_if(tokens_, [at](const TokenPlace& token) { return token.end <= at; });
  for (TokenPlace& token : tokens_) {
    token.begin -= std::min(token.begin, at);
    token.end -= at;
  }
}

}  // namespace millrace
