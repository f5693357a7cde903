#include "millrace/model/fields.h"

#include <algorithm>
#include <cmath>

#include "millrace/base/error.h"

namespace millrace {
namespace {

struct NamedDType {
  std::string_view name;
  DType dtype;
};
constexpr NamedDType kDTypes[] = {
    {"float32", DType::f32}, {"bfloat16", DType::bf16}, {"float16", DType::f16}};

DType read_dtype(const Json& json, std::string_view source) {
  // transformers 5 writes "dtype", earlier releases "torch_dtype".
  for (const char* field : {"dtype", "torch_dtype"}) {
    std::optional<std::string> name = optional_json_field<std::string>(json, field, source);
    if (!name) continue;
    for (const NamedDType& known : kDTypes) {
      if (known.name == *name) return known.dtype;
    }
    fail("{}: {} is {}; float32, bfloat16 and float16 are supported", source, field, quote(*name));
  }
  return DType::f32;
}

std::string_view dtype_name(DType dtype) {
  for (const NamedDType& known : kDTypes) {
    if (known.dtype == dtype) return known.name;
  }
  return "float32";
}

std::vector<float> read_factors(const Json& scaling, const char* name, std::string_view source) {
  std::vector<float> factors;
  auto found = scaling.find(name);
  if (found == scaling.end() || found->is_null()) return factors;
  require(found->is_array() && found->size() <= 4096, "{}: field '{}' must be an array of numbers",
          source, name);
  for (const Json& factor : *found) {
    require(factor.is_number() && std::abs(factor.get<double>()) < 1e30,
            "{}: field '{}' must be an array of numbers of sensible size", source, name);
    factors.push_back(factor.get<float>());
  }
  return factors;
}

/// The object that says how rope is scaled: "rope_parameters" since transformers 5, before it
/// "rope_scaling", with theta beside it.
const Json* rope_object(const Json& json, std::string_view source) {
  for (const char* field : {"rope_parameters", "rope_scaling"}) {
    auto found = json.find(field);
    if (found == json.end() || found->is_null()) continue;
    require(found->is_object(), "{}: field '{}' must be an object", source, field);
    return &*found;
  }
  return nullptr;
}

void read_rope(const Json& json, std::string_view source, const FieldNames& names,
               ModelConfig& config) {
  RopeParameters& rope = config.rope;
  auto number = [&](const Json& object, const char* name, double& value) {
    value = optional_json_field<double>(object, name, source).value_or(value);
  };
  double rotary_factor = names.default_rotary_factor;
  number(json, "rope_theta", rope.theta);
  number(json, "partial_rotary_factor", rotary_factor);
  rope.max_position_embeddings = config.max_position_embeddings;
  if (const Json* scaling = rope_object(json, source)) {
    std::optional<std::string> type =
        optional_json_field<std::string>(*scaling, "rope_type", source);
    if (!type) type = optional_json_field<std::string>(*scaling, "type", source);
    std::optional<RopeScaling> kind = rope_scaling_from_name(type.value_or("default"));
    require(kind.has_value(), "{}: rope_type is {}, which is not supported", source,
            quote(type.value_or("")));
    rope.scaling = *kind;
    rope.proportion = 1;
    number(*scaling, "rope_theta", rope.theta);
    number(*scaling, "partial_rotary_factor", rotary_factor);
    number(*scaling, "factor", rope.factor);
    number(*scaling, "beta_fast", rope.beta_fast);
    number(*scaling, "beta_slow", rope.beta_slow);
    number(*scaling, "mscale", rope.mscale);
    number(*scaling, "mscale_all_dim", rope.mscale_all_dim);
    number(*scaling, "low_freq_factor", rope.low_freq_factor);
    number(*scaling, "high_freq_factor", rope.high_freq_factor);
    rope.attention_factor = optional_json_field<double>(*scaling, "attention_factor", source);
    rope.truncate = optional_json_field<bool>(*scaling, "truncate", source).value_or(true);
    // Phi has it beside the others, MiniCPM among them.
    const auto field = "original_max_position_embeddings";
    auto original = optional_json_field<int64_t>(json, field, source);
    if (!original) original = optional_json_field<int64_t>(*scaling, field, source);
    rope.original_max_position_embeddings = original.value_or(config.max_position_embeddings);
    rope.short_factor = read_factors(*scaling, "short_factor", source);
    rope.long_factor = read_factors(*scaling, "long_factor", source);
    const bool is_ratio = *kind == RopeScaling::yarn || *kind == RopeScaling::longrope;
    if (is_ratio && !scaling->contains("factor") && rope.original_max_position_embeddings > 0) {
      rope.factor = static_cast<double>(config.max_position_embeddings) /
                    static_cast<double>(rope.original_max_position_embeddings);
    }
  }
  if (rope.scaling == RopeScaling::dynamic) {  // the length trained on is what is stretched
    constexpr double kMost = 1e6;
    require(rope.factor >= 1 && rope.factor <= kMost,
            "{}: rope's factor is {}; it must be between 1 and {}", source, rope.factor, kMost);
    config.max_position_embeddings =
        static_cast<int64_t>(static_cast<double>(rope.max_position_embeddings) * rope.factor);
  }
  // Then what turns is a part of the frequencies, not of the head.
  if (rope.scaling == RopeScaling::proportional) std::swap(rope.proportion, rotary_factor);
  rope.rotary_dim = optional_json_field<int64_t>(json, "rotary_dim", source).value_or(0);
  if (rope.rotary_dim != 0) return;
  if (rotary_factor > 0 && rotary_factor <= 1) {
    rope.rotary_dim = static_cast<int64_t>(static_cast<double>(config.head_dim) * rotary_factor);
  }
  require(
      rope.rotary_dim > 0,
      "{}: partial_rotary_factor is {}; it must be at most 1, and not too small for heads of {}",
      source, rotary_factor, config.head_dim);
}

void read_token_ids(const Json& json, std::string_view source, ModelConfig& config) {
  config.bos_token_id = optional_json_field<int32_t>(json, "bos_token_id", source).value_or(-1);
  auto eos = json.find("eos_token_id");
  if (eos == json.end() || eos->is_null()) return;
  if (!eos->is_array()) {
    config.eos_token_ids = {json_field<int32_t>(json, "eos_token_id", source)};
    return;
  }
  for (const Json& id : *eos) {
    config.eos_token_ids.push_back(
        json_field<int32_t>(Json{{"eos_token_id", id}}, "eos_token_id", source));
  }
}

/// The part of a head that rope turns, which readers multiply with head_dim and round down.
double partial_rotary_factor(const ModelConfig& config) {
  const auto dim = static_cast<double>(config.head_dim);
  const auto turned = static_cast<double>(config.rope.rotary_dim);
  const double factor = turned / dim;
  return dim * factor < turned ? std::nextafter(factor, 1.0) : factor;
}

Json rope_json(const ModelConfig& config, const FieldNames& names) {
  const RopeParameters& rope = config.rope;
  Json json = {{"rope_theta", rope.theta}};
  if (rope.rotary_dim != config.head_dim || names.default_rotary_factor != 1) {
    json["partial_rotary_factor"] = partial_rotary_factor(config);
  }
  switch (rope.scaling) {
    case RopeScaling::none:
      json["rope_type"] = "default";
      return json;
    case RopeScaling::linear:
      json["rope_type"] = "linear";
      json["factor"] = rope.factor;
      return json;
    case RopeScaling::dynamic:
      json["rope_type"] = "dynamic";
      json["factor"] = rope.factor;
      return json;
    case RopeScaling::yarn:
      json["rope_type"] = "yarn";
      json["factor"] = rope.factor;
      json["beta_fast"] = rope.beta_fast;
      json["beta_slow"] = rope.beta_slow;
      json["truncate"] = rope.truncate;
      if (rope.mscale != 0) json["mscale"] = rope.mscale;
      if (rope.mscale_all_dim != 0) json["mscale_all_dim"] = rope.mscale_all_dim;
      break;
    case RopeScaling::proportional:
      json["rope_type"] = "proportional";
      json["partial_rotary_factor"] = rope.proportion;
      if (rope.factor != 1) json["factor"] = rope.factor;
      return json;
    case RopeScaling::longrope:
      json["rope_type"] = "longrope";
      json["factor"] = rope.factor;
      json["short_factor"] = rope.short_factor;
      json["long_factor"] = rope.long_factor;
      break;
    case RopeScaling::llama3:
      json["rope_type"] = "llama3";
      json["factor"] = rope.factor;
      json["low_freq_factor"] = rope.low_freq_factor;
      json["high_freq_factor"] = rope.high_freq_factor;
      break;
  }
  json["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  if (rope.attention_factor) json["attention_factor"] = *rope.attention_factor;
  return json;
}

/// GGUF's `<architecture>.<name>`.
template <typename T>
T key_or(const GgufFile& file, const std::string& architecture, const char* name, T otherwise) {
  return file.metadata.get_optional<T>(architecture + "." + name).value_or(otherwise);
}

/// GGUF's keys behind the architecture.
constexpr const char* kWindowPattern = ".attention.sliding_window_pattern";

std::string norm_eps_key(NormKind kind) {
  return kind == NormKind::rms ? ".attention.layer_norm_rms_epsilon"
                               : ".attention.layer_norm_epsilon";
}

/// In which type the products of a GGUF model are: that of its matrices when it is a plain one.
DType plain_dtype(const GgufFile& file) {
  const Tensor* matrix = nullptr;
  for (const char* name :
       {"blk.0.ffn_down.weight", "blk.0.ffn_down_exps.weight", "enc.blk.0.ffn_down.weight"}) {
    if (matrix == nullptr) matrix = file.tensors.find(name);
  }
  bool plain =
      matrix != nullptr && (matrix->dtype() == DType::f32 || matrix->dtype() == DType::f16);
  return plain ? matrix->dtype() : DType::bf16;
}

void read_rope_keys(const GgufFile& file, const std::string& architecture, ModelConfig& config) {
  RopeParameters& rope = config.rope;
  rope.theta = key_or<double>(file, architecture, "rope.freq_base", 10000.0);
  rope.rotary_dim = key_or<int64_t>(file, architecture, "rope.dimension_count", config.head_dim);
  rope.max_position_embeddings = config.max_position_embeddings;
  rope.factor = key_or<double>(file, architecture, "rope.scaling.factor", 1.0);
  rope.original_max_position_embeddings = key_or<int64_t>(
      file, architecture, "rope.scaling.original_context_length", config.max_position_embeddings);
  rope.beta_fast = key_or(file, architecture, "rope.scaling.yarn_beta_fast", rope.beta_fast);
  rope.beta_slow = key_or(file, architecture, "rope.scaling.yarn_beta_slow", rope.beta_slow);
  std::string type = key_or<std::string>(file, architecture, "rope.scaling.type", "none");
  if (type == "linear" && rope.factor != 1) rope.scaling = RopeScaling::linear;
  if (type == "yarn") rope.scaling = RopeScaling::yarn;
  if (type == "longrope") rope.scaling = RopeScaling::longrope;
  auto factors = [&](const char* name, std::vector<float>& values) {
    const Tensor* tensor = file.tensors.find(name);
    if (tensor == nullptr) return;
    require(tensor->dtype() == DType::f32 && tensor->count() == rope.rotary_dim / 2,
            "{}: {} must hold {} f32 values", file.tensors.source(), name, rope.rotary_dim / 2);
    values.assign(tensor->f32().begin(), tensor->f32().end());
    rope.scaling = RopeScaling::longrope;
    rope.attention_factor = key_or<double>(file, architecture, "rope.scaling.attn_factor", 1.0);
  };
  factors(kShortFactors, rope.short_factor);
  factors(kLongFactors, rope.long_factor);
}

/// Sets a key behind the architecture.
struct KeyWriter {
  GgufMetadata& keys;
  const std::string& architecture;

  void value(const char* name, GgufValue value) const {
    keys.set(architecture + "." + name, std::move(value));
  }
  void count(const char* name, int64_t count) const { value(name, static_cast<uint32_t>(count)); }
};

/// A size of each layer: one number where they are the same.
void write_sizes(const ModelConfig& config, const KeyWriter& write, const char* name,
                 int64_t LayerSizes::*size) {
  std::vector<int32_t> sizes;
  for (int64_t i = 0; i < config.num_layers; ++i) {
    sizes.push_back(static_cast<int32_t>(config.sizes(i).*size));
  }
  const bool same = std::ranges::count(sizes, sizes.front()) == std::ssize(sizes);
  same ? write.count(name, sizes.front()) : write.value(name, GgufArray{sizes});
}

/// The first layer that has a window, or has none; if there are none such, the first.
int64_t first_layer(const ModelConfig& config, bool windowed) {
  for (int64_t i = 0; i < config.num_layers; ++i) {
    if (config.is_windowed(i) == windowed) return i;
  }
  return 0;
}

void write_head_sizes(const ModelConfig& config, const KeyWriter& write) {
  const int64_t dim = config.sizes(first_layer(config, false)).head_dim;
  const int64_t windowed_dim = config.sizes(first_layer(config, true)).head_dim;
  for (const char* name : {"attention.key_length", "attention.value_length"}) {
    write.count(name, dim);
    if (windowed_dim != dim) write.count((std::string(name) + "_swa").c_str(), windowed_dim);
  }
  if (windowed_dim == dim) return;
  for (int64_t i = 0; i < config.num_layers; ++i) {
    require(config.sizes(i).head_dim == (config.is_windowed(i) ? windowed_dim : dim),
            "GGUF cannot say that layer {} has heads of {}", i, config.sizes(i).head_dim);
  }
  if (config.windowed_rope) {
    write.count("rope.dimension_count_swa", config.windowed_rope->rotary_dim);
  }
}

void write_rope_keys(const ModelConfig& config, const KeyWriter& write) {
  write.count("rope.dimension_count", config.rope.rotary_dim);
  write.value("rope.freq_base", static_cast<float>(config.rope.theta));
  require(config.rope.scaling != RopeScaling::dynamic,
          "GGUF cannot say that rope is scaled by a text's length (rope_type 'dynamic')");
  if (has_factor_tensors(config.rope)) {
    write.value("rope.scaling.type", std::string("longrope"));
    write.value("rope.scaling.attn_factor", rope_frequencies(config.rope).attention_factor);
    write.count("rope.scaling.original_context_length",
                config.rope.original_max_position_embeddings);
  }
  if (config.rope.scaling == RopeScaling::linear || config.rope.scaling == RopeScaling::yarn) {
    write.value("rope.scaling.type",
                std::string(config.rope.scaling == RopeScaling::linear ? "linear" : "yarn"));
    write.value("rope.scaling.factor", static_cast<float>(config.rope.factor));
    write.count("rope.scaling.original_context_length",
                config.rope.original_max_position_embeddings);
    if (config.rope.scaling == RopeScaling::yarn) {
      write.value("rope.scaling.yarn_beta_fast", static_cast<float>(config.rope.beta_fast));
      write.value("rope.scaling.yarn_beta_slow", static_cast<float>(config.rope.beta_slow));
    }
  }
}

/// A number that is the same for all layers, or, in `each`, one for every layer; then it is that of
/// the first.
std::optional<int64_t> size_key(const GgufFile& file, const std::string& architecture,
                                const char* name, std::vector<int64_t>& each) {
  const std::string key = architecture + "." + name;
  const GgufValue* found = file.metadata.find(key);
  if (found == nullptr || !std::holds_alternative<GgufArray>(*found)) {
    return file.metadata.get_optional<int64_t>(key);
  }
  each = *file.metadata.get_optional_array<int64_t>(key);
  require(!each.empty(), "{}: {} is empty", file.metadata.source(), key);
  return each.front();
}

/// Sizes that are not the same in all layers.
void set_layer_sizes(const GgufFile& file, const std::string& architecture,
                     const std::pair<int64_t LayerSizes::*, std::vector<int64_t>> (&each)[3],
                     ModelConfig& config) {
  std::vector<LayerSizes> sizes(static_cast<size_t>(config.num_layers), config.own_sizes());
  for (const auto& [member, values] : each) {
    require(values.empty() || values.size() >= sizes.size(),
            "{}: {} layers are said to have sizes of their own; there are {}",
            file.metadata.source(), values.size(), sizes.size());
    for (size_t i = 0; i < sizes.size() && !values.empty(); ++i) sizes[i].*member = values[i];
  }
  const auto windowed_dim =
      file.metadata.get_optional<int64_t>(architecture + ".attention.key_length_swa");
  for (int64_t i = 0; i < config.num_layers && windowed_dim; ++i) {
    if (config.is_windowed(i)) sizes[static_cast<size_t>(i)].head_dim = *windowed_dim;
  }
  config.num_heads = sizes.front().num_heads;
  config.head_dim = sizes.front().head_dim;
  const auto same = std::ranges::count(sizes, sizes.front());
  if (same < config.num_layers) config.layer_sizes = sizes;
}

}  // namespace

ModelConfig read_common_fields(const Json& json, std::string_view source, const FieldNames& names) {
  ModelConfig config;
  auto integer = [&](const char* name) { return json_field<int64_t>(json, name, source); };
  auto integer_or = [&](const char* name, int64_t otherwise) {
    return optional_json_field<int64_t>(json, name, source).value_or(otherwise);
  };
  config.model_type = json_field<std::string>(json, "model_type", source);
  config.vocab_size = integer("vocab_size");
  config.hidden_size = integer(names.hidden_size);
  config.num_layers = integer(names.num_layers);
  config.num_heads = integer(names.num_heads);
  config.num_kv_heads = integer_or("num_key_value_heads", config.num_heads);
  require(config.num_heads > 0, "{}: {} is {}; it must be positive", source, names.num_heads,
          config.num_heads);
  std::optional<int64_t> head_dim = optional_json_field<int64_t>(json, names.head_dim, source);
  if (!head_dim && names.default_head_dim > 0) head_dim = names.default_head_dim;
  require(head_dim.has_value() || config.hidden_size % config.num_heads == 0,
          "{}: {} ({}) is not a multiple of {} ({}), and there is no head_dim", source,
          names.hidden_size, config.hidden_size, names.num_heads, config.num_heads);
  config.head_dim = head_dim.value_or(config.hidden_size / config.num_heads);
  config.intermediate_size =
      names.default_intermediate_factor == 0
          ? integer(names.intermediate_size)
          : integer_or(names.intermediate_size,
                       std::clamp<int64_t>(config.hidden_size, 0, int64_t{1} << 30) *
                           names.default_intermediate_factor);
  config.max_position_embeddings =
      names.default_max_positions == 0
          ? integer(names.max_positions)
          : integer_or(names.max_positions, names.default_max_positions);
  std::string activation = optional_json_field<std::string>(json, names.activation, source)
                               .value_or(std::string(names.default_activation));
  std::optional<Activation> known = activation_from_name(activation);
  require(known.has_value(), "{}: {} is {}, which is not supported", source, names.activation,
          quote(activation));
  config.activation = *known;
  config.tie_word_embeddings =
      optional_json_field<bool>(json, "tie_word_embeddings", source).value_or(names.default_tied);
  config.norm = names.norm;
  config.norm_eps =
      optional_json_field<float>(json, names.norm_eps, source).value_or(names.default_norm_eps);
  config.initializer_range =
      optional_json_field<float>(json, names.initializer_range, source).value_or(0.02f);
  config.prefix_lm = optional_json_field<bool>(json, "prefix_lm", source).value_or(false);
  config.dtype = read_dtype(json, source);
  read_token_ids(json, source, config);
  validate(config, source);  // before rope, which computes with these sizes
  config.rope.theta = names.default_rope_theta;
  if (names.rope) read_rope(json, source, names, config);
  return config;
}

std::string_view activation_field(Activation activation) {
  switch (activation) {
    case Activation::relu:
      return "relu";
    case Activation::silu:
      return "silu";
    case Activation::gelu:
      return "gelu";
    case Activation::tanh:
      return "tanh";
    case Activation::sigmoid:
      return "sigmoid";
    case Activation::gelu_tanh:
      break;
  }
  return "gelu_new";
}

void write_token_fields(const ModelConfig& config, Json& json) {
  json["tie_word_embeddings"] = config.tie_word_embeddings;
  json["initializer_range"] = config.initializer_range;
  if (config.prefix_lm) json["prefix_lm"] = true;  // a field of our own
  json["dtype"] = dtype_name(config.dtype);
  if (config.bos_token_id >= 0) json["bos_token_id"] = config.bos_token_id;
  if (config.eos_token_ids.size() == 1) json["eos_token_id"] = config.eos_token_ids.front();
  if (config.eos_token_ids.size() > 1) json["eos_token_id"] = config.eos_token_ids;
}

Json write_common_fields(const ModelConfig& config, std::string_view architecture,
                         const FieldNames& names) {
  Json json = {{"architectures", Json::array({architecture})}, {"model_type", config.model_type}};
  json["vocab_size"] = config.vocab_size;
  json[names.hidden_size] = config.hidden_size;
  json[names.num_layers] = config.num_layers;
  json[names.num_heads] = config.num_heads;
  if (config.num_kv_heads != config.num_heads || names.rope) {
    json["num_key_value_heads"] = config.num_kv_heads;
  }
  if (names.rope || names.head_dim != std::string_view("head_dim")) {
    json[names.head_dim] = config.head_dim;
  }
  json[names.intermediate_size] = config.intermediate_size;
  json[names.max_positions] = config.rope.scaling == RopeScaling::dynamic
                                  ? config.rope.max_position_embeddings
                                  : config.max_position_embeddings;
  json[names.activation] = activation_field(config.activation);
  if (names.rope) {
    // Both spellings, so that older and newer releases of transformers agree.
    json["rope_theta"] = config.rope.theta;
    json["rope_parameters"] = rope_json(config, names);
    if (config.rope.scaling != RopeScaling::none) json["rope_scaling"] = rope_json(config, names);
  }
  write_token_fields(config, json);
  json[names.norm_eps] = config.norm_eps;
  if (names.initializer_range != std::string_view("initializer_range")) {
    json.erase("initializer_range");
    json[names.initializer_range] = config.initializer_range;
  }
  json.erase("");
  return json;
}

void read_window_fields(const Json& json, std::string_view source, ModelConfig& config) {
  const auto window = optional_json_field<int64_t>(json, "sliding_window", source);
  const bool used = optional_json_field<bool>(json, "use_sliding_window", source).value_or(true);
  if (!window || !used) return;
  require(*window > 0, "{}: sliding_window is {}; it must be positive", source, *window);
  config.sliding_window = *window;
  auto types = json.find("layer_types");
  if (types != json.end() && !types->is_null()) {
    require(types->is_array() && types->size() == static_cast<size_t>(config.num_layers),
            "{}: layer_types must be an array of {} names", source, config.num_layers);
    for (const Json& type : *types) {
      const bool windowed = type == "sliding_attention";
      require(windowed || type == "full_attention",
              "{}: layer_types has {}, which is not supported", source, quote(type.dump()));
      config.windowed.push_back(windowed);
    }
  } else if (json.contains("max_window_layers")) {
    const auto first = json_field<int64_t>(json, "max_window_layers", source);
    for (int64_t i = 0; i < config.num_layers; ++i) config.windowed.push_back(i >= first);
  }
}

Json with_rope_of(const Json& json, bool windowed, std::string_view source) {
  Json flat = json;
  auto both = json.find("rope_parameters");
  if (both != json.end() && both->contains("full_attention")) {
    flat["rope_parameters"] =
        both->value(windowed ? "sliding_attention" : "full_attention", Json());
    if (windowed && flat["rope_parameters"].is_null()) flat["rope_theta"] = 10000.0;
  } else if (windowed) {
    flat.erase("rope_scaling");
    flat["rope_theta"] =
        optional_json_field<double>(json, "rope_local_base_freq", source).value_or(10000);
  }
  return flat;
}

void write_ropes(const ModelConfig& config, std::string_view architecture, const FieldNames& names,
                 Json& json) {
  auto rope = [&](bool windowed) {
    const int64_t layer = first_layer(config, windowed);
    ModelConfig own = config.with_sizes_of(layer);
    if (windowed) own.rope = config.windowed_rope.value_or(config.rope);
    return write_common_fields(own, architecture, names)["rope_parameters"];
  };
  json["rope_parameters"] = {{"full_attention", rope(false)}, {"sliding_attention", rope(true)}};
}

void write_window_fields(const ModelConfig& config, Json& json) {
  if (config.sliding_window == 0) return;
  json["sliding_window"] = config.sliding_window;
  json["use_sliding_window"] = true;
  Json types = Json::array();
  for (int64_t i = 0; i < config.num_layers; ++i) {
    types.push_back(config.is_windowed(i) ? "sliding_attention" : "full_attention");
  }
  json["layer_types"] = types;
}

void read_score_fields(const Json& json, std::string_view source, const ScoreDefaults& defaults,
                       ModelConfig& config) {
  auto softcap = [&](const char* field, float otherwise) {
    if (!json.contains(field)) return otherwise;
    return optional_json_field<float>(json, field, source).value_or(0);
  };
  config.attention_softcap = softcap("attn_logit_softcapping", defaults.attention_softcap);
  config.logit_softcap = softcap("final_logit_softcapping", defaults.logit_softcap);
  const double scalar = optional_json_field<double>(json, "query_pre_attn_scalar", source)
                            .value_or(defaults.query_scalar);
  require(scalar > 0, "{}: query_pre_attn_scalar is {}; it must be positive", source, scalar);
  config.attention_scale = static_cast<float>(1 / std::sqrt(scalar));
}

void write_score_fields(const ModelConfig& config, Json& json) {
  auto softcap = [](float value) { return value > 0 ? Json(value) : Json(); };
  json["attn_logit_softcapping"] = softcap(config.attention_softcap);
  json["final_logit_softcapping"] = softcap(config.logit_softcap);
  const auto scale = static_cast<double>(config.attention_shape().scale);
  json["query_pre_attn_scalar"] = std::llround(1 / (scale * scale));  // transformers wants integers
}

void window_all_but_every(int64_t period, ModelConfig& config) {
  if (config.sliding_window == 0 || period <= 0) return;
  for (int64_t i = 0; i < config.num_layers; ++i) config.windowed.push_back((i + 1) % period != 0);
}

bool has_factor_tensors(const RopeParameters& rope) {
  return rope.scaling == RopeScaling::longrope &&
         (rope.short_factor != rope.long_factor || rope_frequencies(rope).attention_factor != 1);
}

ModelConfig read_common_keys(const GgufFile& file, const std::string& architecture,
                             Activation activation) {
  const GgufMetadata& keys = file.metadata;
  auto key = [&](const char* name) { return keys.get<int64_t>(architecture + "." + name); };
  ModelConfig config;
  config.model_type = architecture;
  config.hidden_size = key("embedding_length");
  config.num_layers = key("block_count");
  std::pair<int64_t LayerSizes::*, std::vector<int64_t>> each[3] = {
      {&LayerSizes::num_heads, {}},
      {&LayerSizes::num_kv_heads, {}},
      {&LayerSizes::intermediate_size, {}}};
  auto size = [&](const char* name, size_t i, std::optional<int64_t> otherwise) {
    const auto value = size_key(file, architecture, name, each[i].second);
    return value ? *value : otherwise ? *otherwise : key(name);
  };
  config.num_heads = size("attention.head_count", 0, std::nullopt);
  config.num_kv_heads = size("attention.head_count_kv", 1, config.num_heads);
  require(config.num_heads > 0, "{}: {}.attention.head_count is {}; it must be positive",
          keys.source(), architecture, config.num_heads);
  config.head_dim =
      key_or(file, architecture, "attention.key_length", config.hidden_size / config.num_heads);
  // Where all layers have experts it may be missing.
  const auto of_experts = keys.get_optional<int64_t>(architecture + ".expert_feed_forward_length");
  config.intermediate_size = size("feed_forward_length", 2, of_experts);
  config.max_position_embeddings = key("context_length");
  const Tensor& embeddings = file.tensors.at("token_embd.weight");
  require(embeddings.shape().rank() == 2, "{}: token_embd.weight has shape {}, not two dimensions",
          keys.source(), embeddings.shape());
  config.vocab_size = embeddings.shape()[0];
  config.tie_word_embeddings = file.tensors.find("output.weight") == nullptr;
  for (NormKind kind : {NormKind::rms, NormKind::layer}) {
    const auto eps = keys.get_optional<float>(architecture + norm_eps_key(kind));
    if (!eps) continue;
    config.norm = kind;
    config.norm_eps = *eps;
  }
  auto has = [&](const char* name) { return file.tensors.find(name) != nullptr; };
  config.attention_bias = has("blk.0.attn_q.bias") || has("blk.0.attn_qkv.bias");
  config.attention_output_bias = has("blk.0.attn_output.bias");
  config.mlp_bias = has("blk.0.ffn_down.bias") || has("blk.0.ffn_down_exps.bias");
  config.activation = activation;
  auto number = [&](const char* name) { return key_or<float>(file, architecture, name, 0); };
  config.attention_scale = number("attention.scale");
  config.attention_softcap = number("attn_logit_softcapping");
  config.logit_softcap = number("final_logit_softcapping");
  config.alibi_max_bias = number("attention.max_alibi_bias");
  config.sliding_window = key_or<int64_t>(file, architecture, "attention.sliding_window", 0);
  if (auto windowed = keys.get_optional_array<bool>(architecture + kWindowPattern)) {
    config.windowed = *windowed;
  }
  config.prefix_lm = key_or(file, architecture, "attention.prefix_lm", false);
  config.dtype = plain_dtype(file);
  config.bos_token_id = keys.get_optional<int32_t>("tokenizer.ggml.bos_token_id").value_or(-1);
  for (const char* end : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    auto id = keys.get_optional<int32_t>(end);
    if (id && !std::ranges::count(config.eos_token_ids, *id)) config.eos_token_ids.push_back(*id);
  }
  validate(config, keys.source());  // before rope, which computes with these sizes
  set_layer_sizes(file, architecture, each, config);
  read_rope_keys(file, architecture, config);
  return config;
}

GgufMetadata write_common_keys(const ModelConfig& config, const std::string& architecture,
                               Activation activation) {
  require(config.activation == activation,
          "GGUF's {} architecture means the activation {}; this model's is {}", architecture,
          activation_field(activation), activation_field(config.activation));
  GgufMetadata keys;
  const KeyWriter write{keys, architecture};
  keys.set("general.architecture", architecture);
  write.count("context_length", config.max_position_embeddings);
  write.count("embedding_length", config.hidden_size);
  write.count("block_count", config.num_layers);
  write_sizes(config, write, "feed_forward_length", &LayerSizes::intermediate_size);
  write_sizes(config, write, "attention.head_count", &LayerSizes::num_heads);
  write_sizes(config, write, "attention.head_count_kv", &LayerSizes::num_kv_heads);
  write.count("vocab_size", config.vocab_size);
  if (config.rope.rotary_dim > 0) {
    write_head_sizes(config, write);
    write_rope_keys(config, write);
  }
  if (config.sliding_window > 0) {
    write.count("attention.sliding_window", config.sliding_window);
    if (!config.windowed.empty()) keys.set_array(architecture + kWindowPattern, config.windowed);
  }
  for (const auto& [name, value] : {std::pair("attention.scale", config.attention_scale),
                                    std::pair("attn_logit_softcapping", config.attention_softcap),
                                    std::pair("final_logit_softcapping", config.logit_softcap),
                                    std::pair("attention.max_alibi_bias", config.alibi_max_bias)}) {
    if (value != 0) write.value(name, value);
  }
  if (config.prefix_lm) write.value("attention.prefix_lm", true);  // a key of our own
  keys.set(architecture + norm_eps_key(config.norm), config.norm_eps);
  return keys;
}

}  // namespace millrace
