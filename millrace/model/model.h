// A model: a family, a configuration and the weights.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "millrace/base/file.h"
#include "millrace/graph/context.h"
#include "millrace/graph/pages.h"
#include "millrace/graph/parameter.h"
#include "millrace/model/config.h"
#include "millrace/model/family.h"

namespace millrace {

/// The weights of one model, in the order of its family's TensorSpecs. Does not move: parameters
/// are referred to by address.
class Model {
 public:
  /// A model whose parameters have names and shapes but no values yet.
  Model(const Family& family, ModelConfig config);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const Family& family() const { return *family_; }
  const ModelConfig& config() const { return config_; }
  /// The family's tensors; shapes within layers are those of the first layer.
  const TensorSpecs& specs() const { return specs_.front(); }

  /// The family's i-th tensor outside the layers; null where this model has none.
  const Parameter* outer(size_t i) const { return present(i); }
  /// The family's i-th tensor of a layer; null where this model has none.
  const Parameter* layer(int64_t layer, size_t i) const {
    return present(specs().outer.size() + static_cast<size_t>(layer) * specs().layer.size() + i);
  }
  /// What turns hidden states into logits.
  Head head() const { return family_->head(*this); }

  /// All parameters; those that the model does not have have no name.
  std::span<Parameter> parameters() { return parameters_; }
  std::span<const Parameter> parameters() const { return parameters_; }
  /// The specification of parameters()[i].
  const TensorSpec& spec(size_t i) const;
  /// How many tokens of one parameters()[i] is used by, on average: below 1 in experts.
  double use(size_t i) const;
  /// By Hugging Face's name; null when there is none.
  Parameter* find(std::string_view name);

  /// How a layer turns the heads of a batch. Tables grow when a batch goes further than those
  /// before it. Not for several threads.
  Rotation rotation(const RaggedBatch& batch, int64_t layer) const;

  /// Numbers in all parameters.
  int64_t num_parameters() const;
  /// Bytes held by the packed weights.
  size_t resident_bytes() const;

  /// Changes what config.json will say of the matrices' type, before they are written as such. Not
  /// for a model that still runs: the type decides its arithmetic too.
  void set_dtype(DType dtype) { config_.dtype = dtype; }

  /// What config.json will say of how the model learned to read prompts.
  void set_prefix_lm(bool prefix_lm) { config_.prefix_lm = prefix_lm; }

  /// The file that packed weights are mapped from, while some still are (weight_cache.h).
  const MappedFile* mapped_weights() const { return mapped_weights_.get(); }
  void set_mapped_weights(std::shared_ptr<const MappedFile> file) {
    mapped_weights_ = std::move(file);
  }

  /// How activations are rounded before products: f32 for f32 weights, else bf16.
  Arithmetic arithmetic() const;
  /// What a cache of its keys and values is like.
  CacheLayout cache_layout() const;
  /// What keys and values are rounded to: what was set, or f32 for f32 weights, else bf16.
  DType cache_dtype() const;
  /// f32, bf16, or i8 with scales (kernels/attention.h); for a model that is only run.
  void set_cache_dtype(DType dtype) { cache_dtype_ = dtype; }

 private:
  const Parameter* present(size_t i) const {
    return parameters_[i].name.empty() ? nullptr : &parameters_[i];
  }

  const Family* family_;
  ModelConfig config_;
  std::vector<TensorSpecs> specs_;      // of every size of layers
  std::vector<size_t> specs_of_layer_;  // which of them
  std::vector<Parameter> parameters_;
  std::shared_ptr<const MappedFile> mapped_weights_;
  /// By rope_length: of the layers without a window of their own rope, and of those with one.
  mutable std::map<int64_t, RopeTable> rope_tables_[2];
  std::optional<DType> cache_dtype_;
};

/// What the head reads in place of final hidden states [rows, hidden_size].
Value head_input(Context& context, const Model& model, const Value& hidden);

/// The logits [rows, vocab_size or labels] of final hidden states [rows, hidden_size].
Value head_logits(Context& context, const Model& model, const Value& hidden);

/// Runs the family's forward function and the head: logits [rows, vocab_size or labels] of the
/// given rows of the batch.
Value logits(Context& context, const Model& model, std::span<const int64_t> rows);

/// A model with fresh random weights: the i-th number of a tensor depends on `seed`, the tensor's
/// name and i alone.
std::unique_ptr<Model> initialized_model(ModelConfig config, uint64_t seed);

/// What keys and values are to be rounded to, by the name that options give it: f32, bf16 or q8.
/// Throws Error for another.
DType cache_dtype_from_name(std::string_view name);

}  // namespace millrace
