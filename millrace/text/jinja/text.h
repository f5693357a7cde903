// A string that remembers which of its bytes the template wrote and which came from the
// conversation, through every operation on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/text/jinja/budget.h"

namespace millrace::jinja {

/// Who wrote a byte: the model's publisher (template, its special tokens) or the conversation.
enum class Origin : uint8_t { kTemplate, kData };

/// UTF-8 text as runs of one origin each. Neighbouring runs differ in origin, none is empty.
class Text {
 public:
  struct Run {
    size_t end;  ///< byte after the run's last; it begins where the run before ends
    Origin origin;
  };

  Text() = default;
  Text(std::string bytes, Origin origin);

  const std::string& bytes() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  const std::vector<Run>& runs() const { return runs_; }
  /// kTemplate when the template wrote all of it.
  Origin origin() const {
    return runs_.size() > 1 ? Origin::kData : runs_.empty() ? Origin::kTemplate : runs_[0].origin;
  }

  void append(std::string_view bytes, Origin origin);
  /// Appends bytes [begin, end) of another text.
  void append(const Text& other, size_t begin, size_t end);

  /// Set by the filters `safe` and `escape`: joined to plain text, that is HTML-escaped first, as
  /// Python's markupsafe does it. Templates use `safe` for no good reason; the effect is real.
  bool markup = false;

 private:
  std::string bytes_;
  std::vector<Run> runs_;
};

/// Builds a text within a budget: every append costs, and too long a text is an Error before
/// memory is taken for it.
class TextBuilder {
 public:
  explicit TextBuilder(Budget& budget) : budget_(&budget) { budget.spend(4); }

  void append(std::string_view bytes, Origin origin);
  void append(const Text& text) { append(text, 0, text.size()); }
  void append(const Text& text, size_t begin, size_t end);

  size_t size() const { return text_.size(); }
  Text finish() { return std::move(text_); }

 private:
  void charge(size_t bytes);

  Budget* budget_;
  Text text_;
};

}  // namespace millrace::jinja
