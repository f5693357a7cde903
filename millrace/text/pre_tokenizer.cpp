#include "millrace/text/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/text/bert_characters.h"
#include "millrace/text/pattern_syntax.h"
#include "millrace/text/pre_tokenizer_names.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr std::string_view kNumber = R"(\p{N})";
constexpr std::string_view kNumbers = R"(\p{N}+)";
constexpr std::string_view kPunctuation = R"([!-/:-@\[-`{-~\p{P}])";
// Finds the same as \s+$ does, but looks at a run of spaces only once.
constexpr std::string_view kSpaceAtEnd = R"(\s+$)";
constexpr std::string_view kSpaceAtEndLinear = R"((?<!\s)\s+$)";
constexpr std::string_view kSpaces = R"(\s+)";
// \w+|[^\w\s]+ as Rust's regular expressions have it, by which Whitespace splits: \w is
// Alphabetic, marks, decimal digits, connectors and the two joiners.
constexpr std::string_view kWordsAndSymbols =
    R"([\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200c}\x{200d}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149})"
    R"(\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}]+|)"
    R"([^\p{L}\p{M}\p{Nd}\p{Nl}\p{Pc}\x{200c}\x{200d}\x{24b6}-\x{24e9}\x{1f130}-\x{1f149})"
    R"(\x{1f150}-\x{1f169}\x{1f170}-\x{1f189}\s]+)";
constexpr size_t kMaxSplits = 64;
constexpr int kMaxDepth = 16;

constexpr std::array<std::pair<const char*, SplitBehavior>, 5> kBehaviors = {
    {{"Removed", SplitBehavior::kRemoved},
     {"Isolated", SplitBehavior::kIsolated},
     {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
     {"MergedWithNext", SplitBehavior::kMergedWithNext},
     {"Contiguous", SplitBehavior::kContiguous}}};

SplitBehavior behavior_named(const std::string& wanted, std::string_view source) {
  for (const auto& [name, behavior] : kBehaviors) {
    if (wanted == name) return behavior;
  }
  fail("{}: pre_tokenizer: there is no split behavior {}", source, quote(wanted));
}

// In the order of PreTokenizer::Prepend.
constexpr std::array<std::string_view, 3> kPrependNames = {"always", "first", "never"};

size_t prepend_index(std::string_view name, std::string_view source) {
  auto found = std::find(kPrependNames.begin(), kPrependNames.end(), name);
  require(found != kPrependNames.end(), "{}: pre_tokenizer: there is no prepend_scheme {}", source,
          quote(name));
  return static_cast<size_t>(found - kPrependNames.begin());
}

const char* name_of(SplitBehavior wanted) {
  for (const auto& [name, behavior] : kBehaviors) {
    if (wanted == behavior) return name;
  }
  return "";
}

/// A character class of what BERT takes for words by themselves.
std::string_view bert_punctuation() {
  static const std::string expression = [] {
    std::string members;
    for (const CharacterRange& range : kBertPunctuation) {
      members += fmt::format("\\x{{{:x}}}-\\x{{{:x}}}", range.first, range.last);
    }
    return "[" + members + "]";
  }();
  return expression;
}

/// The expressions here were looked at: they take time linear in the text.
bool is_known(std::string_view expression) {
  for (std::string_view known :
       {kNumber, kNumbers, kPunctuation, kSpaces, kWordsAndSymbols, bert_punctuation()}) {
    if (expression == known) return true;
  }
  for (const NamedPreTokenizer& entry : named_pre_tokenizers()) {
    if (std::find(entry.expressions.begin(), entry.expressions.end(), expression) !=
        entry.expressions.end()) {
      return true;
    }
  }
  return false;
}

Pattern compile(std::string_view expression, std::string_view source) {
  if (expression == kSpaceAtEnd) return Pattern(kSpaceAtEndLinear, source, Effort::kLinear);
  return Pattern(expression, source, is_known(expression) ? Effort::kLinear : Effort::kCounted);
}

std::string split_expression(const Json& split, std::string_view source) {
  auto pattern = split.find("pattern");
  require(pattern != split.end() && pattern->is_object() && pattern->size() == 1,
          "{}: pre_tokenizer: a Split needs 'pattern' with one member, Regex or String", source);
  if (pattern->contains("Regex")) return json_field<std::string>(*pattern, "Regex", source);
  return literal_expression(json_field<std::string>(*pattern, "String", source));
}

/// Text with U+FFFD for what is not UTF-8, and the way back to the original's positions.
class ReplacedText {
 public:
  explicit ReplacedText(std::string_view original) {
    size_t at = 0;
    while (true) {
      size_t valid = utf8_valid_prefix(original.substr(at));
      text_ += original.substr(at, valid);
      at += valid;
      if (at == original.size()) break;
      at += utf8_invalid_length(original.substr(at));
      append_utf8(text_, 0xfffd);
      ends_.push_back({text_.size(), at});
    }
  }

  std::string_view text() const { return text_; }

  /// Turns ranges of text(), which follow each other, into ranges of the original.
  void restore(std::vector<TextRange>& ranges, size_t first) const {
    size_t passed = 0;
    auto original = [&](size_t position) {
      while (passed < ends_.size() && ends_[passed].begin <= position) ++passed;
      if (passed == 0) return position;
      return ends_[passed - 1].end + (position - ends_[passed - 1].begin);
    };
    for (size_t i = first; i < ranges.size(); ++i) {
      ranges[i].begin = original(ranges[i].begin);
      ranges[i].end = original(ranges[i].end);
    }
  }

 private:
  std::string text_;
  std::vector<TextRange> ends_;  // where replacements end: in text_ (begin), in the original (end)
};

}  // namespace

PreTokenizer PreTokenizer::from_json(const Json& pre_tokenizer, std::string_view source) {
  PreTokenizer result;
  if (pre_tokenizer.is_null()) return result;
  result.append(pre_tokenizer, source, 0);
  result.choose_scanner();
  return result;
}

PreTokenizer PreTokenizer::named(std::string_view name, std::string_view source) {
  const NamedPreTokenizer* found = find_named_pre_tokenizer(name);
  require(found != nullptr, "{}: pre-tokenizer {} is not known", source, quote(name));
  PreTokenizer result;
  result.has_byte_level_ = true;
  for (std::string_view expression : found->expressions) {
    result.append_split(expression, SplitBehavior::kIsolated, false, source);
  }
  result.choose_scanner();
  return result;
}

void PreTokenizer::append(const Json& description, std::string_view source, int depth) {
  require(depth < kMaxDepth, "{}: pre_tokenizer: Sequences in Sequences, {} deep", source, depth);
  std::string type = json_field<std::string>(description, "type", source);
  require(!has_byte_level_, "{}: pre_tokenizer: {} after ByteLevel is not supported", source,
          quote(type));
  auto flag = [&](const char* name, bool otherwise) {
    return optional_json_field<bool>(description, name, source).value_or(otherwise);
  };
  if (type == "Sequence") {
    auto steps = description.find("pretokenizers");
    require(steps != description.end() && steps->is_array(),
            "{}: pre_tokenizer: a Sequence needs an array 'pretokenizers'", source);
    for (const Json& step : *steps) append(step, source, depth + 1);
  } else if (type == "Split") {
    append_split(split_expression(description, source),
                 behavior_named(json_field<std::string>(description, "behavior", source), source),
                 flag("invert", false), source);
  } else if (type == "Digits") {
    append_split(flag("individual_digits", false) ? kNumber : kNumbers, SplitBehavior::kIsolated,
                 false, source);
  } else if (type == "Punctuation") {
    auto behavior = optional_json_field<std::string>(description, "behavior", source);
    append_split(kPunctuation, behavior_named(behavior.value_or("Isolated"), source), false,
                 source);
  } else if (type == "Whitespace") {
    append_split(kWordsAndSymbols, SplitBehavior::kRemoved, true, source);
  } else if (type == "WhitespaceSplit") {
    append_split(kSpaces, SplitBehavior::kRemoved, false, source);
  } else if (type == "CharDelimiterSplit") {
    append_split(literal_expression(json_field<std::string>(description, "delimiter", source)),
                 SplitBehavior::kRemoved, false, source);
  } else if (type == "BertPreTokenizer") {
    append_split(kSpaces, SplitBehavior::kRemoved, false, source);
    append_split(bert_punctuation(), SplitBehavior::kIsolated, false, source);
  } else if (type == "Metaspace") {
    append_metaspace(description, source);
  } else if (type == "ByteLevel") {
    require(!metaspace_.has_value(),
            "{}: pre_tokenizer: ByteLevel after Metaspace is not supported", source);
    has_byte_level_ = true;
    if (flag("add_prefix_space", true)) {
      require(splits_.empty(),
              "{}: pre_tokenizer: add_prefix_space after other splits is not supported", source);
      add_prefix_space_ = true;
    }
    if (flag("use_regex", true)) {
      append_split(kGpt2Expression, SplitBehavior::kIsolated, false, source);
    }
  } else {
    fail(
        "{}: pre_tokenizer {} is not supported (Split, Digits, Punctuation, Whitespace, "
        "WhitespaceSplit, CharDelimiterSplit, BertPreTokenizer, Metaspace, ByteLevel and Sequence "
        "are)",
        source, quote(type));
  }
}

void PreTokenizer::append_metaspace(const Json& description, std::string_view source) {
  require(!metaspace_.has_value(), "{}: pre_tokenizer: a second Metaspace is not supported",
          source);
  Metaspace metaspace;
  metaspace.symbol = json_field<std::string>(description, "replacement", source);
  require(!metaspace.symbol.empty() &&
              first_character(metaspace.symbol).size() == metaspace.symbol.size(),
          "{}: pre_tokenizer: Metaspace's replacement {} is not one character", source,
          quote(metaspace.symbol));
  auto scheme = optional_json_field<std::string>(description, "prepend_scheme", source);
  bool adds = optional_json_field<bool>(description, "add_prefix_space", source).value_or(true);
  metaspace.prepend =
      static_cast<Prepend>(prepend_index(scheme.value_or(adds ? "always" : "never"), source));
  metaspace.splits = optional_json_field<bool>(description, "split", source).value_or(true);
  metaspace.position = splits_.size();
  metaspace_ = std::move(metaspace);
}

std::string_view PreTokenizer::prepend_scheme() const {
  return metaspace_.has_value() ? kPrependNames[static_cast<size_t>(metaspace_->prepend)]
                                : std::string_view();
}

void PreTokenizer::append_split(std::string_view expression, SplitBehavior behavior, bool invert,
                                std::string_view source) {
  require(splits_.size() < kMaxSplits, "{}: pre_tokenizer has more than {} splits", source,
          kMaxSplits);
  splits_.push_back({std::string(expression), compile(expression, source), behavior, invert});
}

void PreTokenizer::choose_scanner() {
  if (metaspace_.has_value() || splits_.empty()) return;
  std::vector<std::string_view> expressions;
  for (const Split& split : splits_) {
    if (split.invert || split.behavior != SplitBehavior::kIsolated) return;
    expressions.push_back(split.expression);
  }
  scanner_ = find_word_scanner(expressions);
}

Json PreTokenizer::to_json(bool byte_level_words) const {
  auto byte_level = [](bool add_prefix_space, bool use_regex) {
    return Json{{"type", "ByteLevel"},
                {"add_prefix_space", add_prefix_space},
                {"trim_offsets", true},
                {"use_regex", use_regex}};
  };
  // append() lets nothing but ByteLevel's own split go with an added space.
  if (add_prefix_space_) return byte_level(true, !splits_.empty());
  Json steps = Json::array();
  for (size_t i = 0; i <= splits_.size(); ++i) {
    if (metaspace_.has_value() && metaspace_->position == i) {
      steps.push_back({{"type", "Metaspace"},
                       {"replacement", metaspace_->symbol},
                       {"prepend_scheme", prepend_scheme()},
                       {"split", metaspace_->splits}});
    }
    if (i == splits_.size()) break;
    const Split& split = splits_[i];
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", split.expression}}},
                     {"behavior", name_of(split.behavior)},
                     {"invert", split.invert}});
  }
  if (byte_level_words) steps.push_back(byte_level(false, false));
  if (steps.empty()) return nullptr;
  if (steps.size() == 1 && !byte_level_words) return steps[0];
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

bool PreTokenizer::isolates(std::span<const std::string_view> expressions) const {
  return !add_prefix_space_ &&
         std::equal(splits_.begin(), splits_.end(), expressions.begin(), expressions.end(),
                    [](const Split& split, std::string_view expression) {
                      return split.expression == expression && !split.invert &&
                             split.behavior == SplitBehavior::kIsolated;
                    });
}

void PreTokenizer::split(std::string_view text, std::vector<TextRange>& words) const {
  run(0, splits_.size(), text, words);
}

/// Runs the splits [first, end).
void PreTokenizer::run(size_t first, size_t end, std::string_view text,
                       std::vector<TextRange>& words) const {
  if (first == end && !text.empty()) {
    words.push_back({0, text.size()});
  } else if (is_utf8(text)) {
    run_utf8(first, end, text, words);
  } else {
    ReplacedText replaced(text);
    size_t before = words.size();
    run_utf8(first, end, replaced.text(), words);
    replaced.restore(words, before);
  }
}

void PreTokenizer::run_utf8(size_t first, size_t end, std::string_view text,
                            std::vector<TextRange>& words) const {
  if (text.empty()) return;
  if (scanner_ != nullptr) {
    scanner_(text, words);
    return;
  }
  std::vector<TextRange> current = {{0, text.size()}};
  std::vector<TextRange> next, matches;
  for (size_t i = first; i < end; ++i) {
    next.clear();
    for (const TextRange& word : current) apply(splits_[i], text, word, matches, next);
    current.swap(next);
  }
  words.insert(words.end(), current.begin(), current.end());
}

std::string_view PreTokenizer::change_and_split(std::string_view text, bool is_first,
                                                std::string& changed,
                                                std::vector<TextRange>& words) const {
  if (add_prefix_space_ && !text.starts_with(' ')) {
    changed = ' ';
    changed += text;
    split(changed, words);
    return changed;
  }
  if (!metaspace_.has_value()) {
    split(text, words);
    return text;
  }
  std::vector<TextRange> before;
  run(0, metaspace_->position, text, before);
  changed.reserve(text.size() + text.size() / 2);
  for (const TextRange& word : before) {
    size_t begin = changed.size();
    add_changed(*metaspace_, text.substr(word.begin, word.end - word.begin),
                is_first && word.begin == 0, changed);
    while (begin < changed.size()) {
      size_t end = changed.size();
      if (metaspace_->splits) end = std::min(end, changed.find(metaspace_->symbol, begin + 1));
      size_t first = words.size();
      run(metaspace_->position, splits_.size(),
          std::string_view(changed).substr(begin, end - begin), words);
      for (size_t i = first; i < words.size(); ++i) {
        words[i].begin += begin;
        words[i].end += begin;
      }
      begin = end;
    }
  }
  return changed;
}

/// Appends a word as Metaspace changes it.
void PreTokenizer::add_changed(const Metaspace& metaspace, std::string_view word, bool is_first,
                               std::string& changed) {
  bool prepends =
      metaspace.prepend == Prepend::kAlways || (metaspace.prepend == Prepend::kFirst && is_first);
  if (prepends && !word.starts_with(' ') && !word.starts_with(metaspace.symbol)) {
    changed += metaspace.symbol;
  }
  for (char c : word) {
    if (c == ' ') {
      changed += metaspace.symbol;
    } else {
      changed += c;
    }
  }
}

/// Splits one word. `matches` is room to work in.
void PreTokenizer::apply(const Split& split, std::string_view text, TextRange word,
                         std::vector<TextRange>& matches, std::vector<TextRange>& words) {
  matches.clear();
  split.pattern.find_all(text.substr(word.begin, word.end - word.begin), matches);
  size_t first = words.size();
  bool after_match = false;
  auto append_part = [&](size_t begin, size_t end, bool is_match) {
    is_match = is_match != split.invert;
    bool joins = false;
    switch (split.behavior) {
      case SplitBehavior::kRemoved:
        if (is_match) return;
        break;
      case SplitBehavior::kIsolated:
        break;
      case SplitBehavior::kMergedWithPrevious:
        joins = is_match && !after_match;
        break;
      case SplitBehavior::kMergedWithNext:
        joins = !is_match && after_match;
        break;
      case SplitBehavior::kContiguous:
        joins = is_match == after_match;
        break;
    }
    after_match = is_match;
    if (joins && words.size() > first) {
      words.back().end = end;
    } else {
      words.push_back({begin, end});
    }
  };
  size_t at = word.begin;
  for (const TextRange& match : matches) {
    size_t begin = word.begin + match.begin;
    if (at < begin) append_part(at, begin, false);
    at = word.begin + match.end;
    append_part(begin, at, true);
  }
  if (at < word.end) append_part(at, word.end, false);
  auto is_empty = [](const TextRange& range) { return range.begin == range.end; };
  words.erase(
      std::remove_if(words.begin() + static_cast<std::ptrdiff_t>(first), words.end(), is_empty),
      words.end());
}

}  // namespace millrace
