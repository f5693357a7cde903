// A model family: its names, its configuration, its tensors and its forward function.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/formats/gguf.h"
#include "millrace/graph/context.h"
#include "millrace/model/config.h"

namespace millrace {

class Model;

/// How a tensor begins its life when a model is trained from nothing.
enum class Initialization : uint8_t {
  normal,           ///< N(0, initializer_range²)
  normal_residual,  ///< the same divided by √(2 · num_layers) (Radford et al. 2019)
  ones,
  zeros,
};

/// Rows of a file's tensor that make one of ours. The file's tensor is `groups` groups of
/// `group_rows` rows; ours has, of each, the rows from `begin` on, as many as its own rows share
/// out. Packed queries, keys and values lie like this, and packed gates. Where the tensor has a
/// dimension in front, as stacked experts do, all that is said of one slice of it.
struct RowPart {
  int64_t groups = 1;
  int64_t begin = 0;
  int64_t group_rows = 0;  ///< 0: all rows
  int64_t slice = 0;
  int64_t slices = 0;   ///< 0: there is no dimension in front
  bool turned = false;  ///< ours is the transpose of those rows

  bool is_whole() const { return group_rows == 0 && slices == 0 && !turned; }
};

/// Heads, `outer` times `inner` of them, that a file has in another order than the model: as
/// `inner` times `outer`. Of a tensor's rows, or of its columns.
struct HeadTurn {
  int64_t outer = 0;  ///< 0: the order is the same
  int64_t inner = 0;
  bool columns = false;
};

/// One tensor of a family. In the names of a layer's tensors "{}" stands for the layer's index,
/// less first_layer.
struct TensorSpec {
  std::string name;       ///< Hugging Face's, e.g. "model.layers.{}.mlp.up_proj.weight"
  std::string gguf_name;  ///< llama.cpp's, e.g. "blk.{}.ffn_up.weight"
  Shape shape;            ///< {out, in} or {width}; rank 0 when this model has none
  Initialization initialization = Initialization::normal;
  bool transposed = false;         ///< the Hugging Face file holds [in, out], packed or not
  int64_t interleaved_heads = 0;   ///< GGUF orders the rows of this many heads for interleaved rope
  std::string packed_in = {};      ///< the Hugging Face tensor that it is some rows of; empty: none
  RowPart packed_rows = {};        ///< which rows
  RowPart gguf_rows = {};          ///< the same of the tensor that gguf_name names
  HeadTurn published_turn = {};    ///< what the Hugging Face file is written with
  HeadTurn gguf_turn = {};         ///< and a GGUF file; none is read so
  bool gguf_negative_exp = false;  ///< GGUF holds -exp(x) in the place of each x
  float offset = 0;                ///< added to what the Hugging Face file holds
  bool in_f32 = false;             ///< kept in f32 whatever the model's type is: routers
  bool is_table = false;           ///< Parameter::is_table
  Shape published_shape = {};      ///< in the Hugging Face file, where that has extents of 1 more
  bool unit_rows = false;          ///< its rows are used at length 1, and packed so
  bool of_expert = false;          ///< only tokens that chose its expert use it
  std::vector<bool> layers = {};   ///< which layers have the tensor; empty: all of them
  int64_t first_layer = 0;         ///< which layer files call 0
  float std_dev = 0;               ///< of `normal`; 0: initializer_range
};

/// All tensors of a model: those outside the layers, and those of one layer.
struct TensorSpecs {
  std::vector<TensorSpec> outer;
  std::vector<TensorSpec> layer;
  /// Ends of the names of tensors that files may have beside them, and the model does not need.
  std::vector<std::string> unneeded = {};
  /// And beginnings of the names of such tensors.
  std::vector<std::string> unneeded_beginnings = {};
};

struct Family {
  std::vector<std::string> model_types;  ///< config.json's `model_type` that it answers to
  std::vector<std::string>
      gguf_architectures;  ///< GGUF's `general.architecture`, the first is written; may be none
  ModelConfig (*read_config)(const Json& config, std::string_view source);
  Json (*write_config)(const ModelConfig& config);
  /// Null where another family reads the architecture, and tells by the file that it is this one.
  ModelConfig (*read_gguf)(const GgufFile& file);
  GgufMetadata (*write_gguf)(const ModelConfig& config);
  TensorSpecs (*tensors)(const ModelConfig& config);
  /// The final hidden states [tokens, hidden] of the context's batch, normalised for the head.
  Value (*forward)(Context& context, const Model& model);
  /// What turns hidden states into logits.
  Head (*head)(const Model& model);
  /// What the head reads in place of hidden states [rows, hidden]; null: them.
  Value (*head_input)(Context& context, const Model& model, const Value& hidden) = nullptr;
  /// Files whose `model_type` is another family's are this one's where config.json has the field.
  struct Alias {
    std::string_view model_type, field;
  };
  Alias alias = {};
};

/// Every family of this program.
std::span<const Family> families();

/// The family that reads a config.json. Throws Error listing what there is.
const Family& family_of_config(const Json& config, std::string_view source);
/// The family that answers to a ModelConfig's model_type. Throws Error listing what there is.
const Family& family_of_model_type(std::string_view model_type, std::string_view source);
/// The family that answers to a GGUF's architecture. Throws Error listing what there is.
const Family& family_of_architecture(std::string_view architecture, std::string_view source);

}  // namespace millrace
