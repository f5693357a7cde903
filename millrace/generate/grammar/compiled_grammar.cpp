#include "millrace/generate/grammar/compiled_grammar.h"

#include <algorithm>
#include <mutex>
#include <string_view>

#include "millrace/base/error.h"
#include "millrace/generate/grammar/automaton.h"
#include "millrace/generate/grammar/machine.h"
#include "millrace/generate/grammar/token_masks.h"

namespace millrace {
namespace {

constexpr size_t kMaxMachineBytes = size_t{48} << 20;
constexpr size_t kMaxMaskBytes = size_t{64} << 20;

}  // namespace

struct CompiledGrammar::State {
  State(const Grammar& grammar, std::shared_ptr<const TokenTrie> shared_trie)
      : trie(std::move(shared_trie)), automaton(build_automaton(grammar)) {
    for (int32_t id : automaton.tokens) {
      require(id >= 0 && id < trie->vocab_size(),
              "the grammar names token {}; the vocabulary has ids up to {}", id,
              trie->vocab_size() - 1);
    }
    renew();
    masks->prepare(*machine);
  }

  /// Starts anew where memory is full; sequences carry their places over when they next move.
  void renew() {
    machine = std::make_shared<Machine>(automaton);
    if (masks == nullptr || masks->bytes() > kMaxMaskBytes / 2) {
      masks = std::make_unique<TokenMasks>(automaton, *trie);
    }
    masks->forget_places();
  }

  void renew_if_full() {
    if (machine->bytes() > kMaxMachineBytes || masks->bytes() > kMaxMaskBytes) renew();
  }

  const std::shared_ptr<const TokenTrie> trie;
  const Automaton automaton;
  std::mutex mutex;  // of all that follows
  std::shared_ptr<Machine> machine;
  std::unique_ptr<TokenMasks> masks;
};

/// A place in one text.
class CompiledGrammar::Sequence : public Constraint {
 public:
  explicit Sequence(std::shared_ptr<const CompiledGrammar> grammar)
      : grammar_(std::move(grammar)), state_(*grammar_->state_) {
    std::lock_guard lock(state_.mutex);
    machine_ = state_.machine;
    places_ = machine_->start();
  }

  std::span<const uint64_t> allowed() override {
    if (mask_ == nullptr) {
      std::lock_guard lock(state_.mutex);
      follow();
      mask_ = ended_ ? only_ends() : state_.masks->allowed(*machine_, places_);
    }
    return *mask_;
  }

  void accept(int32_t id) override {
    std::lock_guard lock(state_.mutex);
    state_.renew_if_full();
    follow();
    const Machine::Places next = ended_ ? Machine::kDead : after(id);
    const bool ends = state_.trie->is_end(id) && (ended_ || machine_->may_end(places_));
    require(ends || next != Machine::kDead, "token {} is not allowed here by the grammar", id);
    ended_ = ends;
    if (!ends) places_ = next;
    mask_ = nullptr;
  }

  std::unique_ptr<Constraint> clone() const override { return std::make_unique<Sequence>(*this); }

 private:
  Machine::Places after(int32_t id) {
    const Automaton& automaton = state_.automaton;
    auto named = std::lower_bound(automaton.tokens.begin(), automaton.tokens.end(), id);
    if (named != automaton.tokens.end() && *named == id) {
      const auto index = static_cast<uint32_t>(named - automaton.tokens.begin());
      const auto next = machine_->next(places_, automaton.special_class() + 1 + index);
      if (next != Machine::kDead) return next;
    } else if (state_.trie->is_special(id)) {
      return machine_->next(places_, automaton.special_class());
    }
    const std::string_view bytes = state_.trie->bytes(id);
    return bytes.empty() ? Machine::kDead : machine_->next(places_, bytes);
  }

  /// Goes on with the grammar's machine if that is a new one.
  void follow() {
    if (machine_ == state_.machine) return;
    places_ = state_.machine->import(*machine_, places_);
    machine_ = state_.machine;
  }

  std::shared_ptr<const TokenMask> only_ends() const {
    auto mask = std::make_shared<TokenMask>(state_.trie->words(), 0);
    for (int32_t id : state_.trie->end_ids()) {
      (*mask)[static_cast<size_t>(id) / 64] |= uint64_t{1} << (id % 64);
    }
    return mask;
  }

  std::shared_ptr<const CompiledGrammar> grammar_;
  State& state_;
  std::shared_ptr<Machine> machine_;
  Machine::Places places_ = Machine::kDead;
  bool ended_ = false;
  std::shared_ptr<const TokenMask> mask_;
};

CompiledGrammar::CompiledGrammar(const Grammar& grammar, std::shared_ptr<const TokenTrie> trie)
    : state_(std::make_unique<State>(grammar, std::move(trie))) {}

CompiledGrammar::~CompiledGrammar() = default;

std::shared_ptr<const CompiledGrammar> CompiledGrammar::compile(
    const Grammar& grammar, std::shared_ptr<const TokenTrie> trie) {
  return std::shared_ptr<const CompiledGrammar>(new CompiledGrammar(grammar, std::move(trie)));
}

std::unique_ptr<Constraint> CompiledGrammar::start() const {
  return std::make_unique<Sequence>(shared_from_this());
}

bool CompiledGrammar::matches(std::string_view text) const {
  std::lock_guard lock(state_->mutex);
  state_->renew_if_full();
  return state_->machine->may_end(state_->machine->next(state_->machine->start(), text));
}

bool CompiledGrammar::may_begin(std::string_view text) const {
  std::lock_guard lock(state_->mutex);
  state_->renew_if_full();
  return state_->machine->next(state_->machine->start(), text) != Machine::kDead;
}

size_t CompiledGrammar::bytes() const {
  std::lock_guard lock(state_->mutex);
  return state_->machine->bytes() + state_->masks->bytes() +
         state_->automaton.transitions.size() * sizeof(uint32_t);
}

}  // namespace millrace
