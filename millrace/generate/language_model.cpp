#include "millrace/generate/language_model.h"

#include <algorithm>
#include <chrono>

#include "millrace/base/file.h"
#include "millrace/formats/gguf.h"
#include "millrace/generate/text_stream.h"
#include "millrace/text/blank_tokens.h"

namespace millrace {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

/// A tokenizer_config.json has one template, or several by name, of which one is the default.
std::optional<std::string> template_in(const Json& config, const std::string& source) {
  auto found = config.find("chat_template");
  if (found == config.end() || !found->is_array()) {
    return optional_json_field<std::string>(config, "chat_template", source);
  }
  for (const Json& named : *found) {
    if (json_field<std::string>(named, "name", source) == "default") {
      return json_field<std::string>(named, "template", source);
    }
  }
  return std::nullopt;
}

/// The name of the format that a model without a template was trained on, by its tokens.
std::string_view documented_template(const ModelConfig& config, const Tokenizer& tokenizer) {
  auto has = [&](std::string_view token) { return tokenizer.token_id(token) >= 0; };
  if (has("<|im_start|>")) return "chatml";
  if (config.has_encoder() || config.fills_blanks) return "plain";
  if (has("<reserved_106>")) return "baichuan2";
  if (has("[gMASK]") && has("<|assistant|>")) return "chatglm3";
  if (has("<s>") && has("<0x0A>") && tokenizer.vocab_size() == 32000) return "llama2";
  return "chatml";
}

std::vector<std::pair<std::string, std::string>> special_tokens(const Tokenizer& tokenizer) {
  std::vector<std::pair<std::string, std::string>> result;
  for (const auto& [name, id] :
       {std::pair("bos_token", tokenizer.bos()), std::pair("eos_token", tokenizer.eos()),
        std::pair("unk_token", tokenizer.unk()), std::pair("pad_token", tokenizer.pad())}) {
    if (id >= 0) result.emplace_back(name, tokenizer.token_bytes(id));
  }
  return result;
}

/// One prompt on its way through a scheduler.
class Running {
 public:
  Running(const LanguageModel& model, const GenerationOptions& options, OnText on_text)
      : text_(model.tokenizer, options.stop, options.place),
        on_text_(std::move(on_text)),
        start_(Clock::now()) {}

  bool add(const GeneratedToken& token) {
    if (result_.ids.empty()) {
      result_.prefill_seconds = seconds_since(start_);
      start_ = Clock::now();
    }
    result_.ids.push_back(token.id);
    result_.log_probabilities.push_back(token.log_probability);
    emit(text_.add(token.id));
    return !text_.stopped();
  }

  void finish(const Finish& finish) {
    if (finish.reason == FinishReason::failed) error_ = finish.error;
    result_.cached_prompt_tokens = finish.cached_prompt_tokens;
    emit(text_.finish());
    (result_.ids.empty() ? result_.prefill_seconds : result_.decode_seconds) =
        seconds_since(start_);
    result_.finish_reason = text_.stopped() ? FinishReason::stop : finish.reason;
  }

  Generation& result() { return result_; }
  /// The result, once finished. Throws Error when the sequence failed.
  Generation take() {
    require(error_.empty(), "{}", error_);
    return std::move(result_);
  }

 private:
  void emit(const std::string& text) {
    result_.text += text;
    if (on_text_ && !text.empty()) on_text_(text);
  }

  Generation result_;
  TextStream text_;
  OnText on_text_;
  std::string error_;
  Clock::time_point start_;
};

SequenceRequest request(const LanguageModel& model, std::vector<int32_t> prompt,
                        const GenerationOptions& options, Running& running) {
  SequenceRequest result;
  running.result().prompt_tokens = static_cast<int64_t>(prompt.size());
  result.prompt = std::move(prompt);
  result.max_tokens = options.max_tokens;
  result.sampling = options.sampling;
  if (!options.ignore_end) result.end_ids = model.end_ids();
  if (options.grammar != nullptr) result.constraint = options.grammar->start();
  result.adapter = model.shared_adapter_map();
  result.on_token = [&running](const GeneratedToken& token) { return running.add(token); };
  result.on_finish = [&running](const Finish& finish) { running.finish(finish); };
  begin_prompt(model, result);
  return result;
}

}  // namespace

std::vector<int32_t> LanguageModel::end_ids() const {
  std::vector<int32_t> ids = tokenizer.end_ids();
  const std::vector<int32_t>& configured = model->config().eos_token_ids;
  ids.insert(ids.end(), configured.begin(), configured.end());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

std::string load_chat_template(const std::filesystem::path& path) {
  std::optional<std::string> found;
  if (path.extension() == ".gguf") {
    found = read_gguf(path).metadata.get_optional<std::string>("tokenizer.chat_template");
  } else if (std::filesystem::exists(path / "chat_template.jinja")) {
    found = read_file(path / "chat_template.jinja");
  } else if (std::filesystem::exists(path / "tokenizer_config.json")) {
    found = template_in(read_json(path / "tokenizer_config.json"),
                        (path / "tokenizer_config.json").string());
  }
  return found.value_or("");
}

void set_chat_template(LanguageModel& model, std::string source, const std::string& name) {
  model.chat_template = ChatTemplate(source, special_tokens(model.tokenizer), name);
  model.chat_template_source = std::move(source);
}

LanguageModel make_language_model(std::unique_ptr<Model> model, Tokenizer tokenizer,
                                  std::string chat_template_source, const std::string& source) {
  require(tokenizer.vocab_size() <= model->config().vocab_size,
          "{}: the tokenizer has {} tokens, the model only {}", source, tokenizer.vocab_size(),
          model->config().vocab_size);
  if (chat_template_source.empty()) {
    chat_template_source = built_in_template(documented_template(model->config(), tokenizer));
  }
  ChatTemplate chat_template(chat_template_source, special_tokens(tokenizer),
                             source + ": chat template");
  return {std::move(model),
          std::move(tokenizer),
          std::move(chat_template_source),
          std::move(chat_template),
          nullptr,
          {}};
}

LanguageModel open_language_model(const std::filesystem::path& path,
                                  const std::filesystem::path& adapter,
                                  const LoadOptions& options) {
  std::unique_ptr<Model> model = load_model(path, options);
  LanguageModel result = make_language_model(std::move(model), load_tokenizer(path),
                                             load_chat_template(path), path.string());
  result.embedding = load_embedding_settings(path);
  if (!adapter.empty()) result.adapter = Adapter::load(*result.model, adapter);
  return result;
}

std::vector<int32_t> chat_prompt(const LanguageModel& model, const Json& messages) {
  RenderedChat chat = model.chat_template.render(messages);
  std::vector<TextSegment> segments;
  for (const ChatSegment& segment : chat.segments)
    segments.push_back({segment.text, segment.trusted});
  return model.tokenizer.encode(segments, false);
}

void begin_prompt(const LanguageModel& model, SequenceRequest& request) {
  const ModelConfig& config = model.model->config();
  if (config.prefix_lm && !request.prompt_log_probabilities) {
    request.prefix = static_cast<int64_t>(request.prompt.size());
  }
  if (!config.fills_blanks || request.prompt.empty()) return;
  const auto tokens = blank_tokens(model.tokenizer);
  require(tokens.has_value(), "this model fills blanks, and its tokenizer has none of {}",
          fmt::join(kBlankNames, ", "));
  std::vector<int32_t>& prompt = request.prompt;
  const auto is_mask = [&](int32_t id) { return tokens->is_mask(id); };
  auto start = std::ranges::find(prompt, tokens->start);
  if (std::find_if(prompt.begin(), start, is_mask) == start) {
    // Before the token that the tokenizer ends texts with.
    const bool ended = start != prompt.begin() && start[-1] == model.tokenizer.eos();
    prompt.insert(start - (ended ? 1 : 0), tokens->document_mask);
    start = std::ranges::find(prompt, tokens->start);
  }
  request.prefix = start - prompt.begin();
  request.blank = std::ranges::find_if(prompt, is_mask) - prompt.begin();
  if (start == prompt.end()) prompt.push_back(tokens->start);
}

Generation generate(const LanguageModel& model, std::vector<int32_t> prompt,
                    const GenerationOptions& options, const OnText& on_text) {
  Scheduler scheduler(*model.model, {.max_sequences = 1});
  return generate(model, scheduler, std::move(prompt), options, on_text);
}

Generation generate(const LanguageModel& model, Scheduler& scheduler, std::vector<int32_t> prompt,
                    const GenerationOptions& options, const OnText& on_text) {
  Running running(model, options, on_text);
  scheduler.submit(request(model, std::move(prompt), options, running));
  scheduler.run();
  return running.take();
}

std::vector<Generation> generate_all(const LanguageModel& model,
                                     std::vector<std::vector<int32_t>> prompts,
                                     const std::vector<GenerationOptions>& options,
                                     const std::function<void(int64_t done)>& on_done,
                                     const SchedulerOptions& scheduling) {
  require(options.size() == prompts.size(), "{} options for {} prompts", options.size(),
          prompts.size());
  Scheduler scheduler(*model.model, scheduling);
  std::deque<Running> running;
  int64_t done = 0;
  for (size_t i = 0; i < prompts.size(); ++i) {
    running.emplace_back(model, options[i], nullptr);
    SequenceRequest r = request(model, std::move(prompts[i]), options[i], running.back());
    r.on_finish = [&, finish = std::move(r.on_finish)](const Finish& how) {
      finish(how);
      if (on_done) on_done(++done);
    };
    scheduler.submit(std::move(r));
  }
  scheduler.run();
  std::vector<Generation> results;
  for (Running& one : running) results.push_back(one.take());
  return results;
}

}  // namespace millrace
