// Finds a model's tokenizer in a folder, or reads a file of one of the kinds there are.
#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/formats/gguf.h"
#include "millrace/text/sentencepiece_tokenizer.h"
#include "millrace/text/tiktoken_ranks.h"
#include "millrace/text/tokenizer.h"
#include "millrace/text/tokenizer_formats.h"
#include "millrace/text/utf8.h"
#include "millrace/text/whitespace.h"

namespace millrace {
namespace {

Json read_json_if_there(const std::filesystem::path& path) {
  return std::filesystem::exists(path) ? read_json(path) : Json();
}

/// The ids that a model's configuration has under this name: one, several or none.
std::vector<int32_t> configured_ids(const Json& config, const char* name, size_t vocab_size) {
  std::vector<int32_t> ids;
  if (!config.is_object() || !config.contains(name)) return ids;
  const Json& value = config.at(name);
  auto append = [&](const Json& id) {
    if (id.is_number_unsigned() && id.get<uint64_t>() < vocab_size) {
      ids.push_back(id.get<int32_t>());
    }
  };
  if (value.is_array()) {
    for (const Json& id : value) append(id);
  } else {
    append(value);
  }
  return ids;
}

/// Which of a folder's files are read, the first that is there.
constexpr const char* kFileNames[] = {"tokenizer.json", "tokenizer.model", "spiece.model",
                                      "tiktoken.model", "qwen.tiktoken",   "vocab.txt"};

/// SentencePiece's files do not say what their model puts around a text; its class does.
void put_around(const Json& config, TokenizerDefinition& definition) {
  if (!config.is_object()) return;
  auto found = config.find("tokenizer_class");
  if (found == config.end() || !found->is_string()) return;
  auto name = found->get<std::string>();
  if (name.ends_with("Fast")) name.resize(name.size() - std::string_view("Fast").size());
  bool begins =
      name == "LlamaTokenizer" || name == "GemmaTokenizer" || name == "CodeLlamaTokenizer";
  begins = begins || name == "InternLMTokenizer" || name == "InternLM2Tokenizer";
  bool ends = name == "T5Tokenizer";
  if (begins && definition.bos != kNoToken) definition.prefix = {definition.bos};
  if (ends && definition.eos != kNoToken) definition.suffix = {definition.eos};
}

/// BERT's vocabulary: a piece a line.
TokenizerDefinition vocabulary_definition(std::string_view content, const Json& config,
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
    bool is_there = config.is_object() && config.contains(name);
    return is_there ? config.at(name) : otherwise;
  };
  auto token = [&](const char* name, const char* otherwise) {
    Json value = option(name, otherwise);
    if (value.is_object() && value.contains("content")) value = value["content"];
    require(value.is_string(), "{}: tokenizer_config.json: '{}' is no token", source, name);
    return value.get<std::string>();
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

/// The tokenizer of a file with the configuration beside it.
TokenizerDefinition read_definition(const std::filesystem::path& path) {
  const std::string source = path.string();
  const Json config = read_json_if_there(path.parent_path() / "tokenizer_config.json");
  if (path.extension() == ".json") {
    return tokenizer_definition_from_json(read_json(path), config, source);
  }
  const std::string content = read_file(path);
  if (path.extension() == ".txt") return vocabulary_definition(content, config, source);
  if (is_tiktoken_ranks(content)) {
    return tiktoken_definition(content, path.filename().string(), config, source);
  }
  TokenizerDefinition definition =
      sentencepiece_definition(SentencePieceModel::parse(content, source), source);
  put_around(config, definition);
  return with_tokenizer_config(std::move(definition), config, source);
}

Tokenizer load_file(const std::filesystem::path& path) {
  std::filesystem::path folder = path.parent_path();
  TokenizerDefinition definition = read_definition(path);
  size_t vocab_size = definition.tokens.size();
  for (const char* file : {"generation_config.json", "config.json"}) {
    Json config = read_json_if_there(folder / file);
    std::vector<int32_t> bos = configured_ids(config, "bos_token_id", vocab_size);
    std::vector<int32_t> eos = configured_ids(config, "eos_token_id", vocab_size);
    if (definition.bos == kNoToken && !bos.empty()) definition.bos = bos.front();
    if (definition.eos == kNoToken && !eos.empty()) definition.eos = eos.front();
    definition.other_ends.insert(definition.other_ends.end(), eos.begin(), eos.end());
  }
  return Tokenizer(std::move(definition), path.string());
}

/// Any other name that ranks go by.
std::filesystem::path find_ranks(const std::filesystem::path& folder) {
  std::vector<std::filesystem::path> found;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".tiktoken") found.push_back(entry.path());
  }
  return found.size() == 1 ? found.front() : std::filesystem::path();
}

}  // namespace

Tokenizer load_tokenizer(const std::filesystem::path& model) {
  require(std::filesystem::exists(model), "{}: there is no such file or folder", model.string());
  if (!std::filesystem::is_directory(model)) {
    if (model.extension() == ".gguf") return Tokenizer::from_gguf(read_gguf(model).metadata);
    return load_file(model);
  }
  for (const char* name : kFileNames) {
    if (std::filesystem::exists(model / name)) return load_file(model / name);
  }
  std::filesystem::path ranks = find_ranks(model);
  require(!ranks.empty(), "{}: has no tokenizer: looked for {} and one file *.tiktoken",
          model.string(), fmt::join(kFileNames, ", "));
  return load_file(ranks);
}

}  // namespace millrace
