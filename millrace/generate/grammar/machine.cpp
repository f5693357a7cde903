#include "millrace/generate/grammar/machine.h"

#include <algorithm>
#include <map>

#include "millrace/base/error.h"
#include "millrace/base/indexed_map.h"

namespace millrace {
namespace {

constexpr size_t kMaxPlaces = 1'000;
constexpr size_t kMaxBytes = size_t{256} << 20;

template <typename T>
uint64_t hash_of(const std::vector<T>& values) {
  return seeded_hash({reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)});
}

/// How often a loop's body has begun, as far as it matters.
uint32_t counted(const Callee& callee, uint32_t count) {
  if (callee.min == kUnbounded) return 1;
  return callee.max == kUnbounded ? std::min(count, std::max(callee.min, 1u)) : count;
}

constexpr auto ranks_later = [](const auto& a, const auto& b) { return a.rank > b.rank; };

[[noreturn]] void fail_ambiguous() {
  fail("the grammar is too ambiguous: there are more than {} ways to read the text so far",
       kMaxPlaces);
}

}  // namespace

Machine::Machine(const Automaton& automaton)
    : automaton_(automaton), classes_(automaton.classes()) {
  intern({});
  intern_callers({{Automaton::kAccept, 0, 0, kBottom}});
  std::vector<Place> reached;
  reach({automaton.start[0], kBottom}, reached);
  start_ = intern(std::move(reached));
}

Machine::Places Machine::next(Places places, std::string_view bytes) {
  for (char c : bytes) {
    if (places == kDead) break;
    places = next(places, automaton_.byte_class[static_cast<uint8_t>(c)]);
  }
  return places;
}

Machine::Places Machine::after(uint32_t callers) {
  if (after_[callers] == kUnknown) {
    std::vector<Place> reached;
    end_rule(callers, reached);
    after_[callers] = intern(std::move(reached));
  }
  return after_[callers];
}

const Caller* Machine::loop_of(const Place& place) const {
  if (caller_sets_[place.callers].count != 1) return nullptr;
  const Caller& caller = callers_[caller_sets_[place.callers].begin];
  return caller.count > 0 ? &caller : nullptr;
}

Machine::Places Machine::step(Places from, uint32_t symbol_class) {
  std::vector<Place> reached;
  const Set set = sets_[from];
  for (uint32_t i = set.begin; i < set.begin + set.count; ++i) {
    const Place place = places_[i];
    const uint32_t to = automaton_.next(place.state, symbol_class);
    if (to != Automaton::kNoState) reach({to, place.callers}, reached);
  }
  work_ += set.count;
  const Places to = intern(std::move(reached));
  steps_[static_cast<size_t>(from) * classes_ + symbol_class] = to;
  return to;
}

/// Adds a place, and where its callers go on if its rule may end there.
void Machine::reach(Place place, std::vector<Place>& reached) {
  if (std::find(reached.begin(), reached.end(), place) != reached.end()) return;
  if (reached.size() >= kMaxPlaces) fail_ambiguous();
  work_ += 1 + static_cast<int64_t>(reached.size()) / 8;
  reached.push_back(place);
  if (automaton_.final[place.state] != 0) end_rule(place.callers, reached);
}

void Machine::end_rule(uint32_t callers, std::vector<Place>& reached) {
  for (uint32_t i = 0; i < caller_sets_[callers].count; ++i) {
    const Caller caller = callers_[caller_sets_[callers].begin + i];
    if (caller.count == 0) {
      reach({caller.return_state, caller.callers}, reached);
      continue;
    }
    const Callee& callee = automaton_.callees[caller.callee];
    if (caller.count >= callee.min) reach({caller.return_state, caller.callers}, reached);
    if (caller.count >= callee.max) continue;
    Caller again = caller;
    again.count = counted(callee, caller.count + 1);
    // It has just begun, so that it does not end here even if its rule may be empty.
    const Place body{automaton_.start[callee.rule], intern_callers({again})};
    if (std::find(reached.begin(), reached.end(), body) == reached.end()) reached.push_back(body);
  }
}

Machine::Places Machine::intern(std::vector<Place> reached) {
  // A place at a rule's end where nothing follows has done its work: its callers are there.
  std::erase_if(reached, [&](const Place& p) { return automaton_.leaf[p.state] != 0; });
  std::sort(reached.begin(), reached.end());
  std::vector<uint32_t>& same_hash = set_ids_[hash_of(reached)];
  for (uint32_t id : same_hash) {
    std::span<const Place> known = places(id);
    if (std::equal(known.begin(), known.end(), reached.begin(), reached.end())) return id;
  }
  require(bytes() < kMaxBytes,
          "the grammar is too ambiguous: reading the text so far takes more "
          "than {} MB",
          kMaxBytes >> 20);
  Set set;
  set.begin = static_cast<uint32_t>(places_.size());
  set.reached = static_cast<uint32_t>(reached.size());
  set.may_end = !reached.empty() && reached.front().state == Automaton::kAccept;
  add_beginnings(reached);
  set.count = static_cast<uint32_t>(reached.size());
  work_ += 4 + set.count;
  places_.insert(places_.end(), reached.begin(), reached.end());
  const auto id = static_cast<Places>(sets_.size());
  sets_.push_back(set);
  steps_.resize(steps_.size() + classes_, reached.empty() ? kDead : kUnknown);
  same_hash.push_back(id);
  return id;
}

/// The beginnings of all rules that are called: each rule once, with all who call it here. Rules
/// come in the order of their ranks, so that all callers of one are known when its turn comes.
void Machine::add_beginnings(std::vector<Place>& places) {
  begun_.clear();
  for (const Place& place : places) collect_calls(place);
  std::vector<Caller> callers;
  while (!begun_.empty()) {
    const Begun first = begun_.front();
    callers.clear();
    while (!begun_.empty() && begun_.front().rank == first.rank) {
      callers.push_back(begun_.front().caller);
      std::pop_heap(begun_.begin(), begun_.end(), ranks_later);
      begun_.pop_back();
    }
    places.push_back({automaton_.start[first.rule], intern_callers(std::move(callers))});
    if (places.size() > kMaxPlaces) fail_ambiguous();
    collect_calls(places.back());
  }
}

void Machine::collect_calls(const Place& place) {
  auto begin = [&](uint32_t rule, const Caller& caller) {
    if (begun_.size() > kMaxPlaces) fail_ambiguous();
    begun_.push_back({automaton_.rank[rule], rule, caller});
    std::push_heap(begun_.begin(), begun_.end(), ranks_later);
  };
  for (const Call& call : automaton_.calls_of(place.state)) {
    const Callee& callee = automaton_.callees[call.callee];
    if (callee.is_loop()) {
      begin(callee.rule, {call.return_state, call.callee, 1, place.callers});
    } else if (automaton_.leaf[call.return_state] == 0) {
      begin(callee.rule, {call.return_state, 0, 0, place.callers});
    } else {
      // The last thing in its rule: whoever waits for the rule waits for this (a tail call), so
      // that recursion at the end takes no more memory than a loop.
      const std::vector<Caller> waiting(callers(place.callers).begin(),
                                        callers(place.callers).end());
      for (const Caller& caller : waiting) begin(callee.rule, caller);
    }
  }
}

uint32_t Machine::intern_callers(std::vector<Caller> callers) {
  std::sort(callers.begin(), callers.end());
  callers.erase(std::unique(callers.begin(), callers.end()), callers.end());
  std::vector<uint32_t>& same_hash = caller_ids_[hash_of(callers)];
  for (uint32_t id : same_hash) {
    std::span<const Caller> known = this->callers(id);
    if (std::equal(known.begin(), known.end(), callers.begin(), callers.end())) return id;
  }
  const auto id = static_cast<uint32_t>(caller_sets_.size());
  caller_sets_.push_back(
      {static_cast<uint32_t>(callers_.size()), static_cast<uint32_t>(callers.size())});
  callers_.insert(callers_.end(), callers.begin(), callers.end());
  after_.push_back(kUnknown);
  same_hash.push_back(id);
  return id;
}

Machine::Places Machine::import(const Machine& other, Places places) {
  // Callers are made after those that they name, so that ascending ids are a fitting order.
  std::map<uint32_t, uint32_t> ours = {{kBottom, kBottom}};
  std::vector<uint32_t> wanted;
  auto want = [&](uint32_t id) {
    if (ours.emplace(id, 0).second) wanted.push_back(id);
  };
  for (const Place& place : other.places(places)) want(place.callers);
  while (!wanted.empty()) {
    const uint32_t id = wanted.back();
    wanted.pop_back();
    for (const Caller& caller : other.callers(id)) want(caller.callers);
  }
  for (auto& [theirs, id] : ours) {
    if (theirs == kBottom) continue;
    std::vector<Caller> callers(other.callers(theirs).begin(), other.callers(theirs).end());
    for (Caller& caller : callers) caller.callers = ours.at(caller.callers);
    id = intern_callers(std::move(callers));
  }
  std::vector<Place> reached(other.places(places).begin(), other.places(places).end());
  for (Place& place : reached) place.callers = ours.at(place.callers);
  return intern(std::move(reached));
}

size_t Machine::bytes() const {
  constexpr size_t kIndexEntry = 100;  // about what the maps take for each set
  return places_.size() * sizeof(Place) + steps_.size() * sizeof(uint32_t) +
         sets_.size() * (sizeof(Set) + kIndexEntry) + callers_.size() * sizeof(Caller) +
         caller_sets_.size() * (sizeof(CallerSet) + kIndexEntry);
}

}  // namespace millrace
