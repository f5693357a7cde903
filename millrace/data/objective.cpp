#include "millrace/data/objective.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>

#include "millrace/base/error.h"

namespace millrace {
namespace {

constexpr size_t kSentinels = 100;  // of a tokenizer made for span corruption, as T5's has

std::string sentinel_name(size_t i) {
  return fmt::format("<extra_id_{}>", i);
}

/// mT5's sentinels are written behind a space.
std::vector<int32_t> sentinels_of(const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (const char* space : {"", "\u2581"}) {
    int32_t id = -1;
    while ((id = tokenizer.token_id(space + sentinel_name(ids.size()))) >= 0) ids.push_back(id);
    if (!ids.empty()) break;
  }
  require(!ids.empty(),
          "data.objective: span corruption needs a tokenizer with sentinels: {} and on",
          sentinel_name(0));
  return ids;
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
  std::vector<std::string> names;
  switch (kind) {
    case ObjectiveKind::causal:
    case ObjectiveKind::prefix:
      break;
    case ObjectiveKind::fill_in_the_middle:
      names.assign(kInfillNames.begin(), kInfillNames.end());
      break;
    case ObjectiveKind::span_corruption:
      for (size_t i = 0; i < kSentinels; ++i) names.push_back(sentinel_name(i));
      break;
    case ObjectiveKind::blank_infilling:
      names.assign(kBlankNames.begin(), kBlankNames.end());
      break;
    case ObjectiveKind::masked:
      names = {kMaskNames.back()};
      break;
  }
  return names;
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
  if (options.kind == ObjectiveKind::span_corruption) {
    corruption_ = {sentinels_of(tokenizer), tokenizer.eos(), options.decoder_start};
  }
  if (options.kind == ObjectiveKind::blank_infilling) {
    const auto tokens = blank_tokens(tokenizer);
    require(tokens.has_value(),
            "data.objective: blank infilling needs a tokenizer with tokens for it, as {}",
            fmt::join(kBlankNames, ", "));
    blanks_ = *tokens;
  }
  if (options.kind == ObjectiveKind::masked) {
    mask_ = mask_token(tokenizer);
    require(mask_ >= 0, "data.objective: masking needs a tokenizer with a token for it: {}",
            fmt::join(kMaskNames, " or "));
  }
}

int64_t Objective::most_inputs(int64_t tokens) const {
  const auto length = static_cast<size_t>(tokens);
  switch (options_.kind) {
    case ObjectiveKind::causal:
      return tokens - 1;
    case ObjectiveKind::fill_in_the_middle:
      return tokens + 2;
    case ObjectiveKind::prefix:
      return options_.decoder_start < 0 ? tokens - 1 : tokens;
    case ObjectiveKind::span_corruption:
      // Each span has two sentinels; the ends of both texts, of which one is not shown; a start.
      return tokens + 2 +
             2 * static_cast<int64_t>(
                     count_noise_spans(length, options_.mask_rate, options_.span_length));
    case ObjectiveKind::blank_infilling:
      // Each span, of one token at least, has a mask and a start.
      return tokens + 2 * static_cast<int64_t>(count_blank_tokens(length, options_.mask_rate));
    case ObjectiveKind::masked:
      return tokens;
  }
  fail("there is no such objective");
}

Example Objective::example(std::span<const int32_t> tokens, Random& random) const {
  switch (options_.kind) {
    case ObjectiveKind::causal:
      return causal_example(tokens);
    case ObjectiveKind::fill_in_the_middle:
      return infilling(tokens, random);
    case ObjectiveKind::prefix:
      return prefixed(tokens, random);
    case ObjectiveKind::span_corruption:
      return corrupted(tokens, random);
    case ObjectiveKind::blank_infilling:
      return blanked(tokens, random);
    case ObjectiveKind::masked:
      return masked(tokens, random);
  }
  fail("there is no such objective");
}

Example Objective::infilling(std::span<const int32_t> tokens, Random& random) const {
  if (random.uniform() >= options_.fim_rate) return causal_example(tokens);
  const FramedText framed = framed_text(tokens, tokenizer_);
  std::vector<int32_t> moved(framed.begin.begin(), framed.begin.end());

  // Texts are cut between characters, not tokens: so is the place where somebody writes.
  const std::string text = tokenizer_.decode(framed.body);
  size_t begin = random_place(text, random), end = random_place(text, random);
  if (begin > end) std::swap(begin, end);
  const auto encode = [&](size_t from, size_t to) {
    return tokenizer_.encode(std::string_view(text).substr(from, to - from),
                             {.add_special = false, .parse_special = false});
  };
  const std::vector<int32_t> prefix = encode(0, begin), middle = encode(begin, end);
  std::vector<int32_t> suffix = encode(end, text.size());
  // Parts may have more tokens than the whole.
  const size_t limit = tokens.size() + 3, fixed = moved.size() + framed.end.size() + 3;
  const size_t rest = prefix.size() + middle.size() + fixed;
  if (rest > limit) return causal_example(tokens);
  suffix.resize(std::min(suffix.size(), limit - rest));

  const auto append = [&](std::span<const int32_t> part) {
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
  append(framed.end);
  return causal_example(moved);
}

Example Objective::prefixed(std::span<const int32_t> tokens, Random& random) const {
  const size_t cut = 1 + random.below(tokens.size() - 1);
  return source_and_target(tokens.first(cut), tokens.subspan(cut), options_.decoder_start);
}

Example Objective::corrupted(std::span<const int32_t> tokens, Random& random) const {
  const FramedText framed = framed_text(tokens, tokenizer_);
  std::vector<TokenSpan> spans =
      noise_spans(framed.body.size(), options_.mask_rate, options_.span_length, random);
  spans.resize(std::min(spans.size(), corruption_.sentinels.size()));
  return corrupted_spans(framed, spans, corruption_);
}

Example Objective::blanked(std::span<const int32_t> tokens, Random& random) const {
  const FramedText framed = framed_text(tokens, tokenizer_);
  const size_t length = framed.body.size();
  const double task = random.uniform();
  int32_t mask = blanks_.mask;
  std::vector<TokenSpan> spans;
  if (task < options_.document_rate && length > 0) {
    mask = blanks_.document_mask;
    spans = {blank_document(length, random)};
  } else if (task < options_.document_rate + options_.sentence_rate) {
    mask = blanks_.sentence_mask;
    spans = blank_sentences(framed.body, tokenizer_, options_.mask_rate, random);
  } else {
    spans = blank_spans(length, options_.mask_rate, options_.span_length, random);
  }
  return filled_blanks(framed, spans, mask, blanks_, random);
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
