// What one rendering may cost: a template is a program that somebody else wrote.
#pragma once

#include <cstddef>
#include <cstdint>

#include "millrace/base/error.h"

namespace millrace::jinja {

/// Bounds of one rendering. Time and memory both follow `steps`: an evaluated node, an item visited
/// and some 32 bytes of memory cost one each. Published templates spend 10,000 on five messages
/// with tools, and a few compare every message with every other.
struct Limits {
  uint64_t steps = 5'000'000;
  size_t text_bytes = size_t{16} << 20;  ///< the longest string, and the longest output
  int nesting = 600;                     ///< expressions, blocks and macro calls within each other
};

/// How deep lists and dictionaries may lie within each other.
constexpr int kMaxValueDepth = 500;

/// Counts the cost of one rendering down. Every function throws Error when a bound is passed.
class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits), steps_left_(limits.steps) {}

  void spend(uint64_t steps) {
    if (steps > steps_left_) {
      fail(
          "the template does too much work (over {} steps): it loops too long or the "
          "conversation is too large for it",
          limits_.steps);
    }
    steps_left_ -= steps;
  }

  void spend_bytes(size_t bytes) { spend(bytes / 32 + 1); }

  void check_text_size(size_t bytes) const {
    require(bytes <= limits_.text_bytes, "the template makes a text of more than {} bytes",
            limits_.text_bytes);
  }

  /// Holds one level of nesting for as long as it lives.
  class Level {
   public:
    explicit Level(Budget& budget) : budget_(budget) {
      require(budget_.nesting_ < budget_.limits_.nesting,
              "the template is nested deeper than {} levels: a macro calls itself without end",
              budget_.limits_.nesting);
      ++budget_.nesting_;
    }
    ~Level() { --budget_.nesting_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    Budget& budget_;
  };

 private:
  Limits limits_;
  uint64_t steps_left_;
  int nesting_ = 0;
};

}  // namespace millrace::jinja
