// Cuts generated text into a family's markers and the text between them.
#pragma once

#include <array>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/generate/chat_answer.h"
#include "millrace/generate/chat_syntax.h"

namespace millrace {

/// A marker, or text that is none.
struct Lexeme {
  const Marker* marker = nullptr;
  std::string_view text;  ///< as a reader sees it: without special tokens
  bool special = false;   ///< a marker that begins with a special token
};

/// Linear in the text, whatever it is. Holds back what may become a marker.
class MarkerLexer {
 public:
  using Emit = std::function<void(const Lexeme&)>;

  explicit MarkerLexer(std::vector<Marker> markers);
  MarkerLexer(const MarkerLexer&) = delete;
  MarkerLexer& operator=(const MarkerLexer&) = delete;

  void add(std::string_view text, PieceKind kind, const Emit& emit);
  void finish(const Emit& emit);

 private:
  /// A token in held_ that is found by its content.
  struct TokenPlace {
    size_t begin, end;
    bool special;
  };

  struct Match {
    const Marker* marker = nullptr;
    bool undecided = false;  // more text may make it a marker, or a longer one
  };

  Match match(size_t at) const;
  bool token_begins(size_t at, bool special_only = false) const;
  std::string visible(size_t begin, size_t end) const;
  void run(bool last, const Emit& emit);
  void emit_text(size_t begin, size_t end, const Emit& emit) const;

  std::vector<Marker> markers_;
  std::array<bool, 256> begins_{};  // bytes that begin a marker
  std::string held_;
  std::vector<TokenPlace> tokens_;  // in order
};

}  // namespace millrace
