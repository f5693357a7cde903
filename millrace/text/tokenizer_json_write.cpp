// Writes Hugging Face's tokenizer.json and tokenizer_config.json.
#include <algorithm>
#include <limits>
#include <string>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/text/tokenizer.h"
#include "millrace/text/tokenizer_formats.h"

namespace millrace {
namespace {

Json template_piece(const char* kind, const std::string& id) {
  return {{kind, {{"id", id}, {"type_id", 0}}}};
}

Json post_processor_json(const TokenizerDefinition& definition) {
  if (definition.prefix.empty() && definition.suffix.empty()) {
    if (definition.kind != ModelKind::kByteLevelBpe) return nullptr;
    return {{"type", "ByteLevel"},
            {"add_prefix_space", false},
            {"trim_offsets", true},
            {"use_regex", false}};
  }
  Json single = Json::array(), pair = Json::array(), special = Json::object();
  auto append_tokens = [&](const std::vector<int32_t>& ids) {
    for (int32_t id : ids) {
      std::string text = token_text(definition, id);
      single.push_back(template_piece("SpecialToken", text));
      pair.push_back(template_piece("SpecialToken", text));
      special[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
    }
  };
  append_tokens(definition.prefix);
  single.push_back(template_piece("Sequence", "A"));
  pair.push_back(template_piece("Sequence", "A"));
  pair.push_back(template_piece("Sequence", "B"));
  append_tokens(definition.suffix);
  return {{"type", "TemplateProcessing"},
          {"single", single},
          {"pair", pair},
          {"special_tokens", special}};
}

Json added_token_json(const AddedToken& token) {
  return {{"content", token.content},       {"single_word", token.single_word},
          {"lstrip", token.lstrip},         {"rstrip", token.rstrip},
          {"normalized", token.normalized}, {"special", token.special}};
}

std::vector<const AddedToken*> by_id(const TokenizerDefinition& definition) {
  std::vector<const AddedToken*> sorted;
  for (const AddedToken& token : definition.added_tokens) sorted.push_back(&token);
  std::sort(sorted.begin(), sorted.end(), [](auto* a, auto* b) { return a->id < b->id; });
  return sorted;
}

Json decoder_json(const TokenizerDefinition& definition) {
  if (definition.kind != ModelKind::kByteLevelBpe) return definition.decoder.to_json();
  return {{"type", "ByteLevel"},
          {"add_prefix_space", true},
          {"trim_offsets", true},
          {"use_regex", true}};
}

/// Added tokens stand in the vocabulary too, since Hugging Face's reader takes their ids from
/// there; those that are not, it numbers by itself.
Json vocabulary_json(const TokenizerDefinition& definition) {
  Json vocab = Json::object();
  for (size_t id = 0; id < definition.tokens.size(); ++id) {
    if (definition.tokens[id].bytes.empty()) continue;
    vocab.emplace(token_text(definition, static_cast<int32_t>(id)), id);
  }
  return vocab;
}

Json unknown_json(const TokenizerDefinition& definition) {
  return definition.unknown == kNoToken ? Json() : Json(token_text(definition, definition.unknown));
}

Json bpe_json(const TokenizerDefinition& definition) {
  Json merges = Json::array();
  for (const Merge& merge : definition.merges) {
    merges.push_back({token_text(definition, merge.left), token_text(definition, merge.right)});
  }
  const std::string& end = definition.end_of_word;
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", unknown_json(definition)},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", end.empty() ? Json() : Json(end)},
          {"fuse_unk", definition.fuse_unknown},
          {"byte_fallback", definition.byte_fallback},
          {"ignore_merges", definition.ignore_merges},
          {"vocab", vocabulary_json(definition)},
          {"merges", merges}};
}

/// Tokens that the model cannot find are there to keep their ids, as unlikely as any.
Json unigram_json(const TokenizerDefinition& definition) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const Token& token : definition.tokens) {
    if (token.in_model) lowest = std::min(lowest, token.score);
  }
  Json vocab = Json::array();
  for (size_t id = 0; id < definition.tokens.size(); ++id) {
    const Token& token = definition.tokens[id];
    std::string text = token.bytes.empty() ? fmt::format("[PAD{}]", id) : token.bytes;
    vocab.push_back(
        {text, token.in_model || token.type != TokenType::kNormal ? token.score : lowest});
  }
  bool has_unknown = definition.unknown != kNoToken;
  return {{"type", "Unigram"},
          {"unk_id", has_unknown ? Json(definition.unknown) : Json()},
          {"vocab", vocab},
          {"byte_fallback", definition.byte_fallback}};
}

Json word_piece_json(const TokenizerDefinition& definition) {
  return {{"type", "WordPiece"},
          {"unk_token", unknown_json(definition)},
          {"continuing_subword_prefix", definition.continuing_prefix},
          {"max_input_chars_per_word", definition.max_word_chars},
          {"vocab", vocabulary_json(definition)}};
}

Json model_json(const TokenizerDefinition& definition) {
  switch (definition.kind) {
    case ModelKind::kUnigram:
      return unigram_json(definition);
    case ModelKind::kWordPiece:
      return word_piece_json(definition);
    default:
      return bpe_json(definition);
  }
}

}  // namespace

Json Tokenizer::to_json() const {
  const TokenizerDefinition& d = definition();
  Json added = Json::array();
  for (const AddedToken* token : by_id(d)) {
    Json entry = {{"id", token->id}};
    entry.update(added_token_json(*token));
    added.push_back(std::move(entry));
  }
  for (int32_t id : d.kept) {
    AddedToken kept;
    kept.content = d.tokens[static_cast<size_t>(id)].bytes;
    Json entry = {{"id", id}};
    entry.update(added_token_json(kept));
    added.push_back(std::move(entry));
  }
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", d.normalizer.to_json()},
          {"pre_tokenizer", d.pre_tokenizer.to_json(d.kind == ModelKind::kByteLevelBpe)},
          {"post_processor", post_processor_json(d)},
          {"decoder", decoder_json(d)},
          {"model", model_json(d)}};
}

Json Tokenizer::config_json() const {
  const TokenizerDefinition& d = definition();
  Json decoder = Json::object();
  for (const AddedToken* token : by_id(d)) {
    decoder[std::to_string(token->id)] = added_token_json(*token);
  }
  auto contains = [](const std::vector<int32_t>& ids, int32_t id) {
    return id != kNoToken && std::find(ids.begin(), ids.end(), id) != ids.end();
  };
  Json config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"add_bos_token", contains(d.prefix, d.bos)},
                 {"add_eos_token", contains(d.suffix, d.eos)},
                 {"add_prefix_space", d.pre_tokenizer.add_prefix_space()},
                 {"added_tokens_decoder", decoder},
                 {"clean_up_tokenization_spaces", false}};
  const std::pair<const char*, int32_t> named[] = {
      {"bos_token", d.bos}, {"eos_token", d.eos}, {"unk_token", d.unk}, {"pad_token", d.pad}};
  for (const auto& [name, id] : named) {
    config[name] = id == kNoToken ? Json() : Json(token_text(d, id));
  }
  return config;
}

}  // namespace millrace
