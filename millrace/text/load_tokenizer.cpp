// Finds a model's tokenizer in a folder or a GGUF file.
#include <algorithm>

#include "millrace/base/error.h"
#include "millrace/formats/gguf.h"
#include "millrace/text/tokenizer.h"
#include "millrace/text/tokenizer_formats.h"

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

Tokenizer load_json(const std::filesystem::path& path) {
  std::filesystem::path folder = path.parent_path();
  TokenizerDefinition definition = tokenizer_definition_from_json(
      read_json(path), read_json_if_there(folder / "tokenizer_config.json"), path.string());
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

}  // namespace

Tokenizer load_tokenizer(const std::filesystem::path& model) {
  require(std::filesystem::exists(model), "{}: there is no such file or folder", model.string());
  if (std::filesystem::is_directory(model)) {
    std::filesystem::path path = model / "tokenizer.json";
    require(std::filesystem::exists(path),
            "{}: has no tokenizer.json; other files of tokenizers are not supported",
            model.string());
    return load_json(path);
  }
  if (model.extension() == ".gguf") return Tokenizer::from_gguf(read_gguf(model).metadata);
  return load_json(model);
}

}  // namespace millrace
