#include "millrace/model/delta_net_fields.h"

#include <algorithm>

#include "millrace/base/error.h"

namespace millrace {
namespace {

constexpr const char* kLinear = "linear_attention";
constexpr const char* kFull = "full_attention";

struct SizeField {
  const char* name;
  int64_t DeltaNetConfig::*size;
  int64_t otherwise;
};
constexpr SizeField kSizes[] = {
    {"linear_num_key_heads", &DeltaNetConfig::key_heads, 16},
    {"linear_num_value_heads", &DeltaNetConfig::value_heads, 32},
    {"linear_key_head_dim", &DeltaNetConfig::key_dim, 128},
    {"linear_value_head_dim", &DeltaNetConfig::value_dim, 128},
    {"linear_conv_kernel_dim", &DeltaNetConfig::kernel, 4},
};

/// Every period-th layer has attention.
std::vector<bool> all_but_every(int64_t period, std::string_view source, int64_t num_layers) {
  require(period > 0, "{}: full_attention_interval is {}; it must be positive", source, period);
  std::vector<bool> linear;
  for (int64_t i = 0; i < num_layers; ++i) linear.push_back((i + 1) % period != 0);
  return linear;
}

std::vector<bool> read_types(const Json& types, std::string_view source, int64_t num_layers) {
  require(types.is_array() && types.size() == static_cast<size_t>(num_layers),
          "{}: layer_types must be an array of {} names", source, num_layers);
  std::vector<bool> linear;
  for (const Json& type : types) {
    require(type == kLinear || type == kFull, "{}: layer_types has {}, which is not supported",
            source, quote(type.dump()));
    linear.push_back(type == kLinear);
  }
  return linear;
}

}  // namespace

void read_delta_net_fields(const Json& json, std::string_view source, ModelConfig& config) {
  for (const SizeField& field : kSizes) {
    config.delta_net.*field.size =
        optional_json_field<int64_t>(json, field.name, source).value_or(field.otherwise);
  }
  require(config.delta_net.key_heads > 0, "{}: linear_num_key_heads is {}; it must be positive",
          source, config.delta_net.key_heads);
  const auto types = json.find("layer_types");
  if (types != json.end() && !types->is_null()) {
    config.linear_layers = read_types(*types, source, config.num_layers);
    return;
  }
  const auto period =
      optional_json_field<int64_t>(json, "full_attention_interval", source).value_or(4);
  config.linear_layers = all_but_every(period, source, config.num_layers);
}

void write_delta_net_fields(const ModelConfig& config, Json& json) {
  for (const SizeField& field : kSizes) json[field.name] = config.delta_net.*field.size;
  json["layer_types"] = Json::array();
  for (int64_t i = 0; i < config.num_layers; ++i) {
    json["layer_types"].push_back(config.is_linear(i) ? kLinear : kFull);
  }
}

void read_delta_net_keys(const GgufFile& file, const std::string& architecture,
                         ModelConfig& config) {
  const GgufMetadata& keys = file.metadata;
  auto key = [&](const char* name) { return keys.get<int64_t>(architecture + ".ssm." + name); };
  DeltaNetConfig& net = config.delta_net;
  net.key_heads = key("group_count");
  net.value_heads = key("time_step_rank");
  net.key_dim = key("state_size");
  net.kernel = key("conv_kernel");
  const int64_t width = key("inner_size");
  require(net.key_heads > 0 && net.value_heads > 0 && width % net.value_heads == 0,
          "{}: {}.ssm.inner_size is {}, of {} value heads and {} key heads", keys.source(),
          architecture, width, net.value_heads, net.key_heads);
  net.value_dim = width / net.value_heads;
  const auto period = keys.get_optional<int64_t>(architecture + ".full_attention_interval");
  config.linear_layers = all_but_every(period.value_or(4), keys.source(), config.num_layers);
  for (int64_t i = 0; i < config.num_layers; ++i) {
    if (config.is_linear(i)) continue;
    auto has = [&](const char* name) {
      return file.tensors.find(fmt::format("blk.{}.{}.bias", i, name)) != nullptr;
    };
    config.attention_bias = has("attn_q");
    config.attention_output_bias = has("attn_output");
  }
}

void write_delta_net_keys(const ModelConfig& config, GgufMetadata& keys) {
  const auto architecture = keys.get<std::string>("general.architecture");
  auto count = [&](const char* name, int64_t value) {
    keys.set(architecture + "." + name, static_cast<uint32_t>(value));
  };
  const DeltaNetConfig& net = config.delta_net;
  count("ssm.group_count", net.key_heads);
  count("ssm.time_step_rank", net.value_heads);
  count("ssm.state_size", net.key_dim);
  count("ssm.inner_size", net.shape().value_width());
  count("ssm.conv_kernel", net.kernel);
  const auto first = std::find(config.linear_layers.begin(), config.linear_layers.end(), false);
  const int64_t period = first - config.linear_layers.begin() + 1;
  require(config.linear_layers == all_but_every(period, "GGUF", config.num_layers),
          "GGUF says at which interval the layers of a {} model have attention; this one's have it "
          "at none",
          config.model_type);
  count("full_attention_interval", period);
}

}  // namespace millrace
