// The weights of a Hugging Face folder by the names that a plain model has, whatever fewer bits
// they were published in: FP8 with scales, MXFP4, GPTQ, AWQ, compressed-tensors.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/formats/tensor_table.h"

namespace millrace {

/// Which stored tensors make up a weight.
struct StoredWeight {
  enum class How : uint8_t { plain, mxfp4, integers };

  How how = How::plain;
  std::string base;                ///< the weight's name, or of integers their module's
  std::vector<std::string> names;  ///< all of them, but for the scales of a plain one
};

/// How a weight of this name, or of the name without its first part, is stored where `has` says
/// which tensors there are. `quantized`: the model says that weights have fewer bits.
std::optional<StoredWeight> find_stored_weight(
    const std::string& name, bool quantized, const std::function<bool(const std::string&)>& has);

/// A weight that is put together when it is asked for.
struct PublishedWeight {
  Shape shape;                        ///< of the whole weight, [out, in]
  bool in_blocks = false;             ///< packed codes, which are never stored as [in, out]
  std::function<Tensor()> load;       ///< its own type, a block type, or f32
  std::vector<const Tensor*> stored;  ///< what it is put together from
};

/// Finds weights, and remembers which stored tensors have been of use.
class PublishedWeights {
 public:
  /// `config` is a model's config.json, whose "quantization_config" says how weights are stored.
  /// Throws Error for a method that is not read. The table must outlive this.
  PublishedWeights(const TensorTable& tensors, const Json& config, const std::string& source);

  /// A weight of this name, or of the name without its first part, as Hugging Face's base classes
  /// save it. nullopt when there is none; throws Error when it is there in part.
  std::optional<PublishedWeight> find(const std::string& name);

  /// Whether find has given a stored tensor away.
  bool is_used(const std::string& stored_name) const { return used_.contains(stored_name); }

 private:
  const Tensor* use(const std::string& name);
  PublishedWeight scaled(const std::string& name, const Tensor& codes);
  PublishedWeight mxfp4(const std::string& name, const Tensor& codes);
  PublishedWeight integers(const StoredWeight& stored);

  const TensorTable& tensors_;
  std::string source_;
  std::string method_;         ///< "quant_method"; empty: weights are plain
  int bits_ = 4;               ///< of GPTQ's, AWQ's and compressed-tensors' codes
  bool zeros_as_are_ = false;  ///< GPTQ's second format, whose zeros are not moved down by one
  int64_t block_rows_ = 0, block_cols_ = 0;  ///< that share a scale of FP8; 0: equal parts do
  std::set<std::string> used_;
};

}  // namespace millrace
