#include "millrace/text/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "millrace/base/error.h"
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
constexpr size_t kMaxSplits = 64;

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

const char* name_of(SplitBehavior wanted) {
  for (const auto& [name, behavior] : kBehaviors) {
    if (wanted == behavior) return name;
  }
  return "";
}

/// The expressions here were looked at: they take time linear in the text.
bool is_known(std::string_view expression) {
  if (expression == kNumber || expression == kNumbers || expression == kPunctuation) return true;
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
  require(pre_tokenizer.is_object(),
          "{}: pre_tokenizer must be an object: only byte-level tokenizers are supported", source);
  result.append(pre_tokenizer, source);
  require(result.has_byte_level_,
          "{}: pre_tokenizer has no ByteLevel: only byte-level tokenizers are supported", source);
  result.choose_scanner();
  return result;
}

PreTokenizer PreTokenizer::named(std::string_view name, std::string_view source) {
  const NamedPreTokenizer* found = find_named_pre_tokenizer(name);
  require(found != nullptr, "{}: pre-tokenizer {} is not known", source, quote(name));
  PreTokenizer result;
  for (std::string_view expression : found->expressions) {
    result.append_split(expression, SplitBehavior::kIsolated, false, source);
  }
  result.choose_scanner();
  return result;
}

void PreTokenizer::append(const Json& description, std::string_view source) {
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
    for (const Json& step : *steps) append(step, source);
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
  } else if (type == "ByteLevel") {
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
        "{}: pre_tokenizer {} is not supported (Split, Digits, Punctuation, ByteLevel and "
        "Sequence are)",
        source, quote(type));
  }
}

void PreTokenizer::append_split(std::string_view expression, SplitBehavior behavior, bool invert,
                                std::string_view source) {
  require(splits_.size() < kMaxSplits, "{}: pre_tokenizer has more than {} splits", source,
          kMaxSplits);
  splits_.push_back({std::string(expression), compile(expression, source), behavior, invert});
}

void PreTokenizer::choose_scanner() {
  std::vector<std::string_view> expressions;
  for (const Split& split : splits_) {
    if (split.invert || split.behavior != SplitBehavior::kIsolated) return;
    expressions.push_back(split.expression);
  }
  scanner_ = find_word_scanner(expressions);
}

Json PreTokenizer::to_json() const {
  auto byte_level = [](bool add_prefix_space, bool use_regex) {
    return Json{{"type", "ByteLevel"},
                {"add_prefix_space", add_prefix_space},
                {"trim_offsets", true},
                {"use_regex", use_regex}};
  };
  // append() lets nothing but ByteLevel's own split go with an added space.
  if (add_prefix_space_) return byte_level(true, !splits_.empty());
  Json steps = Json::array();
  for (const Split& split : splits_) {
    steps.push_back({{"type", "Split"},
                     {"pattern", {{"Regex", split.expression}}},
                     {"behavior", name_of(split.behavior)},
                     {"invert", split.invert}});
  }
  steps.push_back(byte_level(false, false));
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
  if (is_utf8(text)) {
    split_utf8(text, words);
    return;
  }
  ReplacedText replaced(text);
  size_t first = words.size();
  split_utf8(replaced.text(), words);
  replaced.restore(words, first);
}

void PreTokenizer::split_utf8(std::string_view text, std::vector<TextRange>& words) const {
  if (text.empty()) return;
  if (scanner_ != nullptr) {
    scanner_(text, words);
    return;
  }
  std::vector<TextRange> current = {{0, text.size()}};
  std::vector<TextRange> next, matches;
  for (const Split& split : splits_) {
    next.clear();
    for (const TextRange& word : current) apply(split, text, word, matches, next);
    current.swap(next);
  }
  words.insert(words.end(), current.begin(), current.end());
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
