#include "millrace/text/vocabulary_files.h"

#include <algorithm>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/text/tokenizer_formats.h"
#include "millrace/text/utf8.h"
#include "millrace/text/whitespace.h"

namespace millrace {
namespace {

/// What tokenizer_config.json, which may be null, says.
Json option_or(const Json& config, const char* name, const Json& otherwise) {
  const bool is_there = config.is_object() && config.contains(name);
  return is_there ? config.at(name) : otherwise;
}

std::string token_or(const Json& config, const char* name, const char* otherwise,
                     std::string_view source) {
  Json value = option_or(config, name, otherwise);
  if (value.is_object() && value.contains("content")) value = value["content"];
  require(value.is_string(), "{}: tokenizer_config.json: '{}' is no token", source, name);
  return value.get<std::string>();
}

/// Merges as tokenizer.json has them, from one a line.
Json merges_of(std::string_view content, std::string_view source) {
  Json merges = Json::array();
  for (size_t number = 1; !content.empty(); ++number) {
    const size_t end = std::min(content.find('\n'), content.size());
    const std::string_view line = without_trailing_space(content.substr(0, end));
    content.remove_prefix(std::min(content.size(), end + 1));
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    const size_t space = line.find(' ');
    require(is_utf8(line) && space != line.npos && line.find(' ', space + 1) == line.npos,
            "{}: merges.txt: line {} is not two tokens", source, number);
    merges.push_back({line.substr(0, space), line.substr(space + 1)});
  }
  return merges;
}

/// What the class of a byte-level tokenizer puts around a text: which tokens of its configuration,
/// and what they are where it does not say.
struct Around {
  std::string_view tokenizer_class;
  const char *before, *before_default, *behind, *behind_default;
};
constexpr Around kAround[] = {
    {"RobertaTokenizer", "cls_token", "<s>", "sep_token", "</s>"},
    {"RobertaTokenizerFast", "cls_token", "<s>", "sep_token", "</s>"},
    {"GLMGPT2Tokenizer", "cls_token", "[CLS]", "eos_token", "<|endoftext|>"},
};

int32_t id_of(const TokenizerDefinition& definition, std::string_view content) {
  for (const AddedToken& token : definition.added_tokens) {
    if (token.content == content) return token.id;
  }
  return kNoToken;
}

void put_around(const Json& config, std::string_view source, TokenizerDefinition& definition) {
  const auto named = [&](const char* name, const char* otherwise) {
    const std::string content = token_or(config, name, otherwise, source);
    const int32_t id = id_of(definition, content);
    require(id != kNoToken, "{}: there is no {} {}, which is put around a text", source, name,
            quote(content));
    return id;
  };
  for (const Around& around : kAround) {
    if (option_or(config, "tokenizer_class", "") != around.tokenizer_class) continue;
    definition.prefix = {named(around.before, around.before_default)};
    definition.suffix = {named(around.behind, around.behind_default)};
  }
}

/// What begins and ends a text where the configuration does not say: GPT-2's one token for both.
void default_ends(TokenizerDefinition& definition) {
  const int32_t end = id_of(definition, "<|endoftext|>");
  if (definition.bos == kNoToken) {
    definition.bos = definition.prefix.empty() ? end : definition.prefix.front();
  }
  if (definition.eos == kNoToken) {
    definition.eos = definition.suffix.empty() ? end : definition.suffix.back();
  }
}

}  // namespace

TokenizerDefinition word_piece_definition(std::string_view content, const Json& config,
                                          std::string_view source) {
  Json vocab = Json::object();
  for (size_t id = 0; !content.empty(); ++id) {
    size_t end = std::min(content.find('\n'), content.size());
    std::string_view line = without_trailing_space(content.substr(0, end));
    content.remove_prefix(std::min(content.size(), end + 1));
    require(is_utf8(line), "{}: line {} is not UTF-8", source, id + 1);
    if (!line.empty()) vocab[std::string(line)] = id;
  }
  auto option = [&](const char* name, const Json& otherwise) {
    return option_or(config, name, otherwise);
  };
  auto token = [&](const char* name, const char* otherwise) {
    return token_or(config, name, otherwise, source);
  };
  Json added = Json::array();
  for (const auto& [name, otherwise] :
       {std::pair("pad_token", "[PAD]"), std::pair("unk_token", "[UNK]"),
        std::pair("cls_token", "[CLS]"), std::pair("sep_token", "[SEP]"),
        std::pair("mask_token", "[MASK]")}) {
    std::string text = token(name, otherwise);
    if (!vocab.contains(text)) continue;
    added.push_back({{"id", vocab[text]}, {"content", text}, {"special", true}});
  }
  std::string cls = token("cls_token", "[CLS]"), sep = token("sep_token", "[SEP]");
  for (const std::string& text : {cls, sep, token("unk_token", "[UNK]")}) {
    if (!vocab.contains(text)) {
      fail("{}: is no vocabulary of WordPiece: it has no line {}", source, quote(text));
    }
  }
  const Json tokenizer = {
      {"added_tokens", added},
      {"normalizer",
       {{"type", "BertNormalizer"},
        {"clean_text", true},
        {"handle_chinese_chars", option("tokenize_chinese_chars", true)},
        {"strip_accents", option("strip_accents", nullptr)},
        {"lowercase", option("do_lower_case", true)}}},
      {"pre_tokenizer", {{"type", "BertPreTokenizer"}}},
      {"post_processor",
       {{"type", "BertProcessing"}, {"cls", {cls, vocab[cls]}}, {"sep", {sep, vocab[sep]}}}},
      {"decoder", {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}},
      {"model",
       {{"type", "WordPiece"}, {"unk_token", token("unk_token", "[UNK]")}, {"vocab", vocab}}}};
  return tokenizer_definition_from_json(tokenizer, config, source);
}

TokenizerDefinition merges_definition(const Json& vocab, std::string_view merges,
                                      const Json& config, std::string_view source) {
  require(vocab.is_object(), "{}: must be an object of tokens and their ids", source);
  Json added = Json::array();
  const auto add = [&](const std::string& content) {
    const bool there =
        std::ranges::any_of(added, [&](const Json& other) { return other["content"] == content; });
    if (there || !vocab.contains(content)) return;
    added.push_back({{"id", vocab[content]}, {"content", content}, {"special", true}});
  };
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    add(token_or(config, name, "<|endoftext|>", source));
  }
  if (option_or(config, "tokenizer_class", "").dump().starts_with("\"Roberta")) {
    for (const char* name : {"<s>", "<pad>", "</s>", "<unk>", "<mask>"}) add(name);
  }
  for (const Json& content : option_or(config, "additional_special_tokens", Json::array())) {
    if (content.is_string()) add(content.get<std::string>());
  }
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", option_or(config, "add_prefix_space", false)},
                           {"trim_offsets", true},
                           {"use_regex", true}};
  const Json tokenizer = {
      {"added_tokens", added},
      {"pre_tokenizer", byte_level},
      {"decoder", byte_level},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", merges_of(merges, source)}}}};
  TokenizerDefinition definition = tokenizer_definition_from_json(tokenizer, config, source);
  put_around(config, source, definition);
  default_ends(definition);
  return definition;
}

}  // namespace millrace
