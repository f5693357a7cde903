// Tokenizers as Hugging Face's tokenizer.json and tokenizer_config.json.
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

  TokenizerDefinition read() {
    require(tokenizer_.is_object(), "{}: must be an object", source_);
    check_model();
    definition_.normalizer = normalizer_from_json(member(tokenizer_, "normalizer"), source_);
    definition_.pre_tokenizer =
        PreTokenizer::from_json(member(tokenizer_, "pre_tokenizer"), source_);
    read_vocabulary();
    read_merges();
    read_added_tokens();
    read_post_processor(member(tokenizer_, "post_processor"));
    read_config();
    return std::move(definition_);
  }

 private:
  const Json& model() const { return member(tokenizer_, "model"); }

  void check_model() {
    require(model().is_object(), "{}: has no object 'model'", source_);
    auto type = optional_json_field<std::string>(model(), "type", source_).value_or("BPE");
    require(type == "BPE", "{}: a model of type {} is not supported (only BPE is)", source_,
            quote(type));
    for (const char* name : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      require(optional_json_field<std::string>(model(), name, source_).value_or("").empty(),
              "{}: model: {} is not supported", source_, name);
    }
    require(!optional_json_field<bool>(model(), "byte_fallback", source_).value_or(false),
            "{}: model: byte_fallback is not supported: only byte-level tokenizers are", source_);
    require(optional_json_field<double>(model(), "dropout", source_).value_or(0) == 0,
            "{}: model: dropout is not supported: encoding has to be deterministic", source_);
    definition_.ignore_merges =
        optional_json_field<bool>(model(), "ignore_merges", source_).value_or(false);
    definition_.fuse_unknown =
        optional_json_field<bool>(model(), "fuse_unk", source_).value_or(false);
  }

  /// Makes room for an id. Files have few holes between ids, so a large one is a mistake, and not
  /// a reason to fill the memory.
  Token& token_at(int32_t id) {
    size_t limit =
        2 * (member(model(), "vocab").size() + member(tokenizer_, "added_tokens").size());
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
      std::optional<std::string> bytes = symbols_to_bytes(text);
      token.in_model = bytes.has_value() && !bytes->empty();
      token.type = token.in_model ? TokenType::kNormal : TokenType::kUnused;
      token.bytes = token.in_model ? *std::move(bytes) : text;
    }
    if (auto unknown = optional_json_field<std::string>(model(), "unk_token", source_)) {
      definition_.unknown_byte = definition_.unk = vocabulary_id(*unknown, "unk_token");
    }
  }

  int32_t vocabulary_id(const std::string& text, const char* where) const {
    const Json& vocab = member(model(), "vocab");
    auto found = vocab.find(text);
    if (found == vocab.end()) {
      fail("{}: model: {}: {} is not in the vocabulary", source_, where, quote(text));
    }
    return found->get<int32_t>();
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
    auto flag = [&](const char* name, bool otherwise) {
      return optional_json_field<bool>(entry, name, source_).value_or(otherwise);
    };
    AddedToken added;
    added.content = json_field<std::string>(entry, "content", source_);
    added.special = flag("special", false);
    added.single_word = flag("single_word", false);
    added.lstrip = flag("lstrip", false);
    added.rstrip = flag("rstrip", false);
    added.normalized = flag("normalized", !added.special);
    if (added.content.empty() || find_added(added.content) != kNoToken) return;
    // Where the model has the token, its id counts.
    const Json& vocab = member(model(), "vocab");
    auto found = vocab.find(added.content);
    added.id = found != vocab.end() ? found->get<int32_t>() : id;
    Token& token = token_at(added.id);
    require(token.bytes.empty() || found != vocab.end(),
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
    const Json& vocab = member(model(), "vocab");
    auto found = vocab.find(content);
    return found == vocab.end() ? otherwise : found->get<int32_t>();
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
  std::unordered_map<std::string, int32_t> added_ids_;
};

Json template_piece(const char* kind, const std::string& id) {
  return {{kind, {{"id", id}, {"type_id", 0}}}};
}

Json post_processor_json(const TokenizerDefinition& definition) {
  if (definition.prefix.empty() && definition.suffix.empty()) {
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

}  // namespace

TokenizerDefinition tokenizer_definition_from_json(const Json& tokenizer, const Json& config,
                                                   std::string_view source) {
  return JsonReader(tokenizer, config, source).read();
}

Tokenizer Tokenizer::from_json(const Json& tokenizer, const Json& config, std::string_view source) {
  return Tokenizer(tokenizer_definition_from_json(tokenizer, config, source), source);
}

Json Tokenizer::to_json() const {
  const TokenizerDefinition& d = definition();
  Json added = Json::array();
  for (const AddedToken* token : by_id(d)) {
    Json entry = {{"id", token->id}};
    entry.update(added_token_json(*token));
    added.push_back(std::move(entry));
  }
  // Added tokens stand in the vocabulary too, since Hugging Face's reader takes their ids from
  // there; those that are not, it numbers by itself.
  Json vocab = Json::object();
  for (int32_t id = 0; id < vocab_size(); ++id) {
    if (!token_bytes(id).empty()) vocab.emplace(token_text(d, id), id);
  }
  Json merges = Json::array();
  for (const Merge& merge : d.merges) {
    merges.push_back({token_text(d, merge.left), token_text(d, merge.right)});
  }
  Json unk = d.unknown_byte == kNoToken ? Json() : Json(token_text(d, d.unknown_byte));
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", millrace::to_json(d.normalizer)},
          {"pre_tokenizer", d.pre_tokenizer.to_json()},
          {"post_processor", post_processor_json(d)},
          {"decoder",
           {{"type", "ByteLevel"},
            {"add_prefix_space", true},
            {"trim_offsets", true},
            {"use_regex", true}}},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", unk},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", d.fuse_unknown},
            {"byte_fallback", false},
            {"ignore_merges", d.ignore_merges},
            {"vocab", vocab},
            {"merges", merges}}}};
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
