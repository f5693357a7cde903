// Writes tokenizers into the metadata of GGUF files, with llama.cpp's meaning of the keys.
#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <unordered_set>

#include "millrace/base/error.h"
#include "millrace/text/pre_tokenizer_names.h"
#include "millrace/text/tokenizer.h"
#include "millrace/text/tokenizer_formats.h"
#include "millrace/text/tokenizer_gguf_keys.h"

namespace millrace {
namespace {

using namespace gguf_keys;

/// llama.cpp's name of the pre-tokenizer.
std::string_view pre_tokenizer_name(const TokenizerDefinition& definition,
                                    const std::string& where) {
  // With merges in the order of the tokens, words that are tokens are merged from parts anyway.
  bool may_merge = !definition.ignore_merges || !definition.merge_ranks.empty();
  for (bool ignore_merges : {definition.ignore_merges, !may_merge}) {
    for (const NamedPreTokenizer& entry : named_pre_tokenizers()) {
      if (entry.ignore_merges == ignore_merges &&
          definition.pre_tokenizer.isolates(entry.expressions)) {
        return entry.names.front();
      }
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

/// As GGUF has them: pieces that SentencePiece finds first are user-defined.
std::vector<int32_t> token_types(const TokenizerDefinition& definition) {
  std::vector<int32_t> types;
  for (const Token& token : definition.tokens) types.push_back(static_cast<int32_t>(token.type));
  for (int32_t id : definition.kept) {
    types[static_cast<size_t>(id)] = static_cast<int32_t>(TokenType::kUserDefined);
  }
  if (definition.kind != ModelKind::kByteLevelBpe && definition.unknown != kNoToken) {
    types[static_cast<size_t>(definition.unknown)] = static_cast<int32_t>(TokenType::kUnknown);
  }
  return types;
}

void write_byte_level(const TokenizerDefinition& definition, GgufMetadata& metadata) {
  const std::string& where = metadata.source();
  std::string_view pre = pre_tokenizer_name(definition, where);
  std::vector<std::string> texts = token_texts(definition, where);
  std::vector<std::string> merges;
  for (const Merge& merge : definition.merges) {
    merges.push_back(texts[static_cast<size_t>(merge.left)] + ' ' +
                     texts[static_cast<size_t>(merge.right)]);
  }
  metadata.set(kModelKey, std::string("gpt2"));
  metadata.set(kPreKey, std::string(pre));
  metadata.set_array(kTokensKey, std::move(texts));
  metadata.set_array(kTypesKey, token_types(definition));
  metadata.set_array(kMergesKey, std::move(merges));
}

/// What SentencePiece does to text, from the steps that tokenizer.json has for it. Throws where
/// they do something else.
SentencePieceNormalizer sentencepiece_normalizer(const TokenizerDefinition& definition,
                                                 const std::string& where) {
  const std::vector<NormalizerStep>& steps = definition.normalizer.steps;
  if (steps.size() == 1 && std::holds_alternative<SentencePieceNormalizer>(steps[0])) {
    return std::get<SentencePieceNormalizer>(steps[0]);
  }
  SentencePieceNormalizer result;
  const PreTokenizer& words = definition.pre_tokenizer;
  result.add_dummy_prefix = words.has_metaspace() && words.prepend_scheme() != "never";
  bool escapes = words.has_metaspace();
  for (const NormalizerStep& step : steps) {
    const auto* prepend = std::get_if<Prepend>(&step);
    const auto* replace = std::get_if<Replace>(&step);
    const auto* map = std::get_if<Precompiled>(&step);
    if (prepend != nullptr && prepend->text == kSpaceSymbol && !result.add_dummy_prefix) {
      result.add_dummy_prefix = true;
    } else if (replace != nullptr && replace->literal == " " && replace->content == kSpaceSymbol) {
      escapes = true;
    } else if (map != nullptr && result.map == nullptr) {
      result.map = map->map;
    } else if (replace != nullptr && replace->pattern != nullptr &&
               replace->pattern->expression() == " {2,}") {
      result.remove_extra_whitespaces = true;
    } else if (const auto* strip = std::get_if<Strip>(&step); strip == nullptr || !strip->right) {
      fail("{}: GGUF cannot say what this tokenizer's normalizer does: {}", where,
           to_json_text(definition.normalizer.to_json()).substr(0, 200));
    }
  }
  require(escapes, "{}: GGUF cannot say that this tokenizer leaves spaces as they are", where);
  return result;
}

/// The scores of tokens; where merges have only an order, the earlier ones make better tokens.
std::vector<float> merge_scores(const TokenizerDefinition& definition) {
  std::vector<float> scores;
  if (!definition.merge_ranks.empty()) {
    for (const Token& token : definition.tokens) scores.push_back(static_cast<float>(token.score));
    return scores;
  }
  scores.assign(definition.tokens.size(), -static_cast<float>(definition.merges.size()) - 1);
  for (size_t i = definition.merges.size(); i-- > 0;) {
    scores[static_cast<size_t>(definition.merges[i].result)] = -static_cast<float>(i);
  }
  return scores;
}

void write_sentencepiece(const TokenizerDefinition& definition, GgufMetadata& metadata) {
  const std::string& where = metadata.source();
  bool is_unigram = definition.kind == ModelKind::kUnigram;
  SentencePieceNormalizer normalizer = sentencepiece_normalizer(definition, where);
  require(definition.end_of_word.empty() && !normalizer.treat_whitespace_as_suffix &&
              normalizer.escape_whitespaces,
          "{}: GGUF has no words for how this tokenizer ends words or keeps spaces", where);
  require(is_unigram || (normalizer.map == nullptr && !normalizer.remove_extra_whitespaces),
          "{}: GGUF cannot say that a BPE tokenizer changes characters or removes spaces", where);
  std::vector<float> scores;
  if (is_unigram) {
    for (const Token& token : definition.tokens) scores.push_back(static_cast<float>(token.score));
  } else {
    scores = merge_scores(definition);
  }
  metadata.set(kModelKey, std::string(is_unigram ? "t5" : "llama"));
  metadata.set(kPreKey, std::string("default"));
  metadata.set_array(kTokensKey, token_texts(definition, where));
  metadata.set_array(kTypesKey, token_types(definition));
  metadata.set_array(kScoresKey, std::move(scores));
  metadata.set(kAddSpaceKey, normalizer.add_dummy_prefix);
  metadata.set(kRemoveSpacesKey, normalizer.remove_extra_whitespaces);
  if (normalizer.map != nullptr) {
    const std::string& blob = normalizer.map->blob();
    metadata.set_array(kCharacterMapKey, std::vector<uint8_t>(blob.begin(), blob.end()));
  }
}

void write_word_piece(const TokenizerDefinition& definition, GgufMetadata& metadata) {
  const std::string& where = metadata.source();
  const std::vector<NormalizerStep>& steps = definition.normalizer.steps;
  const auto* bert = steps.size() == 1 ? std::get_if<BertNormalizer>(&steps[0]) : nullptr;
  require(bert != nullptr && bert->clean_text && bert->handle_chinese_chars &&
              bert->strip_accents && bert->lowercase,
          "{}: GGUF knows WordPiece with BERT's normalizer for small letters only", where);
  std::vector<std::string> texts = token_texts(definition, where);
  for (size_t i = 0; i < texts.size(); ++i) {
    std::string& text = texts[i];
    if (!definition.tokens[i].in_model || (text.starts_with('[') && text.ends_with(']'))) continue;
    if (text.starts_with(definition.continuing_prefix)) {
      text.erase(0, definition.continuing_prefix.size());
    } else {
      text.insert(0, kSpaceSymbol);
    }
  }
  metadata.set(kModelKey, std::string("bert"));
  metadata.set(kPreKey, std::string("default"));
  metadata.set_array(kTokensKey, std::move(texts));
  metadata.set_array(kTypesKey, token_types(definition));
  require(definition.prefix.size() <= 1 && definition.suffix.size() <= 1,
          "{}: GGUF cannot say which tokens this tokenizer puts around a text", where);
  for (int32_t id : definition.prefix) metadata.set(kClsKey, static_cast<uint32_t>(id));
  for (int32_t id : definition.suffix) metadata.set(kSepKey, static_cast<uint32_t>(id));
}

}  // namespace

void Tokenizer::to_gguf(GgufMetadata& metadata) const {
  const TokenizerDefinition& d = definition();
  switch (d.kind) {
    case ModelKind::kByteLevelBpe:
      write_byte_level(d, metadata);
      break;
    case ModelKind::kWordPiece:
      write_word_piece(d, metadata);
      break;
    default:
      write_sentencepiece(d, metadata);
  }
  int32_t unk = d.kind == ModelKind::kByteLevelBpe ? d.unk : d.unknown;
  const std::pair<const char*, int32_t> ids[] = {
      {kBosKey, d.bos}, {kEosKey, d.eos}, {kEotKey, d.eot}, {kUnkKey, unk}, {kPadKey, d.pad}};
  for (const auto& [key, id] : ids) {
    if (id != kNoToken) metadata.set(key, static_cast<uint32_t>(id));
  }
  if (d.kind == ModelKind::kWordPiece) return;
  metadata.set(kAddBosKey, is_added_around(d.prefix, d.bos, metadata.source()));
  metadata.set(kAddEosKey, is_added_around(d.suffix, d.eos, metadata.source()));
}

}  // namespace millrace
