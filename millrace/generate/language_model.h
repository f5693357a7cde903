// A model with its tokenizer and chat template: all that one needs to talk to it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/generate/embedding_settings.h"
#include "millrace/generate/grammar/compiled_grammar.h"
#include "millrace/generate/sampler.h"
#include "millrace/generate/scheduler.h"
#include "millrace/model/adapter.h"
#include "millrace/model/load.h"
#include "millrace/text/chat_template.h"
#include "millrace/text/stream_decoder.h"
#include "millrace/text/tokenizer.h"

namespace millrace {

struct LanguageModel {
  std::unique_ptr<Model> model;
  Tokenizer tokenizer;
  std::string chat_template_source;
  ChatTemplate chat_template;
  std::shared_ptr<Adapter> adapter;  ///< null: none
  EmbeddingSettings embedding = {};  ///< how texts become vectors

  const LowRankMap* adapter_map() const { return adapter == nullptr ? nullptr : &adapter->map(); }
  /// The same for SequenceRequest: it lives as long as a sequence needs it.
  std::shared_ptr<const LowRankMap> shared_adapter_map() const { return {adapter, adapter_map()}; }
  /// Tokens at which an answer ends: the tokenizer's and the configuration's.
  std::vector<int32_t> end_ids() const;
};

/// Puts a model and its tokenizer together. `source` begins error messages: the tokenizer must not
/// have more tokens than the model, and the template must be one. An empty one stands for the
/// format that is documented for models with these tokens (built_in_template), ChatML where none
/// is, the bare messages for encoder-decoders and models that fill blanks.
LanguageModel make_language_model(std::unique_ptr<Model> model, Tokenizer tokenizer,
                                  std::string chat_template_source, const std::string& source);

/// The source of a model's chat template: of chat_template.jinja, tokenizer_config.json or GGUF
/// metadata. Empty for a model that publishes none.
std::string load_chat_template(const std::filesystem::path& path);

/// Gives a model another chat template; errors call it `name`.
void set_chat_template(LanguageModel& model, std::string source, const std::string& name);

/// Opens a folder or a .gguf file; `adapter` is a LoRA folder, or empty. Throws Error that names
/// the file.
LanguageModel open_language_model(const std::filesystem::path& path,
                                  const std::filesystem::path& adapter = {},
                                  const LoadOptions& options = {});

/// The token ids of a conversation, ready for the assistant's answer. Special tokens in the
/// messages' text stay text.
std::vector<int32_t> chat_prompt(const LanguageModel& model, const Json& messages);

/// Prepares a prompt for models that read it another way than they write. One that learned texts
/// whose beginning is seen both ways sees all of it so. One that fills blanks (GLM) writes what the
/// first mask hides, up to the mask's end token; where there is no mask the text is continued, as
/// by one at its end. Throws Error where the tokenizer of such a model has no masks.
void begin_prompt(const LanguageModel& model, SequenceRequest& request);

struct GenerationOptions {
  int64_t max_tokens = 256;
  SamplingOptions sampling;
  std::vector<std::string> stop;                   ///< generation ends before the first of these
  TextPlace place = TextPlace::kBegin;             ///< kBehind: the text goes on from the prompt's
  bool ignore_end = false;                         ///< go on past end tokens, for measurements
  std::shared_ptr<const CompiledGrammar> grammar;  ///< what the answer must match; null: anything
};

struct Generation {
  std::string text;
  std::vector<int32_t> ids;
  std::vector<float> log_probabilities;  ///< of each id
  FinishReason finish_reason = FinishReason::length;
  int64_t prompt_tokens = 0;
  int64_t cached_prompt_tokens = 0;  ///< whose keys and values were there already
  double prefill_seconds = 0;
  double decode_seconds = 0;
};

/// Called with pieces of text, whole characters, as they become certain.
using OnText = std::function<void(std::string_view text)>;

/// Continues a prompt.
Generation generate(const LanguageModel& model, std::vector<int32_t> prompt,
                    const GenerationOptions& options, const OnText& on_text = nullptr);

/// The same by a scheduler of the caller's, of `model`, which has nothing else to do and keeps what
/// it has read: of a conversation's next turn only what is new is read.
Generation generate(const LanguageModel& model, Scheduler& scheduler, std::vector<int32_t> prompt,
                    const GenerationOptions& options, const OnText& on_text = nullptr);

/// Continues many prompts in shared batches; each answer is what `generate` alone would give.
/// `options[i].sampling.seed` and so on belong to prompt i. `on_done` is called after each.
/// `scheduling` says how many share a batch, which changes no answer.
std::vector<Generation> generate_all(const LanguageModel& model,
                                     std::vector<std::vector<int32_t>> prompts,
                                     const std::vector<GenerationOptions>& options,
                                     const std::function<void(int64_t done)>& on_done = nullptr,
                                     const SchedulerOptions& scheduling = {});

}  // namespace millrace
