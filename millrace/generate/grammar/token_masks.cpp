#include "millrace/generate/grammar/token_masks.h"

#include <algorithm>
#include <bit>

#include "millrace/base/error.h"

namespace millrace {
namespace {

using Places = Machine::Places;

constexpr size_t kKeptMaskBytes = size_t{16} << 20;
constexpr int64_t kPreparedNodes = 8'000'000;  // of the tree; about 30 ms
constexpr uint32_t kShortReach = 3;            // most tokens are longer
constexpr int64_t kPreparedWork = 2'000'000;
// For one mask: some hundred milliseconds.
constexpr int64_t kMaxWork = 10'000'000;
constexpr int64_t kMaxVisited = 60'000'000;

void set(TokenMask& mask, int32_t id) {
  mask[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
}

bool is_set(const TokenMask& mask, int32_t id) {
  return (mask[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0;
}

}  // namespace

TokenMasks::TokenMasks(const Automaton& automaton, const TokenTrie& trie)
    : automaton_(automaton), trie_(trie), path_(trie.longest() + 1) {}

void TokenMasks::forget_places() {
  masks_.clear();
  mask_bytes_ = 0;
}

const TokenMasks::StateMask& TokenMasks::keep(const Context& context, StateMask mask) {
  state_bytes_ += 200 + mask.dense.size() * 8 + mask.sparse.size() * 4 + mask.exits.size() * 8;
  return states_.emplace(context, std::move(mask)).first->second;
}

/// In a loop's body, where no token reaches a bound of the loop, the mask is that of a loop
/// without bounds. Where some do, most tokens are shorter, and only the others are looked at.
const TokenMasks::StateMask& TokenMasks::state_mask(Machine& machine, const Place& place) {
  const Caller* inside = machine.loop_of(place);
  if (inside == nullptr) {
    const Context context{place.state};
    if (auto found = states_.find(context); found != states_.end()) return found->second;
    return keep(context, compute(machine, {place.state, Machine::kBottom}, 0));
  }
  Caller caller = *inside;
  const Callee& loop = automaton_.callees[caller.callee];
  const uint32_t needed = loop.min > caller.count ? loop.min - caller.count : 0;
  const uint32_t left = loop.max == kUnbounded ? kUnbounded : loop.max - caller.count;
  const uint32_t reach = std::min(needed > 0 ? needed : kUnbounded, left);
  if (reach > trie_.longest()) {
    const uint32_t far = loop.min == kUnbounded || loop == Callee{loop.rule, 0, kUnbounded}
                             ? caller.callee
                             : automaton_.far[caller.callee][needed > 0 ? 1 : 0];
    return loop_mask(machine, place.state, far, caller.return_state);
  }
  const Context context{place.state, caller.callee, caller.return_state,
                        std::min(needed, trie_.longest() + 1), std::min(left, trie_.longest() + 1)};
  if (auto found = states_.find(context); found != states_.end()) return found->second;
  caller.callers = Machine::kBottom;
  const Place alone{place.state, machine.intern_callers({caller})};
  if (reach < kShortReach) return keep(context, compute(machine, alone, 0));
  const StateMask& far = loop_mask(
      machine, place.state, automaton_.far[caller.callee][needed > 0 ? 1 : 0], caller.return_state);
  return keep(context, corrected(far, compute(machine, alone, reach), reach));
}

/// In a loop that has no end in sight.
const TokenMasks::StateMask& TokenMasks::loop_mask(Machine& machine, uint32_t state, uint32_t loop,
                                                   uint32_t return_state) {
  const Context context{state, loop, return_state, 0, 0};
  if (auto found = states_.find(context); found != states_.end()) return found->second;
  const Place alone{state, machine.intern_callers({{return_state, loop, 1, Machine::kBottom}})};
  return keep(context, compute(machine, alone, 0));
}

/// Walks the tree from a place as if its rule, or the loop that it is in, were all there is; of the
/// tokens only those that are longer than so many bytes.
TokenMasks::StateMask TokenMasks::compute(Machine& machine, Place alone, uint32_t longer_than) {
  struct Ended {
    uint32_t node = 0;
    uint32_t accepted = 0;  // tokens, before it
  };
  std::vector<Ended> ended;
  StateMask result;
  std::vector<int32_t> accepted;
  const std::vector<TokenTrie::Node>& nodes = trie_.nodes();
  // Below a node where the rule may end: nothing to look up if all tokens there are allowed anyway.
  auto close = [&](uint32_t at) {
    while (!ended.empty() && nodes[ended.back().node].end <= at) {
      const uint32_t node = ended.back().node;
      const uint32_t inside = nodes[nodes[node].end].tokens_before - nodes[node + 1].tokens_before;
      if (accepted.size() - ended.back().accepted < inside) {
        for (uint32_t child = node + 1; child < nodes[node].end; child = nodes[child].end) {
          if (nodes[child].deepest <= longer_than) continue;
          result.exits.push_back({automaton_.byte_class[nodes[child].byte], child});
        }
      }
      ended.pop_back();
    }
  };
  path_[0] = machine.from(alone);
  for (uint32_t at = 1; at + 1 < nodes.size();) {
    close(at);
    const TokenTrie::Node& node = nodes[at];
    ++visited_;
    if (node.deepest <= longer_than) {
      at = node.end;
      continue;
    }
    const Places places = machine.next(path_[node.depth - 1], automaton_.byte_class[node.byte]);
    if (places == Machine::kDead) {
      at = node.end;
      continue;
    }
    check_effort(machine);
    path_[node.depth] = places;
    if (node.token != kNoToken && node.depth > longer_than) accepted.push_back(node.token);
    if (machine.may_end(places) && node.end > at + 1) {
      ended.push_back({at, static_cast<uint32_t>(accepted.size())});
    }
    ++at;
  }
  close(static_cast<uint32_t>(nodes.size()));
  std::sort(result.exits.begin(), result.exits.end());
  if (accepted.size() < 2 * trie_.words()) {
    result.sparse = std::move(accepted);
  } else {
    result.dense.assign(trie_.words(), 0);
    for (int32_t id : accepted) set(result.dense, id);
  }
  return result;
}

/// `near`, which is of longer tokens only, with those that `far` has up to `reach` bytes.
TokenMasks::StateMask TokenMasks::corrected(const StateMask& far, StateMask near,
                                            uint32_t reach) const {
  StateMask result;
  result.dense = far.dense;
  result.dense.resize(trie_.words(), 0);
  for (int32_t id : far.sparse) set(result.dense, id);
  for (int32_t id : trie_.longer_than(reach)) {
    result.dense[static_cast<size_t>(id) / 64] &= ~(uint64_t{1} << (id % 64));
  }
  for (size_t i = 0; i < near.dense.size(); ++i) result.dense[i] |= near.dense[i];
  for (int32_t id : near.sparse) set(result.dense, id);
  result.exits = std::move(near.exits);
  // Where the rule ended after more bytes, `near` knows better.
  for (const Exit& exit : far.exits) {
    if (trie_.nodes()[exit.node].depth <= reach + 1) result.exits.push_back(exit);
  }
  std::sort(result.exits.begin(), result.exits.end());
  result.exits.erase(std::unique(result.exits.begin(), result.exits.end()), result.exits.end());
  return result;
}

void TokenMasks::check_effort(const Machine& machine) const {
  require(machine.work() <= last_work_ && visited_ <= last_visit_,
          "the grammar is too ambiguous: finding the tokens that may come next takes too long");
}

/// The tokens at `node` and below it; `from` is where the bytes before it lead.
void TokenMasks::add_tokens(Machine& machine, Places from, uint32_t node, TokenMask& mask) {
  const std::vector<TokenTrie::Node>& nodes = trie_.nodes();
  const uint32_t end = nodes[node].end;
  path_[nodes[node].depth - 1] = from;
  while (node < end) {
    const TokenTrie::Node& at = nodes[node];
    ++visited_;
    const Places places = machine.next(path_[at.depth - 1], automaton_.byte_class[at.byte]);
    if (places == Machine::kDead) {
      node = at.end;
      continue;
    }
    path_[at.depth] = places;
    if (at.token != kNoToken) set(mask, at.token);
    ++node;
  }
}

void TokenMasks::add_exits(Machine& machine, Places after, const StateMask& state,
                           TokenMask& mask) {
  for (size_t i = 0; i < state.exits.size();) {
    const uint32_t c = state.exits[i].symbol_class;
    const bool goes_on = machine.next(after, c) != Machine::kDead;
    for (; i < state.exits.size() && state.exits[i].symbol_class == c; ++i) {
      if (!goes_on) continue;
      add_tokens(machine, after, state.exits[i].node, mask);
      check_effort(machine);
    }
  }
}

/// Special tokens where the grammar has them, and end tokens where the text may end.
void TokenMasks::add_special(Machine& machine, Places places, TokenMask& mask) const {
  if (machine.may_end(places)) {
    for (int32_t id : trie_.end_ids()) set(mask, id);
  }
  const uint32_t special = automaton_.special_class();
  if (machine.next(places, special) != Machine::kDead) {
    for (int32_t id : trie_.special_ids()) {
      // A token that the grammar names has its own place.
      if (!std::binary_search(automaton_.tokens.begin(), automaton_.tokens.end(), id)) {
        set(mask, id);
      }
    }
  }
  for (uint32_t i = 0; i < automaton_.tokens.size(); ++i) {
    if (machine.next(places, special + 1 + i) != Machine::kDead) set(mask, automaton_.tokens[i]);
  }
}

std::shared_ptr<const TokenMask> TokenMasks::allowed(Machine& machine, Places places) {
  if (auto found = masks_.find(places); found != masks_.end()) return found->second;
  auto mask = std::make_shared<TokenMask>(trie_.words(), 0);
  last_work_ = machine.work() + kMaxWork;
  last_visit_ = visited_ + kMaxVisited;
  const std::vector<Place> reached(machine.places(places).begin(), machine.places(places).end());
  for (const Place& place : reached) {
    const Caller* loop = machine.loop_of(place);
    const uint32_t outside = loop == nullptr ? place.callers : loop->callers;
    const StateMask& state = state_mask(machine, place);
    for (size_t i = 0; i < state.dense.size(); ++i) (*mask)[i] |= state.dense[i];
    for (int32_t id : state.sparse) set(*mask, id);
    if (!state.exits.empty()) add_exits(machine, machine.after(outside), state, *mask);
    check_effort(machine);
  }
  for (const auto& [token, twin] : trie_.twins()) {
    if (is_set(*mask, token)) set(*mask, twin);
  }
  add_special(machine, places, *mask);
  require(std::any_of(mask->begin(), mask->end(), [](uint64_t word) { return word != 0; }),
          "the vocabulary has no token with which the text, as the grammar wants it, could go on");
  const size_t bytes = mask->size() * 8 + 100;
  if (mask_bytes_ + bytes > kKeptMaskBytes) forget_places();
  mask_bytes_ += bytes;
  masks_.emplace(places, mask);
  return mask;
}

void TokenMasks::prepare(Machine& machine) {
  const int64_t enough_work = machine.work() + kPreparedWork;
  last_work_ = enough_work + kMaxWork;
  last_visit_ = kMaxVisited;
  auto enough = [&] { return visited_ > kPreparedNodes || machine.work() > enough_work; };
  std::vector<uint8_t> is_body(automaton_.states() + 1, 0);
  for (uint32_t state = 1; state < automaton_.states() && !enough(); ++state) {
    for (const Call& call : automaton_.calls_of(state)) {
      const Callee& loop = automaton_.callees[call.callee];
      if (!loop.is_loop()) continue;
      const uint32_t begin = automaton_.start[loop.rule];
      const uint32_t end = loop.rule + 1 < automaton_.start.size() ? automaton_.start[loop.rule + 1]
                                                                   : automaton_.states();
      for (uint32_t inside = begin; inside < end && !enough(); ++inside) {
        is_body[inside] = 1;
        if (automaton_.leaf[inside] != 0) continue;
        const std::array<uint32_t, 2>& far = automaton_.far[call.callee];
        loop_mask(machine, inside, far[0], call.return_state);
        if (loop.min > 1) loop_mask(machine, inside, far[1], call.return_state);
      }
    }
  }
  for (uint32_t state = 1; state < automaton_.states() && !enough(); ++state) {
    if (automaton_.leaf[state] != 0 || is_body[state] != 0) continue;
    state_mask(machine, {state, Machine::kBottom});
  }
}

}  // namespace millrace
