#include "millrace/model/indexer_fields.h"

#include <algorithm>

#include "millrace/base/error.h"

namespace millrace {
namespace {

/// One letter for each layer: F has an indexer, S shares one.
void read_pattern(const std::string& pattern, std::string_view source, ModelConfig& config) {
  require(pattern.size() == static_cast<size_t>(config.num_layers) &&
              pattern.find_first_not_of("FS") == std::string::npos,
          "{}: index_topk_pattern is {}; it must be {} letters F or S", source, quote(pattern),
          config.num_layers);
  for (const char letter : pattern) {
    config.indexer.layers.push_back(letter == 'F' ? IndexerKind::own : IndexerKind::shared);
  }
}

}  // namespace

void read_indexer_fields(const Json& json, std::string_view source, ModelConfig& config) {
  KeySelector& selector = config.indexer.selector;
  selector.num_heads = json_field<int64_t>(json, "index_n_heads", source);
  selector.head_dim = json_field<int64_t>(json, "index_head_dim", source);
  selector.count = json_field<int64_t>(json, "index_topk", source);
  require(selector.num_heads > 0, "{}: index_n_heads is {}; it must be positive", source,
          selector.num_heads);
  for (const Json& type : json.value("layer_types", Json::array())) {
    require(type == "indexed_attention", "{}: layer_types has {}, which is not supported", source,
            quote(type.dump()));
  }
  require(config.latent.q_rank > 0, "{}: an indexer's queries are made of those of q_lora_rank",
          source);
}

void write_indexer_fields(const ModelConfig& config, Json& json) {
  const KeySelector& selector = config.indexer.selector;
  json["index_n_heads"] = selector.num_heads;
  json["index_head_dim"] = selector.head_dim;
  json["index_topk"] = selector.count;
}

void read_indexer_types(const Json& json, std::string_view source, ModelConfig& config) {
  std::vector<IndexerKind>& layers = config.indexer.layers;
  const auto types = json.find("indexer_types");
  if (types != json.end() && !types->is_null()) {
    require(types->is_array(), "{}: indexer_types must be an array", source);
    for (const Json& type : *types) {
      require(type == "full" || type == "shared",
              "{}: indexer_types has {}; it must be full or shared", source, quote(type.dump()));
      layers.push_back(type == "full" ? IndexerKind::own : IndexerKind::shared);
    }
    return;
  }
  if (const auto pattern = optional_json_field<std::string>(json, "index_topk_pattern", source)) {
    return read_pattern(*pattern, source, config);
  }
  const auto period = optional_json_field<int64_t>(json, "index_topk_freq", source).value_or(1);
  const auto first =
      optional_json_field<int64_t>(json, "index_skip_topk_offset", source).value_or(2);
  require(period > 0 && first > 0, "{}: index_topk_freq is {}, index_skip_topk_offset {}", source,
          period, first);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    const bool own = std::max<int64_t>(i - first + 1, 0) % period == 0;
    layers.push_back(own ? IndexerKind::own : IndexerKind::shared);
  }
}

void write_indexer_types(const ModelConfig& config, Json& json) {
  json["indexer_types"] = Json::array();
  for (int64_t i = 0; i < config.num_layers; ++i) {
    json["indexer_types"].push_back(config.indexer_of(i) == IndexerKind::own ? "full" : "shared");
  }
}

void read_indexer_keys(const GgufFile& file, const std::string& architecture, ModelConfig& config) {
  const std::string prefix = architecture + ".attention.indexer.";
  KeySelector& selector = config.indexer.selector;
  selector.num_heads = file.metadata.get<int64_t>(prefix + "head_count");
  selector.head_dim = file.metadata.get<int64_t>(prefix + "key_length");
  selector.count = file.metadata.get<int64_t>(prefix + "top_k");
}

void write_indexer_keys(const ModelConfig& config, GgufMetadata& keys) {
  const KeySelector& selector = config.indexer.selector;
  require(config.num_indexers() == config.num_layers,
          "layers of this {} model share indexers, which GGUF has no keys for", config.model_type);
  const std::string prefix = keys.get<std::string>("general.architecture") + ".attention.indexer.";
  keys.set(prefix + "head_count", static_cast<uint32_t>(selector.num_heads));
  keys.set(prefix + "key_length", static_cast<uint32_t>(selector.head_dim));
  keys.set(prefix + "top_k", static_cast<uint32_t>(selector.count));
}

}  // namespace millrace
