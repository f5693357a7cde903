#include "millrace/generate/grammar/token_masks.h"

#include <algorithm>
#include <bit>

#include "millrace/base/error.h"

namespace millrace {
namespace {

using Places = Machine::Places;

constexpr size_t kKeptMaskBytes = size_t{16} << 20;
constexpr int64_t kPreparedNodes = 8'000'000;  // of the tree; about 30 ms
constexpr int64_t kPreparedWork = 2'000'000;
constexpr int64_t kMaxWork = 20'000'000;  // for one mask: some hundred milliseconds

void set(TokenMask& mask, int32_t id) {
  mask[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
}

bool is_set(const TokenMask& mask, int32_t id) {
  return (mask[static_cast<size_t>(id) / 64] >> (id % 64) & 1) != 0;
}

/// What is near enough to matter within one token.
uint32_t within(uint32_t count, uint32_t reach) {
  return std::min(count, reach + 1);
}

}  // namespace

TokenMasks::TokenMasks(const Automaton& automaton, const TokenTrie& trie)
    : automaton_(automaton), trie_(trie), path_(trie.longest() + 1) {}

void TokenMasks::forget_places() {
  masks_.clear();
  mask_bytes_ = 0;
}

TokenMasks::Context TokenMasks::context_of(const Machine& machine, const Place& place) const {
  const Caller* loop = machine.loop_of(place);
  if (loop == nullptr) return {place.state, UINT32_MAX, 0, 0, 0};
  const Callee& callee = automaton_.callees[loop->callee];
  const uint32_t needed = callee.min > loop->count ? callee.min - loop->count : 0;
  const uint32_t left = callee.max == kUnbounded ? kUnbounded : callee.max - loop->count;
  return {place.state, loop->callee, loop->return_state, within(needed, trie_.longest()),
          within(left, trie_.longest())};
}

const TokenMasks::StateMask& TokenMasks::state_mask(Machine& machine, const Context& context,
                                                    const Place& place) {
  if (auto found = states_.find(context); found != states_.end()) return found->second;
  StateMask mask = compute(machine, place);
  state_bytes_ += 200 + mask.dense.size() * 8 + mask.sparse.size() * 4 + mask.exits.size() * 8;
  return states_.emplace(context, std::move(mask)).first->second;
}

/// Walks the tree from a place as if its rule, or the loop that it is in, were all there is.
TokenMasks::StateMask TokenMasks::compute(Machine& machine, const Place& place) {
  Place alone{place.state, Machine::kBottom};
  if (const Caller* loop = machine.loop_of(place); loop != nullptr) {
    Caller caller = *loop;
    caller.callers = Machine::kBottom;
    alone.callers = machine.intern_callers({caller});
  }
  struct Ended {
    uint32_t node = 0;
    uint32_t accepted = 0;  // tokens, before it
  };
  std::vector<Ended> ended;
  StateMask result;
  std::vector<int32_t> accepted;
  const std::vector<TokenTrie::Node>& nodes = trie_.nodes();
  const int64_t limit = machine.work() + kMaxWork;
  // Below a node where the rule may end: nothing to look up if all tokens there are allowed anyway.
  auto close = [&](uint32_t at) {
    while (!ended.empty() && nodes[ended.back().node].end <= at) {
      const uint32_t node = ended.back().node;
      const uint32_t inside = nodes[nodes[node].end].tokens_before - nodes[node + 1].tokens_before;
      if (accepted.size() - ended.back().accepted < inside) {
        for (uint32_t child = node + 1; child < nodes[node].end; child = nodes[child].end) {
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
    const Places places = machine.next(path_[node.depth - 1], automaton_.byte_class[node.byte]);
    if (places == Machine::kDead) {
      at = node.end;
      continue;
    }
    require(machine.work() <= limit,
            "the grammar is too ambiguous: finding the tokens that may "
            "come next takes too long");
    path_[node.depth] = places;
    if (node.token != kNoToken) accepted.push_back(node.token);
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
      if (goes_on) add_tokens(machine, after, state.exits[i].node, mask);
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
  const int64_t limit = machine.work() + kMaxWork;
  const std::vector<Place> reached(machine.places(places).begin(), machine.places(places).end());
  for (const Place& place : reached) {
    const Context context = context_of(machine, place);
    const uint32_t outside =
        context.loop == UINT32_MAX ? place.callers : machine.loop_of(place)->callers;
    const StateMask& state = state_mask(machine, context, place);
    for (size_t i = 0; i < state.dense.size(); ++i) (*mask)[i] |= state.dense[i];
    for (int32_t id : state.sparse) set(*mask, id);
    if (!state.exits.empty()) add_exits(machine, machine.after(outside), state, *mask);
    require(machine.work() <= limit,
            "the grammar is too ambiguous: finding the tokens that may "
            "come next takes too long");
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
  const int64_t last_work = machine.work() + kPreparedWork;
  visited_ = 0;
  for (uint32_t state = 1; state < automaton_.states(); ++state) {
    if (automaton_.leaf[state] != 0) continue;
    if (visited_ > kPreparedNodes || machine.work() > last_work) return;
    const Place place{state, Machine::kBottom};
    state_mask(machine, context_of(machine, place), place);
  }
}

}  // namespace millrace
