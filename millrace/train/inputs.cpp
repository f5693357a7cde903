#include "millrace/train/inputs.h"

#include <algorithm>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/thread_pool.h"
#include "millrace/data/chat_document.h"
#include "millrace/data/conversation.h"
#include "millrace/data/corpus.h"
#include "millrace/data/text_document.h"
#include "millrace/generate/export.h"
#include "millrace/hub/store.h"
#include "millrace/text/bpe_train.h"

namespace millrace {
namespace {

DType precision_dtype(const Recipe& recipe) {
  return recipe.precision == "f32" ? DType::f32 : DType::bf16;
}

constexpr std::pair<std::string_view, ObjectiveKind> kObjectives[] = {
    {"causal", ObjectiveKind::causal},
    {"fill_in_the_middle", ObjectiveKind::fill_in_the_middle},
    {"prefix", ObjectiveKind::prefix},
    {"span_corruption", ObjectiveKind::span_corruption},
    {"blank_infilling", ObjectiveKind::blank_infilling},
    {"masked", ObjectiveKind::masked}};

ObjectiveKind objective_kind(const DataRecipe& data) {
  for (const auto& [name, kind] : kObjectives) {
    if (data.objective == name) return kind;
  }
  fail("data.objective: there is no '{}'", data.objective);
}

/// Throws Error unless hidden tokens are told by an encoder, next ones by a decoder, and those of a
/// target by a decoder that has a source where it reads one.
void require_learns(const ModelConfig& config, const DataRecipe& data) {
  const ObjectiveKind kind = objective_kind(data);
  if (kind != ObjectiveKind::masked) {
    require(!config.has_encoder() || kind == ObjectiveKind::prefix ||
                kind == ObjectiveKind::span_corruption,
            "data.objective: {} has no text for the encoder of this {} model; prefix and "
            "span_corruption do",
            data.objective, config.model_type);
    return require_causal(config);
  }
  require(!config.causal && config.head == HeadKind::tokens,
          "data.objective: masked is for encoders with a head of tokens (…ForMaskedLM), which this "
          "{} model is not",
          config.model_type);
}

/// Whether a decoder of its own learns to see the beginning of a text both ways.
bool makes_prefix_lm(const ModelConfig& config, const DataRecipe& data) {
  const ObjectiveKind kind = objective_kind(data);
  return !config.has_encoder() &&
         (kind == ObjectiveKind::prefix || kind == ObjectiveKind::span_corruption);
}

// --- The model --------------------------------------------------------------------------------

/// Learns a tokenizer from the recipe's texts.
Tokenizer trained_tokenizer(const Recipe& recipe) {
  BpeTrainOptions options;
  options.vocab_size = static_cast<int32_t>(recipe.tokenizer.vocab_size);
  for (const std::string& token : objective_tokens(objective_kind(recipe.data))) {
    options.special_tokens.push_back(token);
  }
  const PreTokenizer pre_tokenizer = PreTokenizer::named(options.pre_tokenizer, "tokenizer");
  constexpr size_t kBlockBytes = size_t{16} << 20;
  WordCounts words;
  std::vector<std::string> texts;
  size_t bytes = 0;
  auto count = [&] {
    words.add(std::vector<std::string_view>(texts.begin(), texts.end()), pre_tokenizer);
    texts.clear();
    bytes = 0;
  };
  for (const std::filesystem::path& file : corpus_files(recipe.data.train)) {
    for_each_document(file, recipe.data.separator, [&](std::string_view text) {
      texts.emplace_back(text);
      bytes += text.size();
      if (bytes >= kBlockBytes) count();
    });
  }
  count();
  return train_bpe(words, options);
}

/// Where a recipe without init_from has its tokenizer; made there the first time.
std::filesystem::path tokenizer_path(const Recipe& recipe, const std::filesystem::path& run) {
  if (!recipe.tokenizer.path.empty()) return hub::model_path(recipe.tokenizer.path);
  require(
      recipe.data.format == "text",
      "tokenizer.path: name a tokenizer; one can be trained on text only, not on conversations");
  std::filesystem::path path = run / "tokenizer";
  if (!std::filesystem::exists(path)) {
    Tokenizer tokenizer = trained_tokenizer(recipe);
    write_folder(path, [&](const std::filesystem::path& folder) {
      save_tokenizer(tokenizer, std::string(built_in_template("chatml")), folder);
    });
  }
  return path;
}

LanguageModel new_model(const Recipe& recipe, const std::filesystem::path& run) {
  const std::filesystem::path path = tokenizer_path(recipe, run);
  Tokenizer tokenizer = load_tokenizer(path);
  ModelConfig config = model_config(recipe, tokenizer);
  require_learns(config, recipe.data);
  config.prefix_lm = makes_prefix_lm(config, recipe.data);
  auto model = initialized_model(config, static_cast<uint64_t>(recipe.seed));
  return make_language_model(std::move(model), std::move(tokenizer), load_chat_template(path),
                             path.string());
}

/// A model that can learn what the recipe says.
LanguageModel open_learner(const std::filesystem::path& path, const LoadOptions& options,
                           const DataRecipe& data) {
  LanguageModel model = open_language_model(path, {}, options);
  require_learns(model.model->config(), data);
  model.model->set_prefix_lm(makes_prefix_lm(model.model->config(), data));
  return model;
}

/// The base of LoRA: a GGUF keeps its types, a folder gets the recipe's.
LanguageModel base_model(const Recipe& recipe) {
  const std::filesystem::path path = hub::model_path(recipe.model.init_from);
  LoadOptions options;
  if (path.extension() != ".gguf") options.dtype = precision_dtype(recipe);
  return open_learner(path, options, recipe.data);
}

std::unique_ptr<Adapter> new_adapter(const Recipe& recipe, const Model& model) {
  std::vector<std::string> targets = recipe.lora.targets;
  if (targets == std::vector<std::string>{"all-linear"}) targets.clear();
  return std::make_unique<Adapter>(model, recipe.lora.rank, static_cast<float>(recipe.lora.alpha),
                                   std::move(targets), static_cast<uint64_t>(recipe.seed));
}

// --- The data ---------------------------------------------------------------------------------

/// What decides the ids besides the text itself.
std::string encoder_name(const DataRecipe& data, const LanguageModel& language_model) {
  return data.format + "\n" + to_json_text(language_model.tokenizer.to_json()) + "\n" +
         (data.format == "text" ? data.separator : language_model.chat_template_source);
}

/// Calls `take` with each document of the conversations in `files`.
void encode_conversations(const DataRecipe& data, const std::vector<std::filesystem::path>& files,
                          const LanguageModel& language_model,
                          FunctionRef<void(const Document&)> take) {
  for (const std::filesystem::path& file : files) {
    std::vector<Conversation> conversations =
        read_conversations(file, conversation_format(data.format));
    std::vector<std::vector<Document>> documents(conversations.size());
    parallel_for(static_cast<int64_t>(conversations.size()), [&](int64_t index) {
      const auto i = static_cast<size_t>(index);
      documents[i] =
          chat_documents(conversations[i], language_model.chat_template, language_model.tokenizer);
    });
    for (const std::vector<Document>& some : documents) {
      for (const Document& document : some) take(document);
    }
  }
}

void encode_files(const DataRecipe& data, const std::vector<std::filesystem::path>& files,
                  const LanguageModel& language_model, FunctionRef<void(const Document&)> take) {
  if (data.format != "text") return encode_conversations(data, files, language_model, take);
  encode_corpus(
      files, data.separator,
      [&](std::string_view text) { return text_document(text, language_model.tokenizer); }, take);
}

/// The files that a recipe's entries name: only texts come in folders.
std::vector<std::filesystem::path> files_of(const DataRecipe& data,
                                            const std::vector<std::string>& entries) {
  if (data.format == "text") return corpus_files(entries);
  return {entries.begin(), entries.end()};
}

}  // namespace

namespace {

/// A config.json with the fields that the recipe's shape stands for.
Json shape_fields(const ModelRecipe& model) {
  const bool llama = model.family == "llama";
  Json json = {{"model_type", model.family},
               {llama ? "hidden_size" : "n_embd", model.hidden_size},
               {llama ? "num_hidden_layers" : "n_layer", model.num_layers},
               {llama ? "num_attention_heads" : "n_head", model.num_heads},
               {llama ? "intermediate_size" : "n_inner", model.intermediate_size},
               {llama ? "max_position_embeddings" : "n_positions", model.max_position_embeddings},
               {llama ? "rms_norm_eps" : "layer_norm_epsilon", model.norm_eps},
               {"tie_word_embeddings", model.tie_embeddings}};
  if (llama) {
    json["num_key_value_heads"] = model.num_kv_heads;
    json["rope_theta"] = model.rope_theta;
  }
  return json;
}

/// The file that the recipe's model.config names, without what says how its weights were stored.
Json fields_of_file(const std::string& given) {
  std::filesystem::path path = hub::model_path(given);
  if (std::filesystem::is_directory(path)) path /= "config.json";
  Json json = read_json(path);
  for (const char* field : {"dtype", "quantization_config", "bos_token_id", "eos_token_id",
                            "pad_token_id", "decoder_start_token_id"}) {
    json.erase(field);
  }
  return json;
}

}  // namespace

ModelConfig model_config(const Recipe& recipe, const Tokenizer& tokenizer) {
  const std::string& file = recipe.model.config;
  const std::string source = file.empty() ? "the recipe's model" : file;
  Json json = file.empty() ? shape_fields(recipe.model) : fields_of_file(file);
  json["vocab_size"] = tokenizer.vocab_size();
  json["torch_dtype"] = recipe.precision == "f32" ? "float32" : "bfloat16";
  if (tokenizer.bos() >= 0) json["bos_token_id"] = tokenizer.bos();
  if (!tokenizer.end_ids().empty()) json["eos_token_id"] = tokenizer.end_ids();
  // A decoder beside an encoder begins with padding, as T5's does.
  if (tokenizer.pad() >= 0) json["decoder_start_token_id"] = tokenizer.pad();
  ModelConfig config = parse_config(to_json_text(json), source);
  require(recipe.data.sequence_length <= config.max_position_embeddings,
          "data.sequence_length: {} is more than the max_position_embeddings of {}, {}",
          recipe.data.sequence_length, source, config.max_position_embeddings);
  return config;
}

LanguageModel open_model_to_train(const Recipe& recipe, const std::filesystem::path& run,
                                  const std::optional<Checkpoint>& checkpoint) {
  if (recipe.lora.rank > 0) {
    LanguageModel base = base_model(recipe);
    base.adapter = checkpoint ? Adapter::load(*base.model, checkpoint->path)
                              : new_adapter(recipe, *base.model);
    return base;
  }
  LoadOptions options;
  options.dtype = precision_dtype(recipe);
  options.for_training = true;
  if (!checkpoint && recipe.model.init_from.empty()) return new_model(recipe, run);
  return open_learner(checkpoint ? checkpoint->path : hub::model_path(recipe.model.init_from),
                      options, recipe.data);
}

TokenDataset open_dataset(const DataRecipe& data, const std::vector<std::string>& entries,
                          const LanguageModel& language_model, const std::filesystem::path& cache) {
  if (entries.empty()) return {};
  const std::vector<std::filesystem::path> files = files_of(data, entries);
  return cached_dataset(cache, files, encoder_name(data, language_model), [&](auto& writer) {
    encode_files(data, files, language_model,
                 [&](const Document& document) { writer.append(document); });
  });
}

TokenDataset read_dataset(const DataRecipe& data, const std::vector<std::string>& entries,
                          const LanguageModel& language_model) {
  std::vector<Document> documents;
  encode_files(data, files_of(data, entries), language_model,
               [&](const Document& document) { documents.push_back(document); });
  return TokenDataset(documents);
}

Objective objective_of(const DataRecipe& data, const LanguageModel& language_model) {
  ObjectiveOptions options;
  options.kind = objective_kind(data);
  options.fim_rate = data.fim_rate;
  options.mask_rate = data.mask_rate;
  options.whole_words = data.whole_words;
  options.span_length = data.span_length;
  options.sentence_rate = data.sentence_rate;
  options.document_rate = data.document_rate;
  const ModelConfig& config = language_model.model->config();
  if (config.has_encoder()) options.decoder_start = config.decoder_start_token_id;
  return Objective(options, language_model.tokenizer);
}

LongDocuments long_documents(const DataRecipe& data) {
  return data.format == "text" ? LongDocuments::cut : LongDocuments::truncate;
}

TokenLengths token_lengths(const Tokenizer& tokenizer) {
  TokenLengths lengths;
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
    std::string_view bytes =
        tokenizer.is_special(id) ? std::string_view() : tokenizer.token_bytes(id);
    // A character begins at every byte that does not continue one (10xxxxxx in UTF-8).
    auto begins = std::count_if(bytes.begin(), bytes.end(), [](char c) {
      return (static_cast<unsigned char>(c) & 0xc0u) != 0x80u;
    });
    lengths.bytes.push_back(static_cast<int32_t>(bytes.size()));
    lengths.characters.push_back(static_cast<int32_t>(begins));
  }
  return lengths;
}

}  // namespace millrace
