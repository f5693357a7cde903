#include "tests/served_model.h"

#include <chrono>
#include <mutex>
#include <sstream>
#include <thread>

#include "millrace/base/random.h"
#include "millrace/generate/export.h"
#include "millrace/model/adapter.h"
#include "millrace/model/load.h"
#include "millrace/serve/service.h"
#include "tests/tiny_language_model.h"

namespace millrace {
namespace {

/// ChatML with tools and reasoning as Hermes and Qwen write them.
constexpr std::string_view kHermesTemplate = R"({%- if tools %}
    {{- '<|im_start|>system\nTools: <tools>' + tools | tojson + '</tools>\nCall them so: ' }}
    {{- '<tool_call>\n{"name": ..., "arguments": ...}\n</tool_call><|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + (message.content or '') }}
    {%- for call in message.tool_calls or [] %}
        {{- '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
        {{- call.function.arguments | tojson + '}\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %})";

/// Writes a LoRA folder for a tiny model, whose answers it changes.
std::filesystem::path write_adapter(const std::filesystem::path& folder,
                                    const std::filesystem::path& model, uint64_t seed) {
  const LanguageModel base = open_language_model(model);
  Adapter adapter(*base.model, 4, 8, {}, seed);
  Random random(seed);
  for (Parameter& parameter : adapter.parameters()) {
    for (float& value : parameter.value.f32()) value = static_cast<float>(random.normal());
  }
  adapter.save(folder, model);
  return folder;
}

/// Writes a model that talks in bytes: one layer of 32 values.
std::filesystem::path write_tiny_model(const std::filesystem::path& folder,
                                       std::string_view chat_template) {
  Tokenizer tokenizer = byte_tokenizer();
  ModelConfig config = tiny_language_config(tokenizer, 2048);
  config.initializer_range = 0.3f;  // log-probabilities that differ
  export_folder(make_language_model(initialized_model(config, 1), std::move(tokenizer),
                                    std::string(chat_template), "test"),
                folder, DType::f32);
  return folder;
}

serve::SettingValues values_of(const std::string& text) {
  serve::SettingValues values;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    values.emplace_back(word.substr(0, equals), word.substr(equals + 1));
  }
  return values;
}

}  // namespace

struct TinyService::Running {
  std::mutex mutex;
  std::vector<std::string> log;
  std::unique_ptr<serve::Service> service;  // last: it logs while it ends
};

TinyService::TinyService(const std::string& wanted) : running_(std::make_unique<Running>()) {
  serve::Settings settings;
  settings.models = {{"tiny", write_tiny_model(folder_ / "tiny", built_in_template("chatml"))},
                     {"org/hermes", write_tiny_model(folder_ / "hermes", kHermesTemplate)}};
  for (uint64_t seed : {1u, 2u}) {
    const std::string name = seed == 1 ? "fish" : "bird";
    settings.adapters.push_back(
        {"tiny:" + name, write_adapter(folder_ / name, folder_ / "tiny", seed)});
  }
  settings.threads = 1;
  settings.seed = 1;  // what a test sees must not depend on chance
  settings.no_weight_cache = true;
  serve::apply(settings, values_of(wanted), "the test");
  settings.port = 0;
  running_->service =
      std::make_unique<serve::Service>(std::move(settings), [this](std::string_view line) {
        std::lock_guard lock(running_->mutex);
        running_->log.emplace_back(line);
      });
  running_->service->start();
  while (!running_->service->models.ready()) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

TinyService::~TinyService() {
  running_->service.reset();
}

int TinyService::port() const {
  return running_->service->port();
}

bool TinyService::drain() {
  return running_->service->drain();
}

std::vector<ServedRoute> TinyService::routes() const {
  std::vector<ServedRoute> routes;
  for (const http::Route& route : running_->service->server().router().routes()) {
    routes.push_back({route.method, route.pattern, route.open});
  }
  return routes;
}

std::vector<std::string> TinyService::log() const {
  std::lock_guard lock(running_->mutex);
  return running_->log;
}

}  // namespace millrace
