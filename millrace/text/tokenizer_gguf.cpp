// Tokenizers as the metadata of GGUF files, with llama.cpp's meaning of the keys.
#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "millrace/base/error.h"
#include "millrace/text/byte_symbols.h"
#include "millrace/text/pre_tokenizer_names.h"
#include "millrace/text/tokenizer.h"
#include "millrace/text/tokenizer_formats.h"

namespace millrace {
namespace {

constexpr const char* kModelKey = "tokenizer.ggml.model";
constexpr const char* kPreKey = "tokenizer.ggml.pre";
constexpr const char* kTokensKey = "tokenizer.ggml.tokens";
constexpr const char* kTypesKey = "tokenizer.ggml.token_type";
constexpr const char* kMergesKey = "tokenizer.ggml.merges";
constexpr const char* kBosKey = "tokenizer.ggml.bos_token_id";
constexpr const char* kEosKey = "tokenizer.ggml.eos_token_id";
constexpr const char* kEotKey = "tokenizer.ggml.eot_token_id";
constexpr const char* kEomKey = "tokenizer.ggml.eom_token_id";
constexpr const char* kUnkKey = "tokenizer.ggml.unknown_token_id";
constexpr const char* kPadKey = "tokenizer.ggml.padding_token_id";
constexpr const char* kAddBosKey = "tokenizer.ggml.add_bos_token";
constexpr const char* kAddEosKey = "tokenizer.ggml.add_eos_token";

bool is_added(TokenType type) {
  return type == TokenType::kControl || type == TokenType::kUserDefined ||
         type == TokenType::kUnknown;
}

/// An id that some files fill with a number outside of the vocabulary to say that there is none.
int32_t special_id(const GgufMetadata& metadata, const char* key, size_t vocab_size) {
  std::optional<int64_t> id = metadata.get_optional<int64_t>(key);
  bool is_there = id.has_value() && *id >= 0 && static_cast<uint64_t>(*id) < vocab_size;
  return is_there ? static_cast<int32_t>(*id) : kNoToken;
}

std::vector<Token> read_tokens(std::vector<std::string> texts, const std::vector<int32_t>& types) {
  std::vector<Token> tokens(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    Token& token = tokens[i];
    token.type = types.empty() ? TokenType::kNormal : static_cast<TokenType>(types[i]);
    if (token.type == TokenType::kNormal) {
      if (std::optional<std::string> bytes = symbols_to_bytes(texts[i])) {
        token.in_model = !bytes->empty();
        token.bytes = *std::move(bytes);
        continue;
      }
    }
    if (!is_added(token.type)) token.type = TokenType::kUnused;
    token.bytes = std::move(texts[i]);
  }
  return tokens;
}

/// Reads "left right" for each merge; marks the tokens as ones that merges lead to.
std::vector<Merge> read_merges(const GgufMetadata& metadata, std::vector<Token>& tokens,
                               const std::vector<std::string>& texts) {
  std::unordered_map<std::string_view, int32_t> ids;
  ids.reserve(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) ids.emplace(texts[i], static_cast<int32_t>(i));
  auto id_of = [&](std::string_view text) {
    auto found = ids.find(text);
    if (found == ids.end()) {
      fail("{}: key '{}': {} is not in the vocabulary", metadata.source(), kMergesKey, quote(text));
    }
    Token& token = tokens[static_cast<size_t>(found->second)];
    if (!token.in_model) {
      std::optional<std::string> bytes = symbols_to_bytes(text);
      require(bytes.has_value(), "{}: key '{}': {} is not made of bytes", metadata.source(),
              kMergesKey, quote(text));
      token.in_model = true;
      token.bytes = *std::move(bytes);
    }
    return found->second;
  };
  std::vector<Merge> merges;
  std::string result;
  for (const std::string& text : metadata.get_array<std::string>(kMergesKey)) {
    size_t space = text.find(' ', 1);
    if (space == std::string::npos) {
      fail("{}: key '{}': {} is not two tokens with a space between", metadata.source(), kMergesKey,
           quote(text));
    }
    std::string_view left = std::string_view(text).substr(0, space);
    std::string_view right = std::string_view(text).substr(space + 1);
    result.assign(left).append(right);
    merges.push_back({id_of(left), id_of(right), id_of(result)});
  }
  return merges;
}

std::vector<AddedToken> added_tokens(const std::vector<Token>& tokens,
                                     const std::vector<std::string>& texts) {
  std::vector<AddedToken> added;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (!is_added(tokens[i].type) || texts[i].empty()) continue;
    AddedToken token;
    token.id = static_cast<int32_t>(i);
    token.content = texts[i];
    token.special = tokens[i].type != TokenType::kUserDefined;
    added.push_back(std::move(token));
  }
  return added;
}

/// llama.cpp's name of the pre-tokenizer.
std::string_view pre_tokenizer_name(const TokenizerDefinition& definition,
                                    const std::string& where) {
  for (const NamedPreTokenizer& entry : named_pre_tokenizers()) {
    if (entry.ignore_merges == definition.ignore_merges &&
        definition.pre_tokenizer.isolates(entry.expressions)) {
      return entry.names.front();
    }
  }
  fail("{}: this tokenizer's pre-tokenizer has no name in GGUF, so it cannot be written there",
       where);
}

/// The texts of all tokens. llama.cpp wants them to be different and not empty.
std::vector<std::string> token_texts(const TokenizerDefinition& definition,
                                     const std::string& where) {
  std::vector<std::string> texts;
  std::unordered_set<std::string> seen;
  for (size_t i = 0; i < definition.tokens.size(); ++i) {
    std::string text = token_text(definition, static_cast<int32_t>(i));
    if (text.empty()) text = fmt::format("[PAD{}]", i);
    if (!seen.insert(text).second)
      fail("{}: two tokens are written {} in GGUF", where, quote(text));
    texts.push_back(std::move(text));
  }
  return texts;
}

/// Whether `ids` is the one token `id`, which GGUF can say, or none.
bool is_added_around(const std::vector<int32_t>& ids, int32_t id, const std::string& where) {
  if (ids.empty()) return false;
  require(ids.size() == 1 && ids[0] == id && id != kNoToken,
          "{}: GGUF cannot say which tokens this tokenizer puts around a text", where);
  return true;
}

}  // namespace

Tokenizer Tokenizer::from_gguf(const GgufMetadata& metadata) {
  const std::string& source = metadata.source();
  auto model = metadata.get<std::string>(kModelKey);
  require(model == "gpt2",
          "{}: key '{}': tokenizer {} is not supported (only gpt2, which is "
          "byte-level BPE, is)",
          source, kModelKey, quote(model));
  auto pre = metadata.get_optional<std::string>(kPreKey).value_or("default");
  auto texts = metadata.get_array<std::string>(kTokensKey);
  auto types = metadata.get_optional_array<int32_t>(kTypesKey).value_or(std::vector<int32_t>());
  require(types.empty() || types.size() == texts.size(), "{}: key '{}' has {} values for {} tokens",
          source, kTypesKey, types.size(), texts.size());

  TokenizerDefinition definition;
  definition.tokens = read_tokens(texts, types);
  definition.merges = read_merges(metadata, definition.tokens, texts);
  definition.added_tokens = added_tokens(definition.tokens, texts);
  definition.pre_tokenizer = PreTokenizer::named(pre, fmt::format("{}: key '{}'", source, kPreKey));
  const NamedPreTokenizer& named = *find_named_pre_tokenizer(pre);
  definition.ignore_merges = named.ignore_merges;

  definition.bos = special_id(metadata, kBosKey, texts.size());
  definition.eos = special_id(metadata, kEosKey, texts.size());
  definition.eot = special_id(metadata, kEotKey, texts.size());
  definition.unk = special_id(metadata, kUnkKey, texts.size());
  definition.pad = special_id(metadata, kPadKey, texts.size());
  int32_t eom = special_id(metadata, kEomKey, texts.size());
  if (eom != kNoToken) definition.other_ends.push_back(eom);
  if (metadata.get_optional<bool>(kAddBosKey).value_or(named.add_bos) &&
      definition.bos != kNoToken) {
    definition.prefix = {definition.bos};
  }
  if (metadata.get_optional<bool>(kAddEosKey).value_or(false) && definition.eos != kNoToken) {
    definition.suffix = {definition.eos};
  }
  return Tokenizer(std::move(definition), source);
}

void Tokenizer::to_gguf(GgufMetadata& metadata) const {
  const TokenizerDefinition& d = definition();
  const std::string& where = metadata.source();
  std::string_view pre = pre_tokenizer_name(d, where);
  bool add_bos = is_added_around(d.prefix, d.bos, where);
  bool add_eos = is_added_around(d.suffix, d.eos, where);
  std::vector<std::string> texts = token_texts(d, where);
  std::vector<int32_t> types;
  for (const Token& token : d.tokens) types.push_back(static_cast<int32_t>(token.type));
  std::vector<std::string> merges;
  for (const Merge& merge : d.merges) {
    merges.push_back(texts[static_cast<size_t>(merge.left)] + ' ' +
                     texts[static_cast<size_t>(merge.right)]);
  }
  metadata.set(kModelKey, std::string("gpt2"));
  metadata.set(kPreKey, std::string(pre));
  metadata.set_array(kTokensKey, std::move(texts));
  metadata.set_array(kTypesKey, std::move(types));
  metadata.set_array(kMergesKey, std::move(merges));
  const std::pair<const char*, int32_t> ids[] = {
      {kBosKey, d.bos}, {kEosKey, d.eos}, {kEotKey, d.eot}, {kUnkKey, d.unk}, {kPadKey, d.pad}};
  for (const auto& [key, id] : ids) {
    if (id != kNoToken) metadata.set(key, static_cast<uint32_t>(id));
  }
  metadata.set(kAddBosKey, add_bos);
  metadata.set(kAddEosKey, add_eos);
}

}  // namespace millrace
