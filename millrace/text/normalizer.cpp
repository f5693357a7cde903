#include "millrace/text/normalizer.h"

#include <array>
#include <utility>

#include "millrace/base/base64.h"
#include "millrace/base/error.h"
#include "millrace/text/utf8.h"
#include "millrace/text/whitespace.h"

namespace millrace {
namespace {

constexpr std::array<std::pair<const char*, NormalForm>, 4> kForms = {
    {{"NFC", NormalForm::kNfc},
     {"NFD", NormalForm::kNfd},
     {"NFKC", NormalForm::kNfkc},
     {"NFKD", NormalForm::kNfkd}}};
constexpr size_t kMaxSteps = 64;
constexpr int kMaxDepth = 16;
constexpr size_t kMaxText = 64;  // of what is put in
constexpr size_t kMaxGrowth = 256;

/// Reads "normalizer" into steps.
class Reader {
 public:
  Reader(std::string_view source, std::vector<NormalizerStep>& steps)
      : source_(source), steps_(steps) {}

  void read(const Json& json, int depth) {
    require(depth < kMaxDepth && steps_.size() < kMaxSteps, "{}: normalizer has too many steps",
            source_);
    auto type = json_field<std::string>(json, "type", source_);
    if (type == "Sequence") {
      auto inner = json.find("normalizers");
      require(inner != json.end() && inner->is_array(),
              "{}: normalizer: a Sequence needs an array 'normalizers'", source_);
      for (const Json& step : *inner) read(step, depth + 1);
    } else {
      steps_.push_back(step(type, json));
    }
  }

 private:
  NormalizerStep step(const std::string& type, const Json& json) const {
    for (const auto& [name, form] : kForms) {
      if (type == name) return form;
    }
    if (type == "Lowercase") return Lowercase();
    if (type == "StripAccents") return StripAccents();
    if (type == "Strip") return Strip{flag(json, "strip_left"), flag(json, "strip_right")};
    if (type == "Prepend") return Prepend{text(json, "prepend")};
    if (type == "Replace") return replace(json);
    if (type == "Precompiled") return precompiled(json);
    if (type == "BertNormalizer") return bert(json);
    fail(
        "{}: normalizer {} is not supported (NFC, NFD, NFKC, NFKD, Lowercase, StripAccents, Strip, "
        "Prepend, Replace, Precompiled, BertNormalizer and Sequence are)",
        source_, quote(type));
  }

  bool flag(const Json& json, const char* name) const {
    return optional_json_field<bool>(json, name, source_).value_or(true);
  }

  std::string text(const Json& json, const char* name) const {
    auto value = json_field<std::string>(json, name, source_);
    require(value.size() <= kMaxText, "{}: normalizer: '{}' has {} bytes; {} are allowed", source_,
            name, value.size(), kMaxText);
    return value;
  }

  NormalizerStep replace(const Json& json) const {
    auto pattern = json.find("pattern");
    require(pattern != json.end() && pattern->is_object() && pattern->size() == 1,
            "{}: normalizer: a Replace needs 'pattern' with one member, Regex or String", source_);
    Replace result;
    result.content = text(json, "content");
    if (pattern->contains("Regex")) {
      result.pattern = std::make_shared<Pattern>(
          json_field<std::string>(*pattern, "Regex", source_), source_, Effort::kCounted);
    } else {
      result.literal = json_field<std::string>(*pattern, "String", source_);
      require(!result.literal.empty(), "{}: normalizer: a Replace of nothing", source_);
    }
    return result;
  }

  NormalizerStep precompiled(const Json& json) const {
    auto blob = from_base64(json_field<std::string>(json, "precompiled_charsmap", source_));
    require(blob.has_value(), "{}: normalizer: precompiled_charsmap is not base64", source_);
    return Precompiled{std::make_shared<PrecompiledMap>(*std::move(blob), source_)};
  }

  NormalizerStep bert(const Json& json) const {
    BertNormalizer result;
    result.clean_text = flag(json, "clean_text");
    result.handle_chinese_chars = flag(json, "handle_chinese_chars");
    result.lowercase = flag(json, "lowercase");
    result.strip_accents =
        optional_json_field<bool>(json, "strip_accents", source_).value_or(result.lowercase);
    return result;
  }

  std::string_view source_;
  std::vector<NormalizerStep>& steps_;
};

Json replace_json(const char* kind, std::string_view pattern, std::string_view content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

/// Appends steps as tokenizer.json has them.
struct Writer {
  Json& steps;

  void operator()(NormalForm form) const {
    for (const auto& [name, value] : kForms) {
      if (value == form) steps.push_back({{"type", name}});
    }
  }
  void operator()(Lowercase) const { steps.push_back({{"type", "Lowercase"}}); }
  void operator()(StripAccents) const { steps.push_back({{"type", "StripAccents"}}); }
  void operator()(const Strip& step) const {
    steps.push_back({{"type", "Strip"}, {"strip_left", step.left}, {"strip_right", step.right}});
  }
  void operator()(const Prepend& step) const {
    steps.push_back({{"type", "Prepend"}, {"prepend", step.text}});
  }
  void operator()(const Replace& step) const {
    bool is_literal = step.pattern == nullptr;
    steps.push_back(replace_json(is_literal ? "String" : "Regex",
                                 is_literal ? step.literal : step.pattern->expression(),
                                 step.content));
  }
  void operator()(const Precompiled& step) const {
    steps.push_back(
        {{"type", "Precompiled"}, {"precompiled_charsmap", to_base64(step.map->blob())}});
  }
  void operator()(const BertNormalizer& step) const {
    steps.push_back({{"type", "BertNormalizer"},
                     {"clean_text", step.clean_text},
                     {"handle_chinese_chars", step.handle_chinese_chars},
                     {"strip_accents", step.strip_accents},
                     {"lowercase", step.lowercase}});
  }
  void operator()(const SentencePieceNormalizer& step) const {
    if (step.map != nullptr) (*this)(Precompiled{step.map});
    if (step.remove_extra_whitespaces) {
      steps.push_back(replace_json("Regex", R"(\A +)", ""));
      steps.push_back(replace_json("Regex", " {2,}", " "));
    }
    std::string_view space = step.escape_whitespaces ? kSpaceSymbol : " ";
    bool has_prefix = step.add_dummy_prefix && !step.treat_whitespace_as_suffix;
    if (has_prefix) (*this)(Prepend{std::string(space)});
    if (step.escape_whitespaces) steps.push_back(replace_json("String", " ", kSpaceSymbol));
    if (step.remove_extra_whitespaces) {
      steps.push_back(replace_json("Regex", fmt::format("(?:{})+\\z", space), ""));
    }
    if (step.add_dummy_prefix && step.treat_whitespace_as_suffix) {
      steps.push_back(replace_json("Regex", R"((?<=[\s\S])\z)", space));
    }
  }
};

/// Runs a step on a text.
struct Runner {
  std::string_view text;
  TextEnds ends;

  std::string operator()(NormalForm form) const { return normalize(form, text); }
  std::string operator()(Lowercase) const { return lowercase(text); }
  std::string operator()(StripAccents) const { return strip_accents(text); }
  std::string operator()(const Strip& step) const {
    std::string_view rest = text;
    if (step.left && ends.begin) rest = without_leading_space(rest);
    if (step.right && ends.end) rest = without_trailing_space(rest);
    return std::string(rest);
  }
  std::string operator()(const Prepend& step) const {
    return text.empty() || !ends.begin ? std::string(text) : step.text + std::string(text);
  }
  std::string operator()(const Replace& step) const {
    return step.pattern == nullptr ? replace_all(text, step.literal, step.content)
                                   : replace_matches(step);
  }
  std::string operator()(const Precompiled& step) const {
    return step.map->normalize_graphemes(text);
  }
  std::string operator()(const BertNormalizer& step) const { return normalize(step, text); }
  std::string operator()(SentencePieceNormalizer step) const {
    step.add_dummy_prefix =
        step.add_dummy_prefix && (step.treat_whitespace_as_suffix ? ends.end : ends.begin);
    return normalize(step, text);
  }

 private:
  /// Nothing matches across bytes that are no text.
  std::string replace_matches(const Replace& step) const {
    std::vector<TextRange> matches;
    return map_well_formed(text, [&](std::string_view part, std::string& result) {
      matches.clear();
      step.pattern->find_all(part, matches);
      size_t at = 0;
      for (const TextRange& match : matches) {
        result.append(part.substr(at, match.begin - at)).append(step.content);
        at = match.end;
      }
      result.append(part.substr(at));
    });
  }
};

}  // namespace

Normalizer Normalizer::from_json(const Json& normalizer, std::string_view source) {
  Normalizer result;
  if (!normalizer.is_null()) Reader(source, result.steps).read(normalizer, 0);
  return result;
}

Json Normalizer::to_json() const {
  Json written = Json::array();
  for (const NormalizerStep& step : steps) std::visit(Writer{written}, step);
  if (written.empty()) return nullptr;
  if (written.size() == 1) return written[0];
  return {{"type", "Sequence"}, {"normalizers", written}};
}

std::string normalize(const Normalizer& normalizer, std::string_view text, TextEnds ends) {
  std::string result(text);
  for (const NormalizerStep& step : normalizer.steps) {
    result = std::visit(Runner{result, ends}, step);
    require(result.size() <= kMaxGrowth * (text.size() + 1),
            "the normalizer makes {} bytes of a text of {}", result.size(), text.size());
  }
  return result;
}

}  // namespace millrace
