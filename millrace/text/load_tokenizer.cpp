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
#include "millrace/text/vocabulary_files.h"

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
constexpr const char* kFileNames[] = {"tokenizer.json",     "tokenizer.model", "spiece.model",
                                      "cog-pretrain.model", "tiktoken.model",  "qwen.tiktoken",
                                      "vocab.txt",          "vocab.json"};

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

/// The configuration beside a file. What older models added to a vocabulary has a file of its own.
Json read_config(const std::filesystem::path& folder) {
  Json config = read_json_if_there(folder / "tokenizer_config.json");
  const std::filesystem::path file = folder / "added_tokens.json";
  const Json added = read_json_if_there(file);
  if (added.is_null() || (config.is_object() && config.contains("added_tokens_decoder"))) {
    return config;
  }
  require(added.is_object(), "{}: must be an object of tokens and their ids", file.string());
  if (config.is_null()) config = Json::object();
  for (const auto& [content, id] : added.items()) {
    require(id.is_number_unsigned(), "{}: the id of {} is no number", file.string(),
            quote(content));
    config["added_tokens_decoder"][std::to_string(id.get<uint64_t>())] = {{"content", content},
                                                                          {"special", true}};
  }
  return config;
}

/// The tokenizer of a file with the configuration beside it.
TokenizerDefinition read_definition(const std::filesystem::path& path) {
  const std::string source = path.string();
  const Json config = read_config(path.parent_path());
  if (path.filename() == "vocab.json") {
    return merges_definition(read_json(path), read_file(path.parent_path() / "merges.txt"), config,
                             source);
  }
  if (path.extension() == ".json") {
    return tokenizer_definition_from_json(read_json(path), config, source);
  }
  const std::string content = read_file(path);
  if (path.extension() == ".txt") return word_piece_definition(content, config, source);
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
