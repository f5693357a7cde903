// How a model makes vectors of texts, as the files beside it say.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace {

/// What of the hidden states of a text's tokens is its embedding.
enum class Pooling : uint8_t { mean, first_token, last_token, max };

struct EmbeddingSettings {
  Pooling pooling = Pooling::mean;
  bool normalise = true;   ///< embeddings are brought to length 1
  int64_t max_tokens = 0;  ///< of a text, whose rest is not read; 0: as many as the model takes
  /// What is put before texts, by name: of a query, of a passage.
  std::vector<std::pair<std::string, std::string>> prompts = {};
  std::string default_prompt = "";  ///< the name of what is put before those of no other; or none
  bool sigmoid_scores = true;       ///< a cross-encoder's logits are scored as probabilities

  /// Throws Error listing the names that there are.
  const std::string& prompt(std::string_view name) const;
  bool operator==(const EmbeddingSettings&) const = default;
};

/// Reads a folder's sentence-transformers files (modules.json, the pooling that it names,
/// sentence_bert_config.json, config_sentence_transformers.json), what config.json says of a
/// cross-encoder's scores, or GGUF's pooling_type. Where there are none, settings are those above.
/// Throws Error that names the file for what is not supported.
EmbeddingSettings load_embedding_settings(const std::filesystem::path& model);

/// Writes the same files beside a config.json, where settings are not the default ones; `width` is
/// that of the embeddings.
void save_embedding_settings(const EmbeddingSettings& settings, int64_t width,
                             const std::filesystem::path& folder);

/// GGUF's number of a pooling. Throws Error for max, which it has none for.
uint32_t gguf_pooling(Pooling pooling);

}  // namespace millrace
