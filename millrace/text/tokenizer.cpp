#include "millrace/text/tokenizer.h"

#include <utf8proc.h>

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <utility>
#include <variant>

#include "millrace/base/error.h"
#include "millrace/text/added_token_finder.h"
#include "millrace/text/bpe.h"
#include "millrace/text/sentencepiece_tokenizer.h"
#include "millrace/text/unigram.h"
#include "millrace/text/utf8.h"
#include "millrace/text/whitespace.h"
#include "millrace/text/wordpiece.h"

namespace millrace {
namespace {

// What models call the tokens after which nothing of a turn follows; configurations often name
// only one of several.
constexpr std::string_view kEndNames[] = {"<|endoftext|>",
                                          "<|im_end|>",
                                          "<|eot_id|>",
                                          "<|eom_id|>",
                                          "<|end_of_text|>",
                                          "<|end|>",
                                          "<|endofpiece|>",
                                          "<eop>",
                                          "<|return|>",
                                          "<|call|>",
                                          "</s>",
                                          "<eos>",
                                          "[EOS]",
                                          "<end_of_turn>",
                                          "<EOT>",
                                          "[EOT]",
                                          "<end_of_utterance>",
                                          "<|fim_pad|>",
                                          "<|file_sep|>",
                                          "<|repo_name|>",
                                          "<｜end▁of▁sentence｜>"};

/// Letters, marks, decimal digits and connectors: what regular expressions call \w.
bool is_word_character(char32_t c) {
  utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NL) ||
         category == UTF8PROC_CATEGORY_PC;
}

bool begins_with_word(std::string_view text) {
  std::string_view c = first_character(text);
  return !c.empty() && is_word_character(decode_utf8(c));
}

bool ends_with_word(std::string_view text) {
  std::string_view c = last_character(text);
  return !c.empty() && is_word_character(decode_utf8(c));
}

bool steers(const AddedToken& token) {
  return token.special || looks_like_control(token.content);
}

void check_id(int32_t id, const TokenizerDefinition& definition, const char* what,
              std::string_view source) {
  require(id >= 0 && static_cast<size_t>(id) < definition.tokens.size(),
          "{}: {} token has the id {}, outside the vocabulary of {}", source, what, id,
          definition.tokens.size());
}

void check_optional_id(int32_t id, const TokenizerDefinition& definition, const char* what,
                       std::string_view source) {
  if (id != kNoToken) check_id(id, definition, what, source);
}

/// Checks all ids, and gives the added tokens their bytes and types.
TokenizerDefinition checked(TokenizerDefinition definition, std::string_view source) {
  for (const AddedToken& added : definition.added_tokens) {
    check_id(added.id, definition, "an added", source);
    require(!added.content.empty() && added.content.size() <= AddedTokenFinder::kMaxContent,
            "{}: added token {} has a content of {} bytes; 1 to {} are allowed", source, added.id,
            added.content.size(), AddedTokenFinder::kMaxContent);
    Token& token = definition.tokens[static_cast<size_t>(added.id)];
    // No text of users becomes a token that steers by being a piece.
    if (definition.kind != ModelKind::kByteLevelBpe && steers(added)) token.in_model = false;
    if (!token.in_model) token.bytes = added.content;
    if (token.type != TokenType::kUnknown) {
      token.type = added.special ? TokenType::kControl : TokenType::kUserDefined;
    }
  }
  for (int32_t id : definition.prefix) check_id(id, definition, "a beginning", source);
  for (int32_t id : definition.suffix) check_id(id, definition, "an ending", source);
  for (int32_t id : definition.other_ends) check_id(id, definition, "an end", source);
  check_optional_id(definition.bos, definition, "the bos", source);
  check_optional_id(definition.eos, definition, "the eos", source);
  check_optional_id(definition.eot, definition, "the eot", source);
  check_optional_id(definition.unk, definition, "the unk", source);
  check_optional_id(definition.pad, definition, "the pad", source);
  check_optional_id(definition.unknown, definition, "the unknown", source);
  for (int32_t id : definition.kept) {
    check_id(id, definition, "a user-defined", source);
    require(!definition.tokens[static_cast<size_t>(id)].bytes.empty(),
            "{}: user-defined token {} is empty", source, id);
  }
  return definition;
}

/// The parts of sorted ranges that lie in `part`, counted from where it begins.
std::vector<TextRange> clip(const std::vector<TextRange>& ranges, TextRange part) {
  std::vector<TextRange> result;
  for (const TextRange& range : ranges) {
    size_t begin = std::max(range.begin, part.begin);
    size_t end = std::min(range.end, part.end);
    if (begin < end) result.push_back({begin - part.begin, end - part.begin});
  }
  return result;
}

bool overlaps(const std::vector<TextRange>& ranges, TextRange part) {
  auto after = std::partition_point(ranges.begin(), ranges.end(), [&](const TextRange& range) {
    return range.end <= part.begin;
  });
  return after != ranges.end() && after->begin < part.end;
}

/// Finds tokens in words.
using Model = std::variant<Bpe, Unigram, WordPiece>;

Model make_model(const TokenizerDefinition& definition, std::string_view source) {
  switch (definition.kind) {
    case ModelKind::kUnigram:
      return Unigram(definition, source);
    case ModelKind::kWordPiece:
      return WordPiece(definition, source);
    default:
      return Bpe(definition, source);
  }
}

}  // namespace

struct Tokenizer::State {
  TokenizerDefinition definition;
  Model model;
  // What tokens write behind others and, where that differs, at the beginning of a text; empty
  // where that is their bytes.
  std::vector<std::string> texts, first_texts;
  std::vector<std::string> normalized_contents;  // by position in definition.added_tokens
  AddedTokenFinder raw_finder, normalized_finder;
  std::unordered_map<std::string_view, int32_t> added_by_content;
  std::vector<int32_t> end_ids;

  State(TokenizerDefinition given, std::string_view source)
      : definition(checked(std::move(given), source)), model(make_model(definition, source)) {
    write_tokens();
    find_added_tokens(source);
    find_ends();
  }

  void write_tokens() {
    const Decoder& decoder = definition.decoder;
    if (decoder.steps.empty()) return;
    for (const Token& token : definition.tokens)
      texts.push_back(decoder.text_of(token.bytes, false));
    if (!decoder.differs_at_begin()) return;
    for (const Token& token : definition.tokens) {
      first_texts.push_back(decoder.text_of(token.bytes, true));
    }
  }

  void find_added_tokens(std::string_view source) {
    const std::vector<AddedToken>& added = definition.added_tokens;
    std::vector<AddedTokenFinder::Entry> raw, normalized;
    normalized_contents.resize(added.size());
    for (size_t i = 0; i < added.size(); ++i) {
      int32_t first_id = added_by_content.emplace(added[i].content, added[i].id).first->second;
      if (first_id != added[i].id) {
        fail("{}: added token {} has two ids, {} and {}", source, quote(added[i].content), first_id,
             added[i].id);
      }
      if (added[i].normalized) {
        normalized_contents[i] = normalize(definition.normalizer, added[i].content);
        if (!normalized_contents[i].empty()) normalized.emplace_back(normalized_contents[i], i);
      } else {
        raw.emplace_back(added[i].content, i);
      }
    }
    raw_finder = AddedTokenFinder(std::move(raw));
    normalized_finder = AddedTokenFinder(std::move(normalized));
  }

  void find_ends() {
    for (std::string_view name : kEndNames) {
      auto found = added_by_content.find(name);
      if (found != added_by_content.end()) end_ids.push_back(found->second);
    }
    end_ids.insert(end_ids.end(), definition.other_ends.begin(), definition.other_ends.end());
    for (int32_t id : {definition.eos, definition.eot}) {
      if (id != kNoToken) end_ids.push_back(id);
    }
    std::sort(end_ids.begin(), end_ids.end());
    end_ids.erase(std::unique(end_ids.begin(), end_ids.end()), end_ids.end());
  }

  // Encoding: added tokens are cut out of the text, then what is between is normalised and those
  // that are looked for in normalised text are cut out, and the rest is split into words.
  // `plain` are the ranges in which no token that steers may be found.

  void encode_text(std::string_view text, const std::vector<TextRange>& plain,
                   std::vector<int32_t>& ids) const {
    cut(raw_finder, text, plain, ids, [&](TextRange part) {
      std::string_view rest = text.substr(part.begin, part.end - part.begin);
      bool is_first = part.begin == 0;
      if (definition.normalizer.empty()) {
        encode_normalized(rest, clip(plain, part), is_first, ids);
      } else if (normalized_finder.empty()) {
        encode_words(normalize(definition.normalizer, rest), is_first, ids);
      } else {
        std::vector<TextRange> rest_plain = clip(plain, part);
        std::string normal = normalize_parts(rest, rest_plain);
        encode_normalized(normal, rest_plain, is_first, ids);
      }
    });
  }

  /// Normalises text part by part, so that the plain ranges, which are moved, stay what they are.
  std::string normalize_parts(std::string_view text, std::vector<TextRange>& plain) const {
    std::string result;
    size_t at = 0;
    auto append_until = [&](size_t end) {
      TextEnds ends{at == 0, end == text.size()};
      if (at < end) result += normalize(definition.normalizer, text.substr(at, end - at), ends);
      at = end;
      return result.size();
    };
    for (TextRange& range : plain) {
      size_t begin = append_until(range.begin);
      range = {begin, append_until(range.end)};
    }
    append_until(text.size());
    return result;
  }

  void encode_normalized(std::string_view text, const std::vector<TextRange>& plain, bool is_first,
                         std::vector<int32_t>& ids) const {
    cut(normalized_finder, text, plain, ids, [&](TextRange part) {
      encode_words(text.substr(part.begin, part.end - part.begin), is_first && part.begin == 0,
                   ids);
    });
  }

  void encode_words(std::string_view text, bool is_first, std::vector<int32_t>& ids) const {
    std::string changed;
    std::vector<TextRange> words;
    text = definition.pre_tokenizer.change_and_split(text, is_first, changed, words);
    std::visit([&](const auto& finder) { finder.encode(text, words, ids); }, model);
  }

  /// Appends the ids of the added tokens that are found and calls `encode_rest(range)` for the text
  /// between them, in order.
  template <typename EncodeRest>
  void cut(const AddedTokenFinder& finder, std::string_view text,
           const std::vector<TextRange>& plain, std::vector<int32_t>& ids,
           EncodeRest encode_rest) const {
    size_t done = 0;
    size_t from = 0;
    while (std::optional<AddedTokenFinder::Match> match = finder.find(text, from)) {
      auto [begin, end] = match->range;
      from = end;
      const AddedToken& token = definition.added_tokens[match->value];
      if (steers(token) && overlaps(plain, match->range)) continue;
      if (token.single_word &&
          (ends_with_word(text.substr(0, begin)) || begins_with_word(text.substr(end)))) {
        continue;
      }
      if (token.lstrip && done < begin) {
        begin = done + without_trailing_space(text.substr(done, begin - done)).size();
      }
      if (token.rstrip) end = text.size() - without_leading_space(text.substr(end)).size();
      if (done < begin) encode_rest(TextRange{done, begin});
      ids.push_back(token.id);
      done = end;
    }
    if (done < text.size()) encode_rest(TextRange{done, text.size()});
  }
};

Tokenizer::Tokenizer(TokenizerDefinition definition, std::string_view source)
    : state_(std::make_shared<State>(std::move(definition), source)) {}

const TokenizerDefinition& Tokenizer::definition() const {
  return state_->definition;
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, EncodeOptions options) const {
  TextSegment segment{text, options.parse_special};
  return encode({&segment, 1}, options.add_special);
}

std::vector<int32_t> Tokenizer::encode(std::span<const TextSegment> segments,
                                       bool add_special) const {
  std::string joined;
  std::vector<TextRange> plain;
  size_t size = 0;
  for (const TextSegment& segment : segments) {
    if (segments.size() > 1) joined += segment.text;
    if (!segment.parse_special && !segment.text.empty()) {
      plain.push_back({size, size + segment.text.size()});
    }
    size += segment.text.size();
  }
  std::vector<int32_t> ids;
  if (add_special) ids = definition().prefix;
  state_->encode_text(segments.size() == 1 ? segments[0].text : joined, plain, ids);
  if (add_special) {
    ids.insert(ids.end(), definition().suffix.begin(), definition().suffix.end());
  }
  return ids;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  const Decoder& decoder = definition().decoder;
  std::string text;
  bool is_first = true;
  bool ends_word = false;
  for (int32_t id : ids) {
    if ((skip_special && is_special(id)) || id < 0 || id >= vocab_size()) continue;
    text += is_first ? first_token_bytes(id) : token_bytes(id);
    is_first = false;
    ends_word = ends_with_word_end(id);
  }
  if (ends_word) text.resize(text.size() - std::string_view(" ").size());
  size_t stripped = 0;
  for (int64_t i = 0; i < decoder.strip_count && text.substr(stripped).starts_with(decoder.strip);
       ++i) {
    stripped += decoder.strip.size();
  }
  return text.substr(stripped);
}

std::string_view Tokenizer::token_bytes(int32_t id) const {
  if (id < 0 || id >= vocab_size()) return {};
  auto index = static_cast<size_t>(id);
  return state_->texts.empty() ? definition().tokens[index].bytes : state_->texts[index];
}

std::string_view Tokenizer::first_token_bytes(int32_t id) const {
  if (id < 0 || id >= vocab_size() || state_->first_texts.empty()) return token_bytes(id);
  return state_->first_texts[static_cast<size_t>(id)];
}

bool Tokenizer::ends_with_word_end(int32_t id) const {
  std::string_view mark = definition().decoder.end_of_word();
  if (mark.empty() || id < 0 || id >= vocab_size()) return false;
  return token_bytes(id).ends_with(' ') &&
         definition().tokens[static_cast<size_t>(id)].bytes.ends_with(mark);
}

int32_t Tokenizer::token_id(std::string_view text) const {
  auto added = state_->added_by_content.find(text);
  return added != state_->added_by_content.end()
             ? added->second
             : std::visit([&](const auto& finder) { return finder.find(text); }, state_->model);
}

bool Tokenizer::is_special(int32_t id) const {
  if (id < 0 || id >= vocab_size()) return false;
  TokenType type = definition().tokens[static_cast<size_t>(id)].type;
  return type == TokenType::kControl || type == TokenType::kUnknown;
}

int32_t Tokenizer::vocab_size() const {
  return static_cast<int32_t>(definition().tokens.size());
}

const std::vector<int32_t>& Tokenizer::end_ids() const {
  return state_->end_ids;
}

bool Tokenizer::is_end(int32_t id) const {
  return std::binary_search(state_->end_ids.begin(), state_->end_ids.end(), id);
}

}  // namespace millrace
