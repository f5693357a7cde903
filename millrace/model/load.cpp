#include "millrace/model/load.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>

#include "millrace/base/memory.h"
#include "millrace/base/thread_pool.h"
#include "millrace/formats/published_weights.h"
#include "millrace/formats/pytorch.h"
#include "millrace/graph/ops/unit_rows.h"
#include "millrace/model/nested_text.h"
#include "millrace/model/published_names.h"
#include "millrace/model/tensor_names.h"
#include "millrace/model/weight_cache.h"
#include "millrace/tensor/quantize.h"

namespace millrace {
namespace {

/// A weight by any of its spellings.
std::optional<PublishedWeight> find_weight(const Model& model, PublishedWeights& weights,
                                           const std::string& name) {
  for (const std::string& spelling : spellings(model, name)) {
    if (auto found = weights.find(spelling)) return found;
  }
  return std::nullopt;
}

/// An expert's matrix of the given shape in a stack, whose slices are [out, in], or [in, out] where
/// they do not fit so.
PublishedWeight part_of_stack(PublishedWeight stack, const StackedExpert& place, const Shape& shape,
                              const std::string& source) {
  const Shape whole = stack.shape;
  const int64_t out = place.parts * shape[0], in = shape[1];
  const bool fits = whole.rank() == 3 && place.expert < whole[0];
  const bool turned = fits && !(whole[1] == out && whole[2] == in);
  require(fits && (!turned || (whole[1] == in && whole[2] == out)),
          "{}: tensor '{}' has shape {}; the configuration says experts of {}", source, place.name,
          whole, Shape{out, in});
  auto load = [load_stack = stack.load, whole, place, shape, turned] {
    const Tensor slice =
        load_stack().rows(place.expert, place.expert + 1).reshaped({whole[1], whole[2]});
    const Tensor rows = turned ? transposed(dequantized(slice)) : slice;
    return rows.rows(place.part * shape[0], (place.part + 1) * shape[0]);
  };
  return {shape, false, load, stack.stored};
}

/// A weight as a text model has it by itself: ERNIE 4.5's routers are turned in models of images,
/// whose selection biases are those of texts and those of images.
PublishedWeight as_of_text(PublishedWeight weight, const FileTensor& place) {
  const Shape file = weight.shape, shape = place.shape;
  if (file == shape || file.rank() != 2 || shape.rank() != 2) return weight;
  const auto load = weight.load;
  if (place.name.ends_with(".mlp.gate.weight") && file == Shape{shape[1], shape[0]}) {
    return {shape, false, [load] { return transposed(dequantized(load())); }, weight.stored};
  }
  if (place.name.ends_with("_bias") && shape[0] == 1 && file == Shape{2, shape[1]}) {
    return {shape, false, [load] { return load().rows(0, 1); }, weight.stored};
  }
  return weight;
}

/// The weight of a place in the model, by itself or in a stack.
std::optional<PublishedWeight> find_weight(const Model& model, PublishedWeights& weights,
                                           const FileTensor& place, const std::string& source) {
  if (auto found = find_weight(model, weights, place.name)) {
    return model.config().part_of.empty() ? *found : as_of_text(*found, place);
  }
  const std::optional<StackedExpert> expert = stacked_expert(place.name);
  if (!expert || place.shape.rank() != 2) return std::nullopt;
  auto stack = find_weight(model, weights, expert->name);
  if (!stack) return std::nullopt;
  return part_of_stack(*stack, *expert, place.shape, source);
}

void check_shape(const Shape& shape, const Shape& expected, const std::string& name,
                 const std::string& source) {
  require(shape == expected, "{}: tensor '{}' has shape {}; the configuration says {}", source,
          name, shape, expected);
}

/// Puts values in memory as the operators want them.
void set_values(Parameter& parameter, const TensorSpec& spec, Tensor tensor,
                std::optional<DType> dtype, bool for_training) {
  if (spec.in_f32) dtype = DType::f32;
  if (spec.unit_rows && !for_training) tensor = with_unit_rows(dequantized(tensor));
  if (!parameter.is_matrix() || for_training) parameter.value = dequantized(tensor);
  if (!parameter.is_matrix() || for_training) return;
  if (!dtype || *dtype == tensor.dtype()) {
    parameter.packed = pack(tensor);
  } else if (*dtype == DType::f16) {
    parameter.packed = pack(quantized(dequantized(tensor), DType::f16));
  } else {
    pack(view(dequantized(tensor)), *dtype == DType::f32 ? Arithmetic::f32 : Arithmetic::bf16,
         parameter.packed);
  }
}

/// Every layer has tensors: so an absurd number of layers costs no memory.
void check_layers(const ModelConfig& config, const TensorTable& tensors) {
  require(config.num_layers <= static_cast<int64_t>(tensors.size()),
          "{}: has only {} tensors; the configuration says {} layers (num_hidden_layers)",
          tensors.source(), tensors.size(), config.num_layers);
}

/// Whether a parameter still needs values from the file: what the cache had is there.
bool is_missing(const Parameter& parameter) {
  return parameter.packed.bytes == nullptr;
}

Tensor plus(const Tensor& tensor, float offset) {
  if (offset == 0) return tensor;
  Tensor sum = dequantized(tensor).clone();
  for (float& x : sum.f32()) x += offset;
  return sum;
}

void load_folder(Model& model, const TensorTable& tensors, PublishedWeights& weights,
                 const LoadOptions& options, const WeightCache::Loaded& loaded) {
  const std::string source = tensors.source();
  for (const FileTensor& place : file_tensors(model, FileLayout::hugging_face)) {
    const std::optional<PublishedWeight> found = find_weight(model, weights, place, source);
    require(found.has_value(), "{}: has no tensor '{}'", source, place.name);
    // What is packed in blocks is [out, in], also where a family's plain files hold [in, out].
    const bool plain_is_turned = model.spec(place.parameters.front()).transposed;
    const bool turned = plain_is_turned && !found->in_blocks;
    check_shape(found->shape,
                turned == plain_is_turned ? place.shape : with_turned_matrices(place.shape),
                place.name, source);
    Tensor whole;
    for (size_t i : place.parameters) {
      Parameter& parameter = model.parameters()[i];
      const TensorSpec& spec = model.spec(i);
      if (!is_missing(parameter)) continue;
      if (whole.empty()) whole = found->load();
      const Tensor part = part_of_file(whole, spec.packed_rows, turned, spec.shape);
      // Blocks keep their type unless another is asked for.
      const auto dtype =
          is_quantized(whole.dtype()) ? options.dtype : std::optional(model.config().dtype);
      set_values(parameter, spec, plus(part, spec.offset), dtype, options.for_training);
      loaded(parameter);
    }
    for (const Tensor* stored : found->stored) tensors.drop_pages(*stored);
  }
  for (const NamedTensor& named : tensors) {
    require(weights.is_used(named.name) || is_dispensable(model, named.name),
            "{}: the tensor '{}' has no place in a {} model of this configuration", source,
            named.name, model.config().model_type);
  }
}

/// A matrix of one row is a vector, which some files say and others do not.
Shape shape_in_gguf(const Tensor& tensor) {
  const Shape& shape = tensor.shape();
  return shape.rank() == 2 && shape[0] == 1 ? Shape{shape[1]} : shape;
}

/// x of GGUF's -exp(x), f32.
Tensor log_of_negative(const Tensor& tensor, const std::string& name, const std::string& source) {
  Tensor result = dequantized(tensor).clone();
  for (float& x : result.f32()) {
    require(x < 0, "{}: tensor '{}' has a value of {}; all must be negative", source, name, x);
    x = std::log(-x);
  }
  return result;
}

void load_gguf_tensors(Model& model, const GgufFile& file, const LoadOptions& options,
                       const WeightCache::Loaded& loaded) {
  for (const FileTensor& place : file_tensors(model, FileLayout::gguf)) {
    const Tensor& tensor = file.tensors.at(place.name);
    check_shape(shape_in_gguf(tensor), place.shape, place.name, file.tensors.source());
    for (size_t i : place.parameters) {
      Parameter& parameter = model.parameters()[i];
      const TensorSpec& spec = model.spec(i);
      if (!is_missing(parameter)) continue;
      Tensor part = with_half_split_heads(part_of_file(tensor, spec.gguf_rows, false, spec.shape),
                                          spec.interleaved_heads);
      if (spec.gguf_negative_exp) {
        part = log_of_negative(part, place.name, file.tensors.source());
      }
      set_values(parameter, spec, part, options.dtype, options.for_training);
      loaded(parameter);
    }
    file.tensors.drop_pages(tensor);
  }
}

/// About what the packed weights take: files and products have the same types, as a rule.
uint64_t size_of(const TensorTable& tensors) {
  uint64_t bytes = 0;
  for (const NamedTensor& named : tensors) bytes += named.tensor.bytes();
  return bytes;
}

/// Loads with what the cache of packed weights has, and keeps there what it has not. `load` tells
/// of each parameter that it has loaded.
template <typename Load>
void with_cache(Model& model, const std::filesystem::path& path, uint64_t bytes,
                const LoadOptions& options, const Load& load) {
  const WeightCache::Loaded nobody = [](Parameter&) {};
  if (options.for_training) return load(nobody);
  WeightCache cache(options.weight_cache, path, options.dtype);
  const bool found = cache.load(model);
  const uint64_t memory = options.memory.value_or(available_memory());
  const bool too_large = bytes > memory && cache.keeps_any();
  if (bytes > memory && options.notice) {
    const std::string how =
        too_large ? fmt::format("they stay on disk, in {}, and are read from there, which is slow",
                                options.weight_cache.string())
                  : "without a cache on disk they may not fit";
    options.notice(fmt::format("{}: the weights take {} MB, memory has {} MB free: {}",
                               path.string(), bytes >> 20, memory >> 20, how));
  }
  if (too_large && !found) {
    cache.load_through(model, bytes, [&](const WeightCache::Loaded& loaded) { load(loaded); });
  } else {
    load(nobody);
    if (!found) cache.save_behind(model);
  }
}

bool is_gguf(const std::filesystem::path& path) {
  return path.extension() == ".gguf";
}

/// llama.cpp says how Llama 3 scales rope by a tensor of divisors, which is LongRoPE's form.
void read_rope_divisors(const GgufFile& file, ModelConfig& config) {
  const Tensor* divisors = file.tensors.find("rope_freqs.weight");
  if (divisors == nullptr || config.rope.scaling == RopeScaling::proportional) return;
  require(divisors->dtype() == DType::f32 && divisors->count() == config.rope.rotary_dim / 2,
          "{}: rope_freqs.weight must hold {} f32 values", file.tensors.source(),
          config.rope.rotary_dim / 2);
  config.rope.scaling = RopeScaling::longrope;
  config.rope.attention_factor = 1.0;
  config.rope.original_max_position_embeddings = config.max_position_embeddings;
  config.rope.short_factor.assign(divisors->f32().begin(), divisors->f32().end());
  config.rope.long_factor = config.rope.short_factor;
}

ModelConfig config_of(const GgufFile& file) {
  std::string architecture = file.metadata.get<std::string>("general.architecture");
  const Family& family = family_of_architecture(architecture, file.metadata.source());
  ModelConfig config = family.read_gguf(file);
  // A family may have found that the file is another's, which shares the architecture.
  if (config.model_type == architecture) config.model_type = family.model_types.front();
  // The first is the family's own; the text of a model of images has another.
  if (architecture != family.gguf_architectures.front()) config.part_of = architecture;
  read_rope_divisors(file, config);
  validate(config, file.metadata.source());
  return config;
}

ModelConfig config_of(const std::filesystem::path& folder) {
  require(std::filesystem::exists(folder), "{}: there is no such file or folder", folder.string());
  std::filesystem::path path = folder / "config.json";
  require(std::filesystem::exists(path),
          "{}: is no model: neither a .gguf file nor a folder with config.json", folder.string());
  return parse_config(read_file(path), path.string());
}

}  // namespace

ModelConfig parse_config(std::string_view text, std::string_view source) {
  const Json whole = parse_json(text, source);
  const Json json = text_model_json(whole, source);
  const auto model_type = json_field<std::string>(json, "model_type", source);
  const auto outer_type = json_field<std::string>(whole, "model_type", source);
  ModelConfig config = family_of_config(json, source).read_config(json, source);
  if (outer_type != model_type) config.part_of = outer_type;
  validate(config, source);
  return config;
}

ModelConfig load_config(const std::filesystem::path& path) {
  return is_gguf(path) ? config_of(read_gguf(path)) : config_of(path);
}

std::unique_ptr<Model> load_model(const std::filesystem::path& path, const LoadOptions& options) {
  if (is_gguf(path)) {
    GgufFile file = read_gguf(path);
    ModelConfig config = config_of(file);
    if (options.dtype) config.dtype = *options.dtype;
    check_layers(config, file.tensors);
    const Family& family = family_of_model_type(config.model_type, path.string());
    auto model = std::make_unique<Model>(family, std::move(config));
    with_cache(*model, path, size_of(file.tensors), options,
               [&](const WeightCache::Loaded& loaded) {
                 load_gguf_tensors(*model, file, options, loaded);
               });
    return model;
  }
  ModelConfig config = config_of(path);
  if (options.dtype) config.dtype = *options.dtype;
  const std::filesystem::path config_path = path / "config.json";
  const TensorTable tensors = read_weights_folder(path);
  check_layers(config, tensors);
  const Family& family = family_of_model_type(config.model_type, path.string());
  auto model = std::make_unique<Model>(family, std::move(config));
  if (!model->config().part_of.empty() && options.notice) {
    options.notice(fmt::format("{}: {}", path.string(), describe_part(model->config())));
  }
  const Json json = text_model_json(read_json(config_path), config_path.string());
  PublishedWeights weights(tensors, json, config_path.string());
  with_cache(*model, path, size_of(tensors), options, [&](const WeightCache::Loaded& loaded) {
    load_folder(*model, tensors, weights, options, loaded);
  });
  return model;
}

}  // namespace millrace
