#include "millrace/text/decoder.h"

#include <utility>

#include "millrace/base/error.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

using Step = Decoder::Step;
constexpr int kMaxDepth = 16;
constexpr size_t kMaxSteps = 64;
constexpr size_t kMaxText = 64;  // of what is put in

// What WordPiece's cleanup replaces, in this order.
constexpr std::pair<std::string_view, std::string_view> kCleanups[] = {
    {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
    {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
    {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

class Reader {
 public:
  Reader(std::string_view source, Decoder& decoder) : source_(source), decoder_(decoder) {}

  void read(const Json& json, int depth) {
    require(depth < kMaxDepth && decoder_.steps.size() < kMaxSteps,
            "{}: decoder has too many steps", source_);
    auto type = json_field<std::string>(json, "type", source_);
    if (type == "Sequence") {
      auto inner = json.find("decoders");
      require(inner != json.end() && inner->is_array(),
              "{}: decoder: a Sequence needs an array 'decoders'", source_);
      for (const Json& step : *inner) read(step, depth + 1);
    } else if (type == "Fuse") {
      is_fused_ = true;
    } else if (type == "Strip") {
      read_strip(json);
    } else {
      Step step = read_step(type, json);
      // A token by itself gives the same only where no match spans two of them.
      require(!is_fused_ || (step.kind == Step::kReplace &&
                             first_character(step.pattern).size() == step.pattern.size()),
              "{}: decoder: {} after Fuse is not supported", source_, quote(type));
      decoder_.steps.push_back(std::move(step));
    }
  }

 private:
  std::string text(const Json& json, const char* name) const {
    auto value = json_field<std::string>(json, name, source_);
    require(value.size() <= kMaxText, "{}: decoder: '{}' has {} bytes; {} are allowed", source_,
            name, value.size(), kMaxText);
    return value;
  }

  void read_strip(const Json& json) {
    auto content = text(json, "content");
    auto count = json_field<int64_t>(json, "start", source_);
    require(json_field<int64_t>(json, "stop", source_) == 0,
            "{}: decoder: a Strip at the end of a text is not supported", source_);
    require(!content.empty() && count >= 0,
            "{}: decoder: a Strip needs a character and a count from 0", source_);
    if (is_fused_) {
      require(decoder_.strip_count == 0, "{}: decoder: a second Strip after Fuse is not supported",
              source_);
      decoder_.strip = content;
      decoder_.strip_count = count;
    } else {
      decoder_.steps.push_back({Step::kStrip, content, "", false, false, count});
    }
  }

  Step read_step(const std::string& type, const Json& json) const {
    if (type == "Replace") {
      auto pattern = json.find("pattern");
      require(pattern != json.end() && pattern->is_object() && pattern->contains("String"),
              "{}: decoder: a Replace needs 'pattern' with the member String", source_);
      Step step{Step::kReplace, text(*pattern, "String"), text(json, "content"), false, false, 0};
      require(!step.pattern.empty(), "{}: decoder: a Replace of nothing", source_);
      return step;
    }
    if (type == "ByteFallback") return {Step::kByteFallback, "", "", false, false, 0};
    if (type == "Metaspace") {
      auto scheme = optional_json_field<std::string>(json, "prepend_scheme", source_);
      bool adds = optional_json_field<bool>(json, "add_prefix_space", source_).value_or(true);
      Step step{Step::kMetaspace, text(json, "replacement"), " ", false, false, 0};
      require(!step.pattern.empty(), "{}: decoder: a Metaspace without replacement", source_);
      step.is_kept_first = scheme.has_value() ? *scheme == "never" : !adds;
      return step;
    }
    if (type == "WordPiece") {
      Step step{Step::kWordPiece, text(json, "prefix"), " ", false, false, 0};
      step.cleanup = json_field<bool>(json, "cleanup", source_);
      return step;
    }
    if (type == "BPEDecoder") {
      Step step{Step::kEndOfWord, text(json, "suffix"), " ", false, false, 0};
      require(!step.pattern.empty(), "{}: decoder: a BPEDecoder without suffix", source_);
      return step;
    }
    fail(
        "{}: decoder {} is not supported (ByteLevel, Replace, ByteFallback, Fuse, Strip, "
        "Metaspace, WordPiece, BPEDecoder and Sequence are)",
        source_, quote(type));
  }

  std::string_view source_;
  Decoder& decoder_;
  bool is_fused_ = false;
};

Json step_json(const Step& step) {
  switch (step.kind) {
    case Step::kReplace:
      return {
          {"type", "Replace"}, {"pattern", {{"String", step.pattern}}}, {"content", step.content}};
    case Step::kByteFallback:
      return {{"type", "ByteFallback"}};
    case Step::kStrip:
      return {{"type", "Strip"}, {"content", step.pattern}, {"start", step.count}, {"stop", 0}};
    case Step::kMetaspace:
      return {{"type", "Metaspace"},
              {"replacement", step.pattern},
              {"prepend_scheme", step.is_kept_first ? "never" : "always"},
              {"split", true}};
    case Step::kWordPiece:
      return {{"type", "WordPiece"}, {"prefix", step.pattern}, {"cleanup", step.cleanup}};
    case Step::kEndOfWord:
      return {{"type", "BPEDecoder"}, {"suffix", step.pattern}};
    case Step::kSeparate:
      break;
  }
  return nullptr;
}

std::string word_piece_text(const Step& step, std::string token, bool is_first) {
  if (!is_first) {
    bool goes_on = token.starts_with(step.pattern);
    token = goes_on ? token.substr(step.pattern.size()) : step.content + token;
  }
  if (step.cleanup) {
    for (const auto& [from, to] : kCleanups) token = replace_all(token, from, to);
  }
  return token;
}

}  // namespace

Decoder Decoder::from_json(const Json& decoder, std::string_view source) {
  Decoder result;
  if (decoder.is_null()) {
    result.steps.push_back({Step::kSeparate, "", " ", false, false, 0});
  } else {
    Reader(source, result).read(decoder, 0);
  }
  return result;
}

Json Decoder::to_json() const {
  Json written = Json::array();
  for (const Step& step : steps) {
    if (step.kind == Step::kSeparate) return nullptr;
    written.push_back(step_json(step));
  }
  if (written.size() == 1 && strip_count == 0 && steps[0].kind != Step::kReplace) return written[0];
  written.push_back({{"type", "Fuse"}});
  if (strip_count > 0) {
    written.push_back({{"type", "Strip"}, {"content", strip}, {"start", strip_count}, {"stop", 0}});
  }
  return {{"type", "Sequence"}, {"decoders", written}};
}

bool Decoder::differs_at_begin() const {
  for (const Step& step : steps) {
    if (step.kind == Step::kWordPiece || step.kind == Step::kSeparate) return true;
    if (step.kind == Step::kMetaspace && !step.is_kept_first) return true;
  }
  return false;
}

std::string_view Decoder::end_of_word() const {
  for (const Step& step : steps) {
    if (step.kind == Step::kEndOfWord) return step.pattern;
  }
  return {};
}

std::string Decoder::text_of(std::string token, bool is_first) const {
  for (const Step& step : steps) {
    switch (step.kind) {
      case Step::kReplace:
      case Step::kEndOfWord:
        token = replace_all(token, step.pattern, step.content);
        break;
      case Step::kByteFallback:
        if (int byte = byte_of_token(token); byte >= 0) token = static_cast<char>(byte);
        break;
      case Step::kStrip:
        for (int64_t i = 0; i < step.count && token.starts_with(step.pattern); ++i) {
          token.erase(0, step.pattern.size());
        }
        break;
      case Step::kMetaspace:
        token = replace_all(token, step.pattern,
                            is_first && !step.is_kept_first ? std::string_view() : step.content);
        break;
      case Step::kWordPiece:
        token = word_piece_text(step, std::move(token), is_first);
        break;
      case Step::kSeparate:
        if (!is_first) token = step.content + token;
        break;
    }
  }
  return token;
}

int byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>') return -1;
  int byte = 0;
  for (char c : token.substr(3, 2)) {
    int digit = c >= '0' && c <= '9'   ? c - '0'
                : c >= 'A' && c <= 'F' ? c - 'A' + 10
                : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                       : -1;
    if (digit < 0) return -1;
    byte = byte * 16 + digit;
  }
  return byte;
}

}  // namespace millrace
