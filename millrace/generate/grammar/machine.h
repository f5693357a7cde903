// Runs an automaton over bytes: the sets of places in which a text may be, by Earley's method
// (1970) with equal stacks shared, each set and each step between sets computed once.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "millrace/generate/grammar/automaton.h"

namespace millrace {

/// Who waits for a rule to end: where it goes on, and in which of its own calls. Of a loop, also
/// how often the rule was begun.
struct Caller {
  uint32_t return_state = 0;
  uint32_t callee = 0;
  uint32_t count = 0;  // of a loop: at least 1; no more than needed where there is no upper bound
  uint32_t callers = 0;
  auto operator<=>(const Caller&) const = default;
};

/// A state, and an id of the callers of the rule that it is in.
struct Place {
  uint32_t state = 0;
  uint32_t callers = 0;
  auto operator<=>(const Place&) const = default;
};

/// Equal sets have equal ids, so that whatever is known of one is known for good. Not for several
/// threads. Memory grows with every new set; whoever owns a machine starts a new one in time.
class Machine {
 public:
  /// Ids of sets of places.
  using Places = uint32_t;
  static constexpr Places kDead = 0;      // the set without places: the text is refused
  static constexpr uint32_t kBottom = 0;  // the callers of rule 0: the end of the text

  explicit Machine(const Automaton& automaton);

  Places start() const { return start_; }
  /// As if a rule of its own began in that place's state.
  Places from(Place place) { return intern({place}); }
  /// The set after one more symbol. Throws Error when there are too many ways to read a text.
  Places next(Places places, uint32_t symbol_class) {
    const uint32_t known = steps_[static_cast<size_t>(places) * classes_ + symbol_class];
    return known != kUnknown ? known : step(places, symbol_class);
  }
  Places next(Places places, std::string_view bytes);
  /// Where the text goes on when a rule with these callers ends.
  Places after(uint32_t callers);

  bool may_end(Places places) const { return sets_[places].may_end; }
  /// Those that were reached by reading; the beginnings of what they call go without saying.
  std::span<const Place> places(Places places) const {
    return std::span(places_).subspan(sets_[places].begin, sets_[places].reached);
  }
  std::span<const Caller> callers(uint32_t id) const {
    return std::span(callers_).subspan(caller_sets_[id].begin, caller_sets_[id].count);
  }
  /// Of a place that is in a loop's body: the loop; nullptr for others.
  const Caller* loop_of(const Place& place) const;

  /// The callers as given, or the same ones as before.
  uint32_t intern_callers(std::vector<Caller> callers);
  /// The same set in this machine, of the same automaton.
  Places import(const Machine& other, Places places);

  size_t bytes() const;
  /// Steps that were computed, weighted by their size: a measure of time that does not depend on
  /// the machine.
  int64_t work() const { return work_; }

 private:
  static constexpr uint32_t kUnknown = UINT32_MAX;

  struct Set {
    uint32_t begin = 0;    // in places_
    uint32_t reached = 0;  // these first,
    uint32_t count = 0;    // then the beginnings of what they call
    bool may_end = false;
  };
  struct CallerSet {
    uint32_t begin = 0;
    uint32_t count = 0;
  };

  Places step(Places places, uint32_t symbol_class);
  void reach(Place place, std::vector<Place>& reached);
  void end_rule(uint32_t callers, std::vector<Place>& reached);
  Places intern(std::vector<Place> reached);
  void add_beginnings(std::vector<Place>& places);
  void collect_calls(const Place& place);

  const Automaton& automaton_;
  uint32_t classes_;
  Places start_ = kDead;
  int64_t work_ = 0;

  std::vector<Place> places_;
  std::vector<Set> sets_;
  std::vector<uint32_t> steps_;                                  // [sets, classes]
  std::unordered_map<uint64_t, std::vector<uint32_t>> set_ids_;  // by hash

  std::vector<Caller> callers_;
  std::vector<CallerSet> caller_sets_;
  std::vector<uint32_t> after_;                                     // [caller sets]
  std::unordered_map<uint64_t, std::vector<uint32_t>> caller_ids_;  // by hash

  struct Begun {
    uint32_t rank = 0;
    uint32_t rule = 0;
    Caller caller;
  };
  std::vector<Begun> begun_;  // a heap, while a set is made
};

}  // namespace millrace
