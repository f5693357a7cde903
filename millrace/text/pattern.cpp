#include "millrace/text/pattern.h"

#include <algorithm>
#include <array>
#include <cstdint>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "millrace/base/error.h"
#include "millrace/text/pattern_syntax.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr size_t kMaxExpression = 1 << 14;
constexpr uint64_t kStepsPerText = 4096;
constexpr uint64_t kStepsPerByte = 256;
constexpr uint32_t kMaxHeapKibibytes = 64 << 10;
constexpr size_t kMaxJitStack = 1 << 20;

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};
using Code = std::unique_ptr<pcre2_code, Deleter<pcre2_code_free>>;
using MatchData = std::unique_ptr<pcre2_match_data, Deleter<pcre2_match_data_free>>;
using MatchContext = std::unique_ptr<pcre2_match_context, Deleter<pcre2_match_context_free>>;
using JitStack = std::unique_ptr<pcre2_jit_stack, Deleter<pcre2_jit_stack_free>>;

/// What counted matching has used up: one step an item of the expression that is tried, and one a
/// byte that the match moved by. PCRE2's own limit counts only some kinds of backtracking, and
/// anew at each start.
struct Steps {
  uint64_t left = 0;
  size_t position = 0;
};

int count_step(pcre2_callout_block* block, void* data) {
  Steps& steps = *static_cast<Steps*>(data);
  size_t now = block->current_position;
  uint64_t cost = 1 + (now > steps.position ? now - steps.position : steps.position - now);
  steps.position = now;
  if (cost > steps.left) return PCRE2_ERROR_MATCHLIMIT;
  steps.left -= cost;
  return 0;
}

/// What a thread needs to run any expression.
struct Workspace {
  MatchData match{pcre2_match_data_create(1, nullptr)};
  MatchContext context{pcre2_match_context_create(nullptr)};
  JitStack stack{pcre2_jit_stack_create(32 << 10, kMaxJitStack, nullptr)};
  Steps steps;

  Workspace() {
    require(match && context && stack, "out of memory for regular expressions");
    pcre2_set_heap_limit(context.get(), kMaxHeapKibibytes);
    pcre2_set_callout(context.get(), count_step, &steps);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

Workspace& workspace() {
  thread_local Workspace space;
  return space;
}

std::string error_text(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

}  // namespace

struct Pattern::Compiled {
  std::string expression;
  std::string source;
  Code code;
};

Pattern::Pattern(std::string_view expression, std::string_view source, Effort effort) {
  require(expression.size() <= kMaxExpression,
          "{}: a regular expression of {} bytes is longer than the {} allowed", source,
          expression.size(), kMaxExpression);
  std::string translated = oniguruma_to_pcre2(expression, source);
  uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;
  if (effort == Effort::kCounted) options |= PCRE2_AUTO_CALLOUT | PCRE2_NO_AUTO_POSSESS;
  int error = 0;
  size_t offset = 0;
  Code code(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                          options, &error, &offset, nullptr));
  require(code != nullptr, "{}: regular expression {} cannot be used: {}", source,
          quote(expression), error_text(error));
  // Where there is no just-in-time compiler, PCRE2 interprets the expression.
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE);
  compiled_ = std::make_shared<Compiled>(
      Compiled{std::string(expression), std::string(source), std::move(code)});
}

const std::string& Pattern::expression() const {
  return compiled_->expression;
}

void Pattern::find_all(std::string_view text, std::vector<TextRange>& matches) const {
  Workspace& space = workspace();
  space.steps.left = kStepsPerText + kStepsPerByte * text.size();
  const size_t* found = pcre2_get_ovector_pointer(space.match.get());
  auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t from = 0;
  size_t last_end = text.size() + 1;
  while (from <= text.size()) {
    space.steps.position = from;
    auto match = [&](uint32_t options) {
      return pcre2_match(compiled_->code.get(), subject, text.size(), from,
                         PCRE2_NO_UTF_CHECK | options, space.match.get(), space.context.get());
    };
    int result = match(0);
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = match(PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) return;
    if (result < 0) {
      fail("{}: regular expression {} cannot be run on a text of {} bytes: {}", compiled_->source,
           quote(compiled_->expression), text.size(), error_text(result));
    }
    TextRange range{found[0], found[1]};
    if (range.begin == range.end && range.end == last_end) {
      // An empty match where the last one ended does not count; Oniguruma's Rust binding then
      // looks on from the next character.
      from += from < text.size() ? utf8_length(text.substr(from)) : 1;
      continue;
    }
    matches.push_back(range);
    from = last_end = range.end;
  }
}

}  // namespace millrace
