#include "millrace/model/model.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "millrace/base/error.h"
#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"

namespace millrace {
namespace {

std::string with_layer(const std::string& name, int64_t layer) {
  size_t braces = name.find("{}");
  return braces == std::string::npos ? name
                                     : std::string(name).replace(braces, 2, std::to_string(layer));
}

Parameter declared(const TensorSpec& spec, int64_t layer) {
  Parameter parameter;
  const bool absent = !spec.layers.empty() && !spec.layers[static_cast<size_t>(layer)];
  if (spec.shape.rank() == 0 || absent) return parameter;
  parameter.name = with_layer(spec.name, layer - spec.first_layer);
  parameter.shape = spec.shape;
  parameter.is_table = spec.is_table;
  return parameter;
}

/// FNV-1a: which stream of random numbers belongs to a tensor.
uint64_t hash_name(std::string_view name) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return hash;
}

void initialize(Parameter& parameter, const TensorSpec& spec, const ModelConfig& config,
                uint64_t seed) {
  parameter.value = Tensor(DType::f32, parameter.shape);
  std::span<float> values = parameter.value.f32();
  if (spec.initialization == Initialization::zeros) return;
  if (spec.initialization == Initialization::ones) {
    std::fill(values.begin(), values.end(), 1.0f);
    return;
  }
  double std_dev = spec.std_dev > 0 ? spec.std_dev : config.initializer_range;
  if (spec.initialization == Initialization::normal_residual) {
    std_dev /= std::sqrt(2.0 * static_cast<double>(config.num_layers));
  }
  uint64_t stream = mix_bits(seed) ^ hash_name(parameter.name);
  parallel_ranges(static_cast<int64_t>(values.size()), 1 << 14, [&](int64_t begin, int64_t end) {
    Random random(stream, static_cast<uint64_t>(begin) * 2);  // a normal number takes two draws
    for (int64_t i = begin; i < end; ++i) {
      values[static_cast<size_t>(i)] = static_cast<float>(random.normal() * std_dev);
    }
  });
}

}  // namespace

Model::Model(const Family& family, ModelConfig config)
    : family_(&family), config_(std::move(config)) {
  std::vector<LayerSizes> sizes;  // those whose specs are there
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    const auto known = std::ranges::find(sizes, config_.sizes(layer));
    specs_of_layer_.push_back(static_cast<size_t>(known - sizes.begin()));
    if (known != sizes.end()) continue;
    sizes.push_back(config_.sizes(layer));
    specs_.push_back(family.tensors(config_.with_sizes_of(layer)));
  }
  for (const TensorSpec& spec : specs().outer) parameters_.push_back(declared(spec, 0));
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    const TensorSpecs& own = specs_[specs_of_layer_[static_cast<size_t>(layer)]];
    for (const TensorSpec& spec : own.layer) parameters_.push_back(declared(spec, layer));
  }
}

Rotation Model::rotation(const RaggedBatch& batch, int64_t layer) const {
  const RopeParameters& rope = config_.rope_of(layer);
  const bool own = &rope != &config_.rope;
  int64_t needed = 0;
  for (int32_t position : batch.positions) needed = std::max<int64_t>(needed, position + 1);
  auto table = [&](int64_t length) {
    RopeTable& found = rope_tables_[own][length];
    if (found.positions() < needed) {
      const auto rounded = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(needed)));
      found = rope_table(rope_frequencies(rope, length), std::max<int64_t>(rounded, 1024));
    }
    return &found;
  };
  Rotation how{{}, batch.text_positions, config_.sizes(layer).head_dim, config_.rope_pairing};
  const bool same = std::ranges::all_of(
      batch.lengths, [&](int64_t tokens) { return rope_length(rope, tokens) == 0; });
  if (same) {
    how.tables.all = table(0);
  } else {
    for (int64_t tokens : batch.lengths) {
      how.tables.by_sequence.push_back(table(rope_length(rope, tokens)));
    }
  }
  return how;
}

const TensorSpec& Model::spec(size_t i) const {
  const size_t outer = specs().outer.size(), each = specs().layer.size();
  if (i < outer) return specs().outer[i];
  return specs_[specs_of_layer_[(i - outer) / each]].layer[(i - outer) % each];
}

double Model::use(size_t i) const {
  const Routing& how = config_.experts.routing;
  if (!spec(i).of_expert) return 1;
  return static_cast<double>(how.chosen()) / static_cast<double>(how.num_experts);
}

Parameter* Model::find(std::string_view name) {
  for (Parameter& parameter : parameters_) {
    if (!name.empty() && parameter.name == name) return &parameter;
  }
  return nullptr;
}

int64_t Model::num_parameters() const {
  int64_t total = 0;
  for (const Parameter& parameter : parameters_) {
    if (!parameter.name.empty()) total += parameter.shape.count();
  }
  return total;
}

size_t Model::resident_bytes() const {
  size_t total = 0;
  for (const Parameter& parameter : parameters_) {
    if (parameter.packed.bytes != nullptr) total += parameter.packed.bytes->size();
    if (!parameter.value.empty()) total += parameter.value.bytes();
  }
  return total;
}

Arithmetic Model::arithmetic() const {
  return config_.dtype == DType::f32 ? Arithmetic::f32 : Arithmetic::bf16;
}

CacheLayout Model::cache_layout() const {
  std::vector<AttentionShape> cached;
  for (int64_t layer = 0; layer < config_.num_layers; ++layer) {
    if (config_.is_cached(layer)) cached.push_back(config_.attention_shape(layer));
  }
  const auto indexers = static_cast<size_t>(config_.num_indexers());
  cached.insert(cached.end(), indexers, config_.indexer.selector.shape());
  CacheLayout layout = millrace::cache_layout(cached, cache_dtype());
  layout.num_states = config_.num_linear_layers();
  if (layout.num_states > 0) layout.state_size = config_.linear_state_size();
  return layout;
}

DType Model::cache_dtype() const {
  return cache_dtype_.value_or(config_.dtype == DType::f32 ? DType::f32 : DType::bf16);
}

Value head_input(Context& context, const Model& model, const Value& hidden) {
  const auto prepare = model.family().head_input;
  return prepare == nullptr ? hidden : prepare(context, model, hidden);
}

Value head_logits(Context& context, const Model& model, const Value& hidden) {
  const Head head = model.head();
  require(!head.unit_rows, "a {} model that is trained has losses, but no logits to sample from",
          model.config().model_type);
  Value x = context.linear(head_input(context, model, hidden), head.weight, head.bias);
  if (head.softcap == 0) return x;
  x = context.activate(context.scale(x, 1 / head.softcap), Activation::tanh);
  return context.scale(x, head.softcap);
}

Value logits(Context& context, const Model& model, std::span<const int64_t> rows) {
  Value hidden = model.family().forward(context, model);
  return head_logits(context, model, context.gather_rows(hidden, rows));
}

std::unique_ptr<Model> initialized_model(ModelConfig config, uint64_t seed) {
  validate(config, "the model's configuration");
  const Family& family = family_of_model_type(config.model_type, "the model's configuration");
  auto model = std::make_unique<Model>(family, std::move(config));
  for (size_t i = 0; i < model->parameters().size(); ++i) {
    Parameter& parameter = model->parameters()[i];
    if (!parameter.name.empty()) initialize(parameter, model->spec(i), model->config(), seed);
  }
  return model;
}

DType cache_dtype_from_name(std::string_view name) {
  if (name == "f32") return DType::f32;
  if (name == "bf16") return DType::bf16;
  require(name == "q8", "the cache's type is {}; it must be f32, bf16 or q8", quote(name));
  return DType::i8;
}

}  // namespace millrace
