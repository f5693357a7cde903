#include "millrace/generate/export.h"

#include "millrace/base/file.h"
#include "millrace/formats/gguf.h"
#include "millrace/generate/rerank.h"

namespace millrace {

namespace {

/// A folder says in its configuration which other token ends a turn, a GGUF beside the tokenizer.
void add_end_of_turn(const LanguageModel& model, GgufMetadata& metadata) {
  constexpr const char* kKey = "tokenizer.ggml.eot_token_id";
  if (metadata.get_optional<int32_t>(kKey)) return;
  for (int32_t id : model.model->config().eos_token_ids) {
    if (id == model.tokenizer.eos()) continue;
    return metadata.set(kKey, static_cast<uint32_t>(id));
  }
}

/// How an encoder makes embeddings; a decoder's file is for writing text.
void add_pooling(const LanguageModel& model, GgufMetadata& metadata) {
  constexpr uint32_t kRank = 4;
  const std::vector<std::string>& names = model.model->family().gguf_architectures;
  if (model.model->config().causal || names.empty()) return;
  metadata.set(names.front() + ".pooling_type",
               is_cross_encoder(model) ? kRank : gguf_pooling(model.embedding.pooling));
}

}  // namespace

void export_gguf(const LanguageModel& model, const std::filesystem::path& path,
                 const Quantization& quantization) {
  GgufMetadata extra;
  model.tokenizer.to_gguf(extra);
  add_end_of_turn(model, extra);
  add_pooling(model, extra);
  extra.set("tokenizer.chat_template", model.chat_template_source);
  save_gguf(*model.model, path, quantization, extra);
}

void export_folder(const LanguageModel& model, const std::filesystem::path& folder, DType dtype) {
  save_model(*model.model, folder, dtype);
  save_tokenizer(model.tokenizer, model.chat_template_source, folder);
  save_embedding_settings(model.embedding, model.model->config().hidden_size, folder);
}

void save_tokenizer(const Tokenizer& tokenizer, const std::string& chat_template,
                    const std::filesystem::path& folder) {
  make_folder(folder);
  Json config = tokenizer.config_json();
  if (!chat_template.empty()) config["chat_template"] = chat_template;
  write_file(folder / "tokenizer.json", to_json_text(tokenizer.to_json(), 1) + "\n");
  write_file(folder / "tokenizer_config.json", to_json_text(config, 2) + "\n");
}

}  // namespace millrace
