// Reads tokenizers from the metadata of GGUF files, with llama.cpp's meaning of the keys.
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/text/byte_symbols.h"
#include "millrace/text/pre_tokenizer_names.h"
#include "millrace/text/sentencepiece_tokenizer.h"
#include "millrace/text/tokenizer.h"
#include "millrace/text/tokenizer_gguf_keys.h"

namespace millrace {
namespace {

using namespace gguf_keys;

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

std::vector<Token> read_tokens(const std::vector<std::string>& texts,
                               const std::vector<int32_t>& types) {
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
    token.bytes = texts[i];
  }
  return tokens;
}

/// The ids of texts, of equal ones the lowest. One array that is read at random, instead of a node
/// for each text, since merges ask three times as often as there are texts, and a start waits for
/// them.
class TextIds {
 public:
  explicit TextIds(const std::vector<std::string>& texts)
      : texts_(texts), slots_(std::bit_ceil(2 * texts.size() + 1), kNoToken) {
    for (size_t i = 0; i < texts.size(); ++i) {
      int32_t& slot = slots_[slot_of(texts[i])];
      if (slot == kNoToken) slot = static_cast<int32_t>(i);
    }
  }

  int32_t find(std::string_view text) const { return slots_[slot_of(text)]; }

 private:
  /// Where the text is, or would be.
  size_t slot_of(std::string_view text) const {
    size_t slot = XXH3_64bits(text.data(), text.size()) & (slots_.size() - 1);
    while (slots_[slot] != kNoToken && texts_[static_cast<size_t>(slots_[slot])] != text) {
      slot = (slot + 1) & (slots_.size() - 1);
    }
    return slot;
  }

  const std::vector<std::string>& texts_;
  std::vector<int32_t> slots_;  // at most half of them are taken
};

/// Reads "left right" for each merge; marks the tokens as ones that merges lead to. Texts stand for
/// themselves, or for bytes.
std::vector<Merge> read_merges(const GgufMetadata& metadata, std::vector<Token>& tokens,
                               const std::vector<std::string>& texts, bool of_bytes) {
  const TextIds ids(texts);
  auto id_of = [&](std::string_view text) {
    const int32_t id = ids.find(text);
    if (id == kNoToken) {
      fail("{}: key '{}': {} is not in the vocabulary", metadata.source(), kMergesKey, quote(text));
    }
    Token& token = tokens[static_cast<size_t>(id)];
    if (!token.in_model) {
      std::optional<std::string> bytes =
          of_bytes ? symbols_to_bytes(text) : std::make_optional(std::string(text));
      require(bytes.has_value(), "{}: key '{}': {} is not made of bytes", metadata.source(),
              kMergesKey, quote(text));
      token.in_model = true;
      token.bytes = *std::move(bytes);
    }
    return id;
  };
  const std::vector<std::string>& lines = metadata.get_array<std::string>(kMergesKey);
  std::vector<Merge> merges;
  merges.reserve(lines.size());
  std::string result;
  for (const std::string& text : lines) {
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

void put_around(const GgufMetadata& metadata, bool add_bos, bool add_eos,
                TokenizerDefinition& definition) {
  if (metadata.get_optional<bool>(kAddBosKey).value_or(add_bos) && definition.bos != kNoToken) {
    definition.prefix = {definition.bos};
  }
  if (metadata.get_optional<bool>(kAddEosKey).value_or(add_eos) && definition.eos != kNoToken) {
    definition.suffix = {definition.eos};
  }
}

void read_byte_level(const GgufMetadata& metadata, const std::vector<std::string>& texts,
                     const std::vector<int32_t>& types, TokenizerDefinition& definition) {
  auto pre = metadata.get_optional<std::string>(kPreKey).value_or("default");
  definition.tokens = read_tokens(texts, types);
  definition.merges = read_merges(metadata, definition.tokens, texts, true);
  definition.pre_tokenizer =
      PreTokenizer::named(pre, fmt::format("{}: key '{}'", metadata.source(), kPreKey));
  const NamedPreTokenizer& named = *find_named_pre_tokenizer(pre);
  definition.ignore_merges = named.ignore_merges;
  put_around(metadata, named.add_bos, false, definition);
}

/// Tokens that are pieces of text; of the others only their ids and texts count.
std::vector<Token> read_pieces(const std::vector<std::string>& texts,
                               const std::vector<int32_t>& types) {
  std::vector<Token> tokens(texts.size());
  for (size_t i = 0; i < texts.size(); ++i) {
    Token& token = tokens[i];
    token.type = types.empty() ? TokenType::kNormal : static_cast<TokenType>(types[i]);
    bool is_known =
        is_added(token.type) || token.type == TokenType::kNormal || token.type == TokenType::kByte;
    if (!is_known || texts[i].empty()) token.type = TokenType::kUnused;
    token.in_model = token.type == TokenType::kNormal;
    token.bytes = texts[i];
  }
  return tokens;
}

std::string read_character_map(const GgufMetadata& metadata) {
  std::string map;
  // Bytes, which some files have with a sign.
  for (int32_t byte :
       metadata.get_optional_array<int32_t>(kCharacterMapKey).value_or(std::vector<int32_t>())) {
    map += static_cast<char>(byte & 0xff);
  }
  return map;
}

void read_sentencepiece(const GgufMetadata& metadata, bool is_unigram,
                        const std::vector<std::string>& texts, const std::vector<int32_t>& types,
                        TokenizerDefinition& definition) {
  const std::string& source = metadata.source();
  definition.kind = is_unigram ? ModelKind::kUnigram : ModelKind::kBpe;
  definition.as_sentencepiece = is_unigram;
  definition.fuse_unknown = true;
  definition.tokens = read_pieces(texts, types);
  auto scores = metadata.get_array<float>(kScoresKey);
  require(scores.size() == texts.size(), "{}: key '{}' has {} values for {} tokens", source,
          kScoresKey, scores.size(), texts.size());
  for (size_t i = 0; i < scores.size(); ++i) {
    require(std::isfinite(scores[i]), "{}: key '{}': value {} is no number", source, kScoresKey, i);
    Token& token = definition.tokens[i];
    token.score = static_cast<double>(scores[i]);
    definition.byte_fallback |= token.type == TokenType::kByte;
    if (token.type == TokenType::kUnknown && definition.unknown == kNoToken) {
      definition.unknown = static_cast<int32_t>(i);
    }
  }
  if (definition.unk != kNoToken) definition.unknown = definition.unk;
  definition.unk = definition.unknown;

  SentencePieceNormalizer normalizer;
  normalizer.add_dummy_prefix = metadata.get_optional<bool>(kAddSpaceKey).value_or(true);
  // llama.cpp heeds this for unigram only.
  normalizer.remove_extra_whitespaces =
      is_unigram && metadata.get_optional<bool>(kRemoveSpacesKey).value_or(false);
  std::string map = read_character_map(metadata);
  if (!map.empty()) {
    normalizer.map = std::make_shared<PrecompiledMap>(
        std::move(map), fmt::format("{}: key '{}'", source, kCharacterMapKey));
  }
  definition.decoder = sentencepiece_decoder(
      normalizer.add_dummy_prefix, normalizer.remove_extra_whitespaces, definition.byte_fallback);
  definition.normalizer.steps.push_back(std::move(normalizer));
  if (metadata.has(kMergesKey) && !is_unigram) {  // Gemma 4's, whose scores say nothing
    definition.merges = read_merges(metadata, definition.tokens, texts, false);
  } else if (!is_unigram) {
    set_merges_by_score(definition);
  }
  put_around(metadata, !is_unigram, is_unigram, definition);
}

bool is_bracketed(std::string_view token) {
  return token.starts_with('[') && token.ends_with(']');
}

/// GGUF marks the pieces that begin a word, tokenizer.json those that do not.
void read_word_piece(const GgufMetadata& metadata, const std::vector<std::string>& texts,
                     const std::vector<int32_t>& types, TokenizerDefinition& definition) {
  definition.kind = ModelKind::kWordPiece;
  definition.tokens = read_pieces(texts, types);
  for (Token& token : definition.tokens) {
    if (!token.in_model || is_bracketed(token.bytes)) continue;
    if (token.bytes.starts_with(kSpaceSymbol)) {
      token.bytes.erase(0, kSpaceSymbol.size());
      token.in_model = !token.bytes.empty();
    } else {
      token.bytes.insert(0, definition.continuing_prefix);
    }
  }
  definition.unknown = definition.unk;
  definition.normalizer.steps.push_back(BertNormalizer());
  definition.pre_tokenizer =
      PreTokenizer::from_json({{"type", "BertPreTokenizer"}}, metadata.source());
  definition.decoder.steps.push_back(
      {Decoder::Step::kWordPiece, definition.continuing_prefix, " ", true});
  int32_t cls = special_id(metadata, kClsKey, texts.size());
  int32_t sep = special_id(metadata, kSepKey, texts.size());
  if (cls == kNoToken) cls = definition.bos;
  if (sep == kNoToken) sep = definition.eos;
  if (cls != kNoToken) definition.prefix = {cls};
  if (sep != kNoToken) definition.suffix = {sep};
}

}  // namespace

Tokenizer Tokenizer::from_gguf(const GgufMetadata& metadata) {
  const std::string& source = metadata.source();
  auto model = metadata.get<std::string>(kModelKey);
  auto texts = metadata.get_array<std::string>(kTokensKey);
  auto types = metadata.get_optional_array<int32_t>(kTypesKey).value_or(std::vector<int32_t>());
  require(types.empty() || types.size() == texts.size(), "{}: key '{}' has {} values for {} tokens",
          source, kTypesKey, types.size(), texts.size());
  TokenizerDefinition definition;
  definition.bos = special_id(metadata, kBosKey, texts.size());
  definition.eos = special_id(metadata, kEosKey, texts.size());
  definition.eot = special_id(metadata, kEotKey, texts.size());
  definition.unk = special_id(metadata, kUnkKey, texts.size());
  definition.pad = special_id(metadata, kPadKey, texts.size());
  int32_t eom = special_id(metadata, kEomKey, texts.size());
  if (eom != kNoToken) definition.other_ends.push_back(eom);
  if (model == "gpt2") {
    read_byte_level(metadata, texts, types, definition);
  } else if (model == "llama" || model == "t5" || model == "gemma4") {
    read_sentencepiece(metadata, model == "t5", texts, types, definition);
  } else if (model == "bert") {
    read_word_piece(metadata, texts, types, definition);
  } else {
    fail("{}: key '{}': tokenizer {} is not supported (gpt2, llama, gemma4, t5 and bert are)",
         source, kModelKey, quote(model));
  }
  definition.added_tokens = added_tokens(definition.tokens, texts);
  return Tokenizer(std::move(definition), source);
}

}  // namespace millrace
