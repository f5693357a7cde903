// What a sequence may say next: all that sampler and scheduler know of grammars, tool calls and
// reasoning. The grammars themselves are in generate/grammar/.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace millrace {

/// What a sequence may say next; one for each sequence, used by one thread at a time.
class Constraint {
 public:
  virtual ~Constraint() = default;

  /// A bit for each id [ceil(vocab / 64)] words: may it come next? The bits of end tokens are set
  /// where the text may end, and at least one bit always is. Valid until accept. Throws Error when
  /// no token of the vocabulary can go on, or when it would take too long to find out.
  virtual std::span<const uint64_t> allowed() = 0;

  /// The id that was chosen; it was allowed.
  virtual void accept(int32_t id) = 0;

  /// The same place in the same text; speculative decoding looks ahead on a copy.
  virtual std::unique_ptr<Constraint> clone() const = 0;

 protected:
  Constraint() = default;
  Constraint(const Constraint&) = default;
  Constraint& operator=(const Constraint&) = default;
};

/// Whether the id's bit is set in what Constraint::allowed gave.
inline bool is_allowed(std::span<const uint64_t> allowed, int32_t id) {
  const auto index = static_cast<uint32_t>(id);
  return index / 64 < allowed.size() && (allowed[index / 64] >> (index % 64) & 1) != 0;
}

}  // namespace millrace
