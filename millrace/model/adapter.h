// LoRA adapters (Hu et al. 2021) in the folder layout of PEFT.
#pragma once

#include <cstdint>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "millrace/graph/parameter.h"
#include "millrace/model/model.h"

namespace millrace {

/// Low-rank additions to some matrices of one model. Does not move: they are referred to by
/// address.
class Adapter {
 public:
  /// A fresh adapter: A random, B zero, for every matrix in a layer whose module is named in
  /// `targets` ("q_proj"), or for all of them when it is empty. Throws Error for a target that
  /// names no matrix of the model. Values are set.
  Adapter(const Model& model, int64_t rank, float alpha, std::vector<std::string> targets,
          uint64_t seed);

  /// Reads adapter_config.json and adapter_model.safetensors. What is added to a module that files
  /// pack several matrices in is shared out among them: each has a copy of A and its rows of B.
  /// Throws Error that names the file and the field or tensor when it does not fit the model or
  /// asks for what is not supported.
  static std::unique_ptr<Adapter> load(const Model& model, const std::filesystem::path& folder);

  /// Writes them for the modules that the model's Hugging Face files have. Where the matrices of
  /// one have each their own A, the module's rank is the sum of theirs, and load parts them again.
  void save(const std::filesystem::path& folder, const std::string& base_model) const;

  /// The additions by matrix, for Context::set_adapter.
  const LowRankMap& map() const { return map_; }
  /// A and B of every addition.
  std::deque<Parameter>& parameters() { return parameters_; }
  const std::deque<Parameter>& parameters() const { return parameters_; }
  int64_t rank() const { return rank_; }
  float alpha() const { return alpha_; }

 private:
  Adapter(const Model& model, int64_t rank, float alpha)
      : model_(model), rank_(rank), alpha_(alpha) {}
  void add(const Parameter& matrix, Tensor a, Tensor b, float scale);

  const Model& model_;
  int64_t rank_;
  float alpha_;
  std::deque<Parameter> parameters_;
  LowRankMap map_;
};

/// Adds an adapter's products to the model's matrices, which are packed anew at their type (plain
/// types only). Afterwards the model needs the adapter no more.
void merge(Model& model, const Adapter& adapter);

}  // namespace millrace
