#include "millrace/text/tiktoken_ranks.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "millrace/base/base64.h"
#include "millrace/base/error.h"
#include "millrace/text/sentencepiece_tokenizer.h"
#include "millrace/text/tokenizer_formats.h"

namespace millrace {
namespace {

struct Rank {
  std::string bytes;
  uint32_t rank = 0;
};

std::optional<Rank> parse_line(std::string_view line) {
  size_t space = line.find(' ');
  if (space == std::string_view::npos || space == 0) return std::nullopt;
  std::optional<std::string> bytes = from_base64(line.substr(0, space));
  std::string_view number = line.substr(space + 1);
  Rank result;
  auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), result.rank);
  if (!bytes.has_value() || bytes->empty() || error != std::errc() ||
      end != number.data() + number.size()) {
    return std::nullopt;
  }
  result.bytes = *std::move(bytes);
  return result;
}

/// The next line without its end, taken off `rest`.
std::string_view take_line(std::string_view& rest) {
  size_t end = rest.find('\n');
  std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

void read_tokens(std::string_view content, std::string_view source,
                 TokenizerDefinition& definition) {
  // No line is shorter than "AA== 0" with its end.
  const size_t most = content.size() / 7 + 1;
  for (size_t number = 1; !content.empty(); ++number) {
    std::string_view line = take_line(content);
    if (line.empty()) continue;
    std::optional<Rank> rank = parse_line(line);
    if (!rank.has_value()) {
      fail("{}: line {}: {} is not a token in base64 and its rank", source, number, quote(line));
    }
    constexpr size_t kFewHoles = 1024;
    require(rank->rank < most + kFewHoles,
            "{}: line {}: rank {} is too large for a file of this size", source, number,
            rank->rank);
    if (definition.tokens.size() <= rank->rank) definition.tokens.resize(rank->rank + 1);
    Token& token = definition.tokens[rank->rank];
    require(token.bytes.empty(), "{}: line {}: a second token of rank {}", source, number,
            rank->rank);
    token.bytes = std::move(rank->bytes);
    token.type = TokenType::kNormal;
    token.in_model = true;
    token.score = -static_cast<double>(rank->rank);
  }
  require(!definition.tokens.empty(), "{}: has no ranks", source);
}

enum class Family { kQwen, kGlm4, kKimi };

Family family_of(std::string_view file_name, const Json& config) {
  auto found = config.is_object() ? config.find("tokenizer_class") : config.end();
  std::string name;
  if (config.is_object() && found != config.end() && found->is_string()) name = *found;
  if (name == "TikTokenTokenizer" || (name.empty() && file_name == "tiktoken.model")) {
    return Family::kKimi;
  }
  bool is_qwen = name == "QWenTokenizer" || (name.empty() && file_name.ends_with(".tiktoken"));
  return is_qwen ? Family::kQwen : Family::kGlm4;
}

void add_special(std::string content, int32_t id, TokenizerDefinition& definition) {
  if (definition.tokens.size() <= static_cast<size_t>(id)) {
    definition.tokens.resize(static_cast<size_t>(id) + 1);
  }
  Token& token = definition.tokens[static_cast<size_t>(id)];
  if (!token.bytes.empty()) return;
  auto has_content = [&](const AddedToken& added) { return added.content == content; };
  const std::vector<AddedToken>& all = definition.added_tokens;
  if (std::any_of(all.begin(), all.end(), has_content)) return;
  token.bytes = content;
  AddedToken added;
  added.id = id;
  added.content = std::move(content);
  added.special = true;
  definition.added_tokens.push_back(std::move(added));
}

/// What tokenization_qwen.py has in its code.
void add_qwen_specials(int32_t first, TokenizerDefinition& definition) {
  constexpr int32_t kExtras = 205;
  int32_t id = first;
  for (const char* name : {"<|endoftext|>", "<|im_start|>", "<|im_end|>"}) {
    add_special(name, id++, definition);
  }
  for (int32_t i = 0; i < kExtras; ++i) {
    add_special(fmt::format("<|extra_{}|>", i), id++, definition);
  }
  definition.eos = definition.pad = first;
  definition.eot = first + 2;
}

/// What tokenization_kimi.py has in its code: names for those that the configuration does not name.
void add_kimi_specials(int32_t first, TokenizerDefinition& definition) {
  constexpr int32_t kReserved = 256;
  for (int32_t id = first; id < first + kReserved; ++id) {
    add_special(fmt::format("<|reserved_token_{}|>", id), id, definition);
  }
}

/// What tokenization_chatglm.py puts before every text.
void add_glm_prefix(TokenizerDefinition& definition) {
  for (const char* name : {"[gMASK]", "<sop>"}) {
    for (const AddedToken& added : definition.added_tokens) {
      if (added.content == name) definition.prefix.push_back(added.id);
    }
  }
}

}  // namespace

bool is_tiktoken_ranks(std::string_view content) {
  return parse_line(take_line(content)).has_value();
}

TokenizerDefinition tiktoken_definition(std::string_view content, std::string_view file_name,
                                        const Json& config, std::string_view source) {
  TokenizerDefinition definition;
  definition.ignore_merges = true;
  read_tokens(content, source, definition);
  const auto first_special = static_cast<int32_t>(definition.tokens.size());
  set_merges_by_score(definition);
  definition = with_tokenizer_config(std::move(definition), config, source);
  switch (family_of(file_name, config)) {
    case Family::kQwen:
      definition.pre_tokenizer = PreTokenizer::named("qwen2", source);
      definition.normalizer.steps.push_back(NormalForm::kNfc);
      add_qwen_specials(first_special, definition);
      break;
    case Family::kGlm4:
      definition.pre_tokenizer = PreTokenizer::named("glm4", source);
      add_glm_prefix(definition);
      break;
    case Family::kKimi:
      definition.pre_tokenizer = PreTokenizer::named("kimi-k2", source);
      add_kimi_specials(first_special, definition);
      break;
  }
  return definition;
}

}  // namespace millrace
