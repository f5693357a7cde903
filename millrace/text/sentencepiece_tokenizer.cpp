#include "millrace/text/sentencepiece_tokenizer.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/text/tokenizer.h"

namespace millrace {
namespace {

using PieceType = SentencePieceModel::PieceType;

TokenType token_type(PieceType type) {
  return static_cast<TokenType>(type);  // the numbers are the same
}

int32_t id_in(int64_t id, size_t size) {
  return id >= 0 && static_cast<uint64_t>(id) < size ? static_cast<int32_t>(id) : kNoToken;
}

AddedToken added_token(int32_t id, const std::string& content, bool is_special) {
  AddedToken added;
  added.id = id;
  added.content = content;
  added.special = is_special;
  return added;
}

void add_pieces(const SentencePieceModel& model, std::string_view source,
                TokenizerDefinition& definition) {
  std::unordered_set<std::string_view> seen;
  for (const SentencePieceModel::Piece& piece : model.pieces) {
    auto id = static_cast<int32_t>(definition.tokens.size());
    if (!seen.insert(piece.text).second) {
      fail("{}: piece {} is there twice", source, quote(piece.text));
    }
    require(piece.text.size() <= PieceTrie::kLongest, "{}: piece {} has {} bytes; {} are allowed",
            source, id, piece.text.size(), PieceTrie::kLongest);
    Token token;
    token.bytes = piece.text;
    token.type = token_type(piece.type);
    token.score = static_cast<double>(piece.score);
    token.in_model = piece.type == PieceType::kNormal || piece.type == PieceType::kUserDefined;
    definition.tokens.push_back(std::move(token));
    if (piece.type == PieceType::kUnknown) {
      require(definition.unknown == kNoToken, "{}: has two unknown pieces", source);
      definition.unknown = definition.unk = id;
      definition.added_tokens.push_back(added_token(id, piece.text, true));
    } else if (piece.type == PieceType::kControl) {
      definition.added_tokens.push_back(added_token(id, piece.text, true));
    } else if (piece.type == PieceType::kUserDefined) {
      if (looks_like_control(piece.text)) {
        definition.added_tokens.push_back(added_token(id, piece.text, false));
      } else {
        definition.kept.push_back(id);
      }
    }
  }
  require(definition.unknown != kNoToken, "{}: has no unknown piece", source);
}

SentencePieceNormalizer normalizer_of(const SentencePieceModel& model, std::string_view source,
                                      const TokenizerDefinition& definition) {
  SentencePieceNormalizer normalizer;
  normalizer.add_dummy_prefix = model.add_dummy_prefix;
  normalizer.remove_extra_whitespaces = model.remove_extra_whitespaces;
  normalizer.escape_whitespaces = model.escape_whitespaces;
  normalizer.treat_whitespace_as_suffix = model.treat_whitespace_as_suffix;
  if (!model.precompiled_charsmap.empty()) {
    normalizer.map = std::make_shared<PrecompiledMap>(model.precompiled_charsmap, source);
  }
  if (!definition.kept.empty()) {
    auto kept = std::make_shared<PieceTrie>();
    for (int32_t id : definition.kept) {
      kept->add(definition.tokens[static_cast<size_t>(id)].bytes, id);
    }
    normalizer.kept = std::move(kept);
  }
  return normalizer;
}

/// Tokens with merges to make, the highest score first.
std::vector<int32_t> by_score(const TokenizerDefinition& definition,
                              const std::unordered_set<int32_t>& kept) {
  std::vector<int32_t> ids;
  for (size_t i = 0; i < definition.tokens.size(); ++i) {
    auto id = static_cast<int32_t>(i);
    const Token& token = definition.tokens[i];
    if (token.in_model && token.bytes.size() <= PieceTrie::kLongest && kept.count(id) == 0) {
      ids.push_back(id);
    }
  }
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
    return definition.tokens[static_cast<size_t>(a)].score >
           definition.tokens[static_cast<size_t>(b)].score;
  });
  return ids;
}

}  // namespace

bool looks_like_control(std::string_view token) {
  return (token.starts_with("<|") && token.ends_with("|>")) ||
         (token.starts_with("<｜") && token.ends_with("｜>"));
}

void set_merges_by_score(TokenizerDefinition& definition) {
  const std::unordered_set<int32_t> kept(definition.kept.begin(), definition.kept.end());
  const std::vector<int32_t> ids = by_score(definition, kept);
  auto token = [&](int32_t id) -> const Token& {
    return definition.tokens[static_cast<size_t>(id)];
  };
  std::unordered_map<std::string_view, int32_t> by_text;
  by_text.reserve(ids.size());
  for (int32_t id : ids) by_text.emplace(token(id).bytes, id);
  auto find = [&](std::string_view text) {
    auto found = by_text.find(text);
    return found == by_text.end() ? kNoToken : found->second;
  };
  definition.merges.clear();
  definition.merge_ranks.clear();
  uint32_t rank = 0;
  double last_score = std::numeric_limits<double>::infinity();
  for (int32_t id : ids) {
    std::string_view text = token(id).bytes;
    if (token(id).score < last_score) ++rank;
    last_score = token(id).score;
    for (size_t at = 1; at < text.size(); ++at) {
      int32_t left = find(text.substr(0, at));
      if (left == kNoToken) continue;
      int32_t right = find(text.substr(at));
      if (right == kNoToken) continue;
      definition.merges.push_back({left, right, id});
      definition.merge_ranks.push_back(rank);
    }
  }
}

Decoder sentencepiece_decoder(bool adds_prefix, bool removes_spaces, bool byte_fallback) {
  Decoder decoder;
  decoder.steps.push_back({Decoder::Step::kReplace, std::string(kSpaceSymbol), " "});
  if (byte_fallback) decoder.steps.push_back({Decoder::Step::kByteFallback, "", ""});
  if (adds_prefix || removes_spaces) {
    constexpr int64_t kAll = std::numeric_limits<int32_t>::max();
    decoder.strip = std::string(1, ' ');
    decoder.strip_count = removes_spaces ? kAll : 1;
  }
  return decoder;
}

TokenizerDefinition sentencepiece_definition(const SentencePieceModel& model,
                                             std::string_view source) {
  TokenizerDefinition definition;
  switch (model.type) {
    case SentencePieceModel::Type::kUnigram:
      definition.kind = ModelKind::kUnigram;
      definition.as_sentencepiece = true;
      break;
    case SentencePieceModel::Type::kBpe:
      definition.kind = ModelKind::kBpe;
      break;
    default:
      fail("{}: SentencePiece's word and char models are not supported (BPE and unigram are)",
           source);
  }
  definition.fuse_unknown = true;
  definition.byte_fallback = model.byte_fallback;
  add_pieces(model, source, definition);
  definition.normalizer.steps.push_back(normalizer_of(model, source, definition));
  definition.decoder = sentencepiece_decoder(model.add_dummy_prefix, model.remove_extra_whitespaces,
                                             model.byte_fallback);
  if (definition.kind == ModelKind::kBpe) set_merges_by_score(definition);
  definition.bos = id_in(model.bos_id, model.pieces.size());
  definition.eos = id_in(model.eos_id, model.pieces.size());
  definition.pad = id_in(model.pad_id, model.pieces.size());
  return definition;
}

}  // namespace millrace
