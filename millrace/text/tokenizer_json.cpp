// Reads Hugging Face's tokenizer.json and tokenizer_config.json.
#include <algorithm>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/text/byte_symbols.h"
#include "millrace/text/tokenizer.h"
#include "millrace/text/tokenizer_formats.h"

namespace millrace {
namespace {

const Json kNull = nullptr;

const Json& member(const Json& object, const char* name) {
  if (!object.is_object()) return kNull;
  auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

int32_t id_of(const Json& value, std::string_view source, const char* where) {
  if (!value.is_number_integer() || value < 0 || value > INT32_MAX) {
    fail("{}: {}: an id must be an integer from 0, not {}", source, where, quote(value.dump()));
  }
  return value.get<int32_t>();
}

class JsonReader {
 public:
  JsonReader(const Json& tokenizer, const Json& config, std::string_view source)
      : tokenizer_(tokenizer), config_(config), source_(source) {}

  /// What a configuration adds to a tokenizer that another file describes.
  TokenizerDefinition read_config_of(TokenizerDefinition definition) {
    definition_ = std::move(definition);
    for (size_t i = 0; i < definition_.tokens.size(); ++i) {
      const Token& token = definition_.tokens[i];
      if (!token.bytes.empty()) ids_.emplace(token.bytes, static_cast<int32_t>(i));
    }
    for (const AddedToken& added : definition_.added_tokens) {
      added_ids_.emplace(added.content, added.id);
    }
    read_added_tokens();
    read_config();
    return std::move(definition_);
  }

  TokenizerDefinition read() {
    require(tokenizer_.is_object(), "{}: must be an object", source_);
    definition_.normalizer = Normalizer::from_json(member(tokenizer_, "normalizer"), source_);
    definition_.pre_tokenizer =
        PreTokenizer::from_json(member(tokenizer_, "pre_tokenizer"), source_);
    read_kind();
    if (definition_.kind != ModelKind::kByteLevelBpe) {
      definition_.decoder = Decoder::from_json(member(tokenizer_, "decoder"), source_);
    }
    if (definition_.kind == ModelKind::kUnigram) {
      read_scored_pieces();
    } else {
      read_vocabulary();
    }
    if (definition_.kind == ModelKind::kBpe || definition_.kind == ModelKind::kByteLevelBpe) {
      read_merges();
    }
    read_added_tokens();
    read_post_processor(member(tokenizer_, "post_processor"));
    read_config();
    return std::move(definition_);
  }

 private:
  const Json& model() const { return member(tokenizer_, "model"); }

  void read_kind() {
    require(model().is_object(), "{}: has no object 'model'", source_);
    auto type = optional_json_field<std::string>(model(), "type", source_).value_or("BPE");
    definition_.byte_fallback = flag("byte_fallback");
    if (type == "BPE") {
      definition_.kind =
          definition_.pre_tokenizer.has_byte_level() ? ModelKind::kByteLevelBpe : ModelKind::kBpe;
      read_bpe_options();
    } else if (type == "Unigram") {
      definition_.kind = ModelKind::kUnigram;
      definition_.fuse_unknown = true;
    } else if (type == "WordPiece") {
      definition_.kind = ModelKind::kWordPiece;
      definition_.continuing_prefix = text("continuing_subword_prefix", "##");
      definition_.max_word_chars =
          optional_json_field<int64_t>(model(), "max_input_chars_per_word", source_).value_or(100);
    } else {
      fail("{}: a model of type {} is not supported (BPE, Unigram and WordPiece are)", source_,
           quote(type));
    }
    require(type == "BPE" || !definition_.pre_tokenizer.has_byte_level(),
            "{}: pre_tokenizer ByteLevel with a model of type {} is not supported", source_,
            quote(type));
  }

  void read_bpe_options() {
    require(text("continuing_subword_prefix", "").empty(),
            "{}: model: continuing_subword_prefix is not supported", source_);
    definition_.end_of_word = text("end_of_word_suffix", "");
    if (definition_.kind == ModelKind::kByteLevelBpe) {
      require(definition_.end_of_word.empty() && !definition_.byte_fallback,
              "{}: model: end_of_word_suffix and byte_fallback are not supported with ByteLevel",
              source_);
    }
    require(optional_json_field<double>(model(), "dropout", source_).value_or(0) == 0,
            "{}: model: dropout is not supported: encoding has to be deterministic", source_);
    definition_.ignore_merges = flag("ignore_merges");
    definition_.fuse_unknown = flag("fuse_unk");
  }

  bool flag(const char* name) const {
    return optional_json_field<bool>(model(), name, source_).value_or(false);
  }

  std::string text(const char* name, const char* otherwise) const {
    return optional_json_field<std::string>(model(), name, source_).value_or(otherwise);
  }

  /// Makes room for an id. Files have few holes between ids, so a large one is a mistake, and not
  /// a reason to fill the memory.
  Token& token_at(int32_t id) {
    size_t limit = 2 * (std::max(ids_.size(), member(model(), "vocab").size()) +
                        member(tokenizer_, "added_tokens").size());
    constexpr size_t kFewHoles = 1024;
    require(static_cast<size_t>(id) < limit + kFewHoles,
            "{}: token id {} is too large for a vocabulary of this size", source_, id);
    if (definition_.tokens.size() <= static_cast<size_t>(id)) {
      definition_.tokens.resize(static_cast<size_t>(id) + 1);
    }
    return definition_.tokens[static_cast<size_t>(id)];
  }

  void read_vocabulary() {
    const Json& vocab = member(model(), "vocab");
    require(vocab.is_object() && !vocab.empty(), "{}: model: has no object 'vocab'", source_);
    definition_.tokens.reserve(vocab.size());
    for (const auto& [text, id_value] : vocab.items()) {
      int32_t id = id_of(id_value, source_, "model: vocab");
      Token& token = token_at(id);
      require(token.bytes.empty(), "{}: model: vocab: two tokens have the id {}", source_, id);
      ids_.emplace(text, id);
      if (definition_.kind != ModelKind::kByteLevelBpe) {
        set_piece(token, text);
        continue;
      }
      std::optional<std::string> bytes = symbols_to_bytes(text);
      token.in_model = bytes.has_value() && !bytes->empty();
      token.type = token.in_model ? TokenType::kNormal : TokenType::kUnused;
      token.bytes = token.in_model ? *std::move(bytes) : text;
    }
    if (auto unknown = optional_json_field<std::string>(model(), "unk_token", source_)) {
      definition_.unknown = definition_.unk = vocabulary_id(*unknown, "unk_token");
    }
  }

  void set_piece(Token& token, const std::string& text) {
    bool is_byte = definition_.byte_fallback && byte_of_token(text) >= 0;
    token.bytes = text;
    token.in_model = !text.empty();
    token.type = is_byte ? TokenType::kByte : TokenType::kNormal;
  }

  /// Unigram has an array of pieces with their scores.
  void read_scored_pieces() {
    const Json& vocab = member(model(), "vocab");
    require(vocab.is_array() && !vocab.empty(), "{}: model: has no array 'vocab'", source_);
    definition_.tokens.resize(vocab.size());
    for (size_t i = 0; i < vocab.size(); ++i) {
      const Json& entry = vocab[i];
      require(entry.is_array() && entry.size() == 2 && entry[0].is_string() && entry[1].is_number(),
              "{}: model: vocab: entry {} is not a piece and its score", source_, i);
      const auto& piece = entry[0].get_ref<const std::string&>();
      set_piece(definition_.tokens[i], piece);
      definition_.tokens[i].score = entry[1].get<double>();
      ids_.emplace(piece, static_cast<int32_t>(i));
    }
    if (member(model(), "unk_id").is_null()) return;
    int32_t unknown = id_of(member(model(), "unk_id"), source_, "model: unk_id");
    require(static_cast<size_t>(unknown) < vocab.size(), "{}: model: unk_id {} is no piece's",
            source_, unknown);
    definition_.unknown = definition_.unk = unknown;
  }

  int32_t vocabulary_id(const std::string& text, const char* where) const {
    auto found = ids_.find(text);
    if (found == ids_.end()) {
      fail("{}: model: {}: {} is not in the vocabulary", source_, where, quote(text));
    }
    return found->second;
  }

  void read_merges() {
    const Json& merges = member(model(), "merges");
    require(merges.is_array(), "{}: model: has no array 'merges'", source_);
    definition_.merges.reserve(merges.size());
    for (const Json& merge : merges) {
      auto [left, right] = merge_texts(merge);
      definition_.merges.push_back({vocabulary_id(left, "merges"), vocabulary_id(right, "merges"),
                                    vocabulary_id(left + right, "merges")});
    }
  }

  /// A merge is ["left", "right"], or "left right" in older files.
  std::pair<std::string, std::string> merge_texts(const Json& merge) const {
    if (merge.is_string()) {
      const auto& text = merge.get_ref<const std::string&>();
      size_t space = text.find(' ');
      if (space != std::string::npos && text.find(' ', space + 1) == std::string::npos) {
        return {text.substr(0, space), text.substr(space + 1)};
      }
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() &&
               merge[1].is_string()) {
      return {merge[0].get<std::string>(), merge[1].get<std::string>()};
    }
    fail("{}: model: merges: {} is not two tokens", source_, quote(merge.dump()));
  }

  void read_added_tokens() {
    const Json& added = member(tokenizer_, "added_tokens");
    if (!added.is_null()) {
      require(added.is_array(), "{}: 'added_tokens' must be an array", source_);
      for (const Json& entry : added) {
        add_token(entry, json_field<int32_t>(entry, "id", source_));
      }
    }
    // transformers adds those that only the configuration has.
    const Json& decoder = member(config_, "added_tokens_decoder");
    if (decoder.is_null()) return;
    require(decoder.is_object(), "{}: 'added_tokens_decoder' must be an object", source_);
    for (const auto& [key, entry] : decoder.items()) {
      Json id = Json::parse(key, nullptr, false);
      add_token(entry, id_of(id, source_, "added_tokens_decoder"));
    }
  }

  void add_token(const Json& entry, int32_t id) {
    auto entry_flag = [&](const char* name, bool otherwise) {
      return optional_json_field<bool>(entry, name, source_).value_or(otherwise);
    };
    AddedToken added;
    added.content = json_field<std::string>(entry, "content", source_);
    added.special = entry_flag("special", false);
    added.single_word = entry_flag("single_word", false);
    added.lstrip = entry_flag("lstrip", false);
    added.rstrip = entry_flag("rstrip", false);
    added.normalized = entry_flag("normalized", !added.special);
    if (added.content.empty() || find_added(added.content) != kNoToken) return;
    // Where the model has the token, its id counts.
    auto found = ids_.find(added.content);
    added.id = found != ids_.end() ? found->second : id;
    Token& token = token_at(added.id);
    require(token.bytes.empty() || found != ids_.end(),
            "{}: added_tokens: {} has the id {}, which another token has", source_,
            quote(added.content), id);
    if (!token.in_model) token.bytes = added.content;
    added_ids_.emplace(added.content, added.id);
    definition_.added_tokens.push_back(std::move(added));
  }

  int32_t find_added(const std::string& content) const {
    auto found = added_ids_.find(content);
    return found == added_ids_.end() ? kNoToken : found->second;
  }

  void read_post_processor(const Json& processor) {
    if (processor.is_null()) return;
    std::string type = json_field<std::string>(processor, "type", source_);
    if (type == "Sequence") {
      const Json& steps = member(processor, "processors");
      require(steps.is_array(), "{}: post_processor: a Sequence needs an array 'processors'",
              source_);
      for (const Json& step : steps) read_post_processor(step);
    } else if (type == "TemplateProcessing") {
      read_template(processor);
    } else if (type == "RobertaProcessing" || type == "BertProcessing") {
      definition_.prefix = {named_id(member(processor, "cls"))};
      definition_.suffix = {named_id(member(processor, "sep"))};
    } else {
      require(type == "ByteLevel", "{}: post_processor {} is not supported", source_, quote(type));
    }
  }

  /// The id of a pair of a token and its id.
  int32_t named_id(const Json& pair) const {
    require(pair.is_array() && pair.size() == 2, "{}: post_processor: {} is not a token and its id",
            source_, quote(pair.dump()));
    return id_of(pair[1], source_, "post_processor");
  }

  void read_template(const Json& processor) {
    const Json& pieces = member(processor, "single");
    require(pieces.is_array(), "{}: post_processor: has no array 'single'", source_);
    definition_.prefix.clear();
    definition_.suffix.clear();
    int texts = 0;
    for (const Json& piece : pieces) {
      if (!member(piece, "Sequence").is_null()) {
        ++texts;
        continue;
      }
      const Json& special = member(piece, "SpecialToken");
      require(special.is_object(), "{}: post_processor: {} is no piece of a template", source_,
              quote(piece.dump()));
      auto name = json_field<std::string>(special, "id", source_);
      const Json& ids = member(member(member(processor, "special_tokens"), name.c_str()), "ids");
      require(ids.is_array(), "{}: post_processor: special token {} has no ids", source_,
              quote(name));
      auto& side = texts == 0 ? definition_.prefix : definition_.suffix;
      for (const Json& id : ids) side.push_back(id_of(id, source_, "post_processor"));
    }
    require(texts == 1, "{}: post_processor: a template needs the text once", source_);
  }

  void read_config() {
    definition_.bos = configured_token("bos_token", definition_.bos);
    definition_.eos = configured_token("eos_token", definition_.eos);
    definition_.unk = configured_token("unk_token", definition_.unk);
    definition_.pad = configured_token("pad_token", definition_.pad);
    // What the configuration says of these goes before the template, as in llama.cpp's converter.
    add_or_remove(definition_.prefix, "add_bos_token", definition_.bos);
    add_or_remove(definition_.suffix, "add_eos_token", definition_.eos);
  }

  int32_t configured_token(const char* name, int32_t otherwise) const {
    const Json& value = member(config_, name);
    if (value.is_null()) return otherwise;
    std::string content = value.is_object() ? json_field<std::string>(value, "content", source_)
                                            : json_field<std::string>(config_, name, source_);
    if (content.empty()) return otherwise;
    int32_t id = find_added(content);
    if (id != kNoToken) return id;
    auto found = ids_.find(content);
    return found == ids_.end() ? otherwise : found->second;
  }

  void add_or_remove(std::vector<int32_t>& ids, const char* name, int32_t id) const {
    if (!config_.is_object() || id == kNoToken) return;
    std::optional<bool> wanted = optional_json_field<bool>(config_, name, source_);
    if (!wanted.has_value()) return;
    ids.erase(std::remove(ids.begin(), ids.end(), id), ids.end());
    if (*wanted) ids.push_back(id);
  }

  const Json& tokenizer_;
  const Json& config_;
  std::string_view source_;
  TokenizerDefinition definition_;
  std::unordered_map<std::string, int32_t> ids_;  // of the model's vocabulary
  std::unordered_map<std::string, int32_t> added_ids_;
};

}  // namespace

TokenizerDefinition tokenizer_definition_from_json(const Json& tokenizer, const Json& config,
                                                   std::string_view source) {
  return JsonReader(tokenizer, config, source).read();
}

TokenizerDefinition with_tokenizer_config(TokenizerDefinition definition, const Json& config,
                                          std::string_view source) {
  return JsonReader(kNull, config, source).read_config_of(std::move(definition));
}

Tokenizer Tokenizer::from_json(const Json& tokenizer, const Json& config, std::string_view source) {
  return Tokenizer(tokenizer_definition_from_json(tokenizer, config, source), source);
}

}  // namespace millrace
