// Models from Hugging Face folders and GGUF files, and back.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "millrace/formats/gguf.h"
#include "millrace/model/model.h"

namespace millrace {

struct LoadOptions {
  /// The type of the matrices in memory; by default what config.json says, or each tensor's own in
  /// a GGUF file.
  std::optional<DType> dtype = {};
  /// Keep every weight as an f32 master copy too, to be trained.
  bool for_training = false;
  /// A folder that keeps packed weights for the next start (weight_cache.h); empty: none is kept.
  std::filesystem::path weight_cache = {};
  /// Bytes of weights that memory has room for; by default what is available. A larger model is
  /// read from its packed weights on disk while it runs.
  std::optional<uint64_t> memory = {};
  /// Told what a user should know: of such a model, and of one whose text part alone is opened.
  std::function<void(const std::string&)> notice = {};
};

/// Opens a Hugging Face folder (config.json, safetensors) or a .gguf file. Throws Error that names
/// the file and the field or tensor when it cannot be used.
std::unique_ptr<Model> load_model(const std::filesystem::path& path,
                                  const LoadOptions& options = {});

/// A config.json's text; `source` begins error messages.
ModelConfig parse_config(std::string_view text, std::string_view source);

/// The configuration alone.
ModelConfig load_config(const std::filesystem::path& path);

/// Writes config.json, generation_config.json and safetensors into a folder. Matrices are written
/// as `dtype` (by default the configuration's), vectors as f32.
void save_model(const Model& model, const std::filesystem::path& folder,
                std::optional<DType> dtype = std::nullopt);

/// Which type each tensor of a quantised file gets.
struct Quantization {
  std::string name;                ///< "Q4_K_M"
  DType matrices;                  ///< most matrices
  DType head;                      ///< token embeddings and the head
  std::optional<DType> sensitive;  ///< the value and down projections of some layers
};

/// By name, case-insensitively: a type's own ("Q8_0", "F16"), or Q4_K_M, Q5_K_M, Q3_K_M … Throws
/// Error listing what there is.
Quantization quantization_from_name(std::string_view name);

/// Writes a GGUF file: the family's keys, then `extra` (the tokenizer's, the chat template's).
/// A matrix whose rows do not fill the type's blocks gets the nearest type that they do fill.
void save_gguf(const Model& model, const std::filesystem::path& path,
               const Quantization& quantization, const GgufMetadata& extra);

}  // namespace millrace
