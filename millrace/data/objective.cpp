#include "millrace/data/objective.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "millrace/base/error.h"

namespace millrace {
namespace {

constexpr std::array<const char*, 3> kMaskNames = {"[MASK]", "<mask>", "<|mask|>"};

Example causal(std::span<const int32_t> tokens) {
  return {{tokens.begin(), tokens.end() - 1}, {tokens.begin() + 1, tokens.end()}};
}

bool begins_character(char c) {
  return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;
}

/// A place between two characters, both ends among them.
size_t random_place(const std::string& text, Random& random) {
  size_t place = random.below(text.size() + 1);
  while (place < text.size() && !begins_character(text[place])) ++place;
  return place;
}

bool is_letter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0;
}

}  // namespace

std::vector<std::string> objective_tokens(ObjectiveKind kind) {
  if (kind == ObjectiveKind::masked) return {kMaskNames.back()};
  if (kind == ObjectiveKind::causal) return {};
  return {kInfillNames.begin(), kInfillNames.end()};
}

Objective::Objective(const ObjectiveOptions& options, const Tokenizer& tokenizer)
    : options_(options), tokenizer_(tokenizer) {
  if (options.kind == ObjectiveKind::fill_in_the_middle) {
    const auto tokens = infill_tokens(tokenizer);
    require(tokens.has_value(),
            "data.objective: filling in the middle needs a tokenizer with tokens for it, as {}",
            fmt::join(kInfillNames, ", "));
    infill_ = *tokens;
  }
  if (options.kind == ObjectiveKind::masked) {
    for (const char* name : kMaskNames) mask_ = std::max(mask_, tokenizer.token_id(name));
    require(mask_ >= 0, "data.objective: masking needs a tokenizer with a token for it: {}",
            fmt::join(kMaskNames, " or "));
  }
}

int64_t Objective::extra_inputs() const {
  switch (options_.kind) {
    case ObjectiveKind::causal:
      return 0;
    case ObjectiveKind::fill_in_the_middle:
      return 3;
    case ObjectiveKind::masked:
      return 1;
  }
  return 0;
}

Example Objective::example(std::span<const int32_t> tokens, Random& random) const {
  switch (options_.kind) {
    case ObjectiveKind::causal:
      return causal(tokens);
    case ObjectiveKind::fill_in_the_middle:
      return infilling(tokens, random);
    case ObjectiveKind::masked:
      return masked(tokens, random);
  }
  fail("there is no such objective");
}

Example Objective::infilling(std::span<const int32_t> tokens, Random& random) const {
  if (random.uniform() >= options_.fim_rate) return causal(tokens);
  // What begins and ends a text stays there.
  std::span<const int32_t> body = tokens;
  std::vector<int32_t> moved;
  if (body.front() == tokenizer_.bos()) {
    moved.push_back(body.front());
    body = body.subspan(1);
  }
  const bool ended = !body.empty() && body.back() == tokenizer_.eos();
  if (ended) body = body.first(body.size() - 1);

  // Texts are cut between characters, not tokens: so is the place where somebody writes.
  const std::string text = tokenizer_.decode(body);
  size_t begin = random_place(text, random), end = random_place(text, random);
  if (begin > end) std::swap(begin, end);
  const auto encode = [&](size_t from, size_t to) {
    return tokenizer_.encode(std::string_view(text).substr(from, to - from),
                             {.add_special = false, .parse_special = false});
  };
  const std::vector<int32_t> prefix = encode(0, begin), middle = encode(begin, end);
  std::vector<int32_t> suffix = encode(end, text.size());
  // Parts may have more tokens than the whole.
  const size_t limit = tokens.size() + 3, fixed = moved.size() + (ended ? 1 : 0) + 3;
  const size_t rest = prefix.size() + middle.size() + fixed;
  if (rest > limit) return causal(tokens);
  suffix.resize(std::min(suffix.size(), limit - rest));

  const auto append = [&](const std::vector<int32_t>& part) {
    moved.insert(moved.end(), part.begin(), part.end());
  };
  // Half of them with the suffix first, so that the prefix and the middle are one text.
  const bool suffix_first = random.below(2) == 1;
  moved.push_back(infill_.prefix);
  if (!suffix_first) append(prefix);
  moved.push_back(infill_.suffix);
  append(suffix);
  moved.push_back(infill_.middle);
  if (suffix_first) append(prefix);
  append(middle);
  if (ended) moved.push_back(tokenizer_.eos());
  return causal(moved);
}

bool Objective::continues_word(int32_t before, int32_t id) const {
  const std::string_view text = tokenizer_.token_bytes(id), last = tokenizer_.token_bytes(before);
  return !text.empty() && !last.empty() && is_letter(text.front()) && is_letter(last.back());
}

Example Objective::masked(std::span<const int32_t> tokens, Random& random) const {
  Example example{{tokens.begin(), tokens.end()}, std::vector<int32_t>(tokens.size(), -1)};
  std::vector<size_t> words;  // where each begins
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokenizer_.is_special(tokens[i])) continue;
    const bool goes_on = options_.whole_words && i > 0 && !words.empty() &&
                         !tokenizer_.is_special(tokens[i - 1]) &&
                         continues_word(tokens[i - 1], tokens[i]);
    if (!goes_on) words.push_back(i);
  }
  if (words.empty()) return example;
  const auto hide = [&](size_t word) {
    size_t i = words[word];
    const size_t end = word + 1 < words.size() ? words[word + 1] : tokens.size();
    for (; i < end && !tokenizer_.is_special(tokens[i]); ++i) {
      example.targets[i] = tokens[i];
      const uint64_t fate = random.below(10);  // of ten, eight are hidden and one is another token
      if (fate < 8) example.inputs[i] = mask_;
      if (fate == 8) {
        example.inputs[i] =
            static_cast<int32_t>(random.below(static_cast<uint64_t>(tokenizer_.vocab_size())));
      }
    }
  };
  bool any = false;
  for (size_t word = 0; word < words.size(); ++word) {
    if (random.uniform() >= options_.mask_rate) continue;
    hide(word);
    any = true;
  }
  if (!any) hide(random.below(words.size()));
  return example;
}

}  // namespace millrace
