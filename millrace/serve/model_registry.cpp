#include "millrace/serve/model_registry.h"

#include <algorithm>
#include <chrono>

#include "millrace/base/error.h"
#include "millrace/hub/store.h"
#include "millrace/model/weight_cache.h"

namespace millrace::serve {
namespace {

namespace fs = std::filesystem;

/// Bytes of a model's files.
int64_t bytes_of(const fs::path& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return static_cast<int64_t>(fs::file_size(path, error));
  int64_t bytes = 0;
  for (const auto& file : fs::directory_iterator(path, error)) {
    if (file.is_regular_file(error)) bytes += static_cast<int64_t>(file.file_size(error));
  }
  return bytes;
}

int64_t created(const fs::path& path) {
  std::error_code error;
  const auto time = fs::last_write_time(path, error);
  if (error) return 0;
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::file_clock::to_sys(time).time_since_epoch())
      .count();
}

SchedulerOptions scheduler_options(const Settings& settings, const ModelConfig& config,
                                   size_t bytes_per_position) {
  SchedulerOptions options;
  options.max_sequences = settings.max_sequences;
  options.tokens_per_batch = settings.tokens_per_batch;
  options.share_prefixes = settings.prefix_cache != "off";
  options.max_draft_tokens = settings.lookup;
  options.max_positions = 8 * config.max_position_embeddings;
  if (settings.cache_memory > 0) {
    options.max_positions = static_cast<int64_t>(settings.cache_memory * 0x1p30 /
                                                 static_cast<double>(bytes_per_position));
  }
  return options;
}

}  // namespace

ModelRegistry::ModelRegistry(const Settings& settings, std::function<void(const std::string&)> log)
    : settings_(settings), log_(std::move(log)) {
  require(!settings.models.empty(), "no model: name at least one");
  for (const NamedPath& source : settings.models) {
    require(fs::exists(source.path), "{}: there is no such file or folder", source.path.string());
    require(entries_.emplace(source.name, Entry{source, {}, nullptr, 0, "", 0, 0}).second,
            "two models are named {}: give one another name, NAME=PATH", quote(source.name));
  }
  for (const NamedPath& adapter : settings.adapters) {
    const size_t colon = adapter.name.rfind(':');
    const bool only = colon == std::string::npos && entries_.size() == 1;
    auto base = only ? entries_.begin() : entries_.find(adapter.name.substr(0, colon));
    require(colon != std::string::npos || only, "adapter {}: say which model's it is, MODEL:NAME",
            quote(adapter.name));
    require(base != entries_.end(), "adapter {}: there is no model of that name",
            quote(adapter.name));
    base->second.adapters.push_back(
        {only ? adapter.name : adapter.name.substr(colon + 1), adapter.path});
  }
  to_load_ = settings.models.size();
  for (const NamedPath& source : settings.models) {
    waiting_.push_back({source.name, [](ModelHandle) {}, [](const ApiError&) {}});
  }
  thread_ = std::thread([this] { load_waiting(); });
}

ModelRegistry::~ModelRegistry() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

std::vector<ModelDescription> ModelRegistry::list() const {
  std::lock_guard lock(mutex_);
  std::vector<ModelDescription> all;
  for (const NamedPath& source : settings_.models) {
    const Entry& entry = entries_.at(source.name);
    ModelDescription model{source.name,
                           source.path.string(),
                           "",
                           entry.model != nullptr,
                           entry.error,
                           created(source.path),
                           bytes_of(source.path),
                           entry.context,
                           entry.num_parameters};
    all.push_back(model);
    for (const NamedPath& adapter : entry.adapters) {
      model.base = source.name;
      model.name = fmt::format("{}:{}", source.name, adapter.name);
      model.path = adapter.path.string();
      model.created = created(adapter.path);
      all.push_back(model);
    }
  }
  return all;
}

bool ModelRegistry::ready() const {
  std::lock_guard lock(mutex_);
  return to_load_ == 0;
}

std::string ModelRegistry::known() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) {
    names.push_back(name);
    for (const NamedPath& adapter : entry.adapters) {
      names.push_back(fmt::format("{}:{}", name, adapter.name));
    }
  }
  return fmt::format("{}", fmt::join(names, ", "));
}

/// The entry of "NAME" or "NAME:ADAPTER"; names of models may have colons themselves.
ModelRegistry::Entry& ModelRegistry::entry_of(std::string_view name) {
  auto found = entries_.find(std::string(name));
  if (found != entries_.end()) return found->second;
  const size_t colon = name.rfind(':');
  if (colon != std::string_view::npos) {
    found = entries_.find(std::string(name.substr(0, colon)));
    const std::string_view adapter = name.substr(colon + 1);
    // "latest" is what Ollama's clients add to every name without a tag.
    if (found != entries_.end() &&
        (adapter == "latest" ||
         std::any_of(found->second.adapters.begin(), found->second.adapters.end(),
                     [&](const NamedPath& one) { return one.name == adapter; }))) {
      return found->second;
    }
  }
  throw model_not_found(name, known());
}

ModelHandle ModelRegistry::handle(Entry& entry, std::string_view name) {
  entry.last_used = ++uses_;
  ModelHandle result{entry.model, nullptr};
  if (name.size() > entry.source.name.size()) {
    auto found = entry.model->adapters.find(std::string(name.substr(entry.source.name.size() + 1)));
    if (found != entry.model->adapters.end()) {
      result.adapter = {entry.model, &found->second->map()};
    }
  }
  return result;
}

void ModelRegistry::use(const std::string& name, const OnReady& on_ready,
                        const OnFailure& on_failure) {
  ModelHandle found;
  {
    std::lock_guard lock(mutex_);
    Entry& entry = entry_of(name);
    if (entry.model == nullptr) {
      waiting_.push_back({name, on_ready, on_failure});
      wake_.notify_one();
      return;
    }
    found = handle(entry, name);
  }
  on_ready(std::move(found));
}

void ModelRegistry::unload(const std::string& name) {
  std::shared_ptr<ServedModel> given_up;  // freed without the lock
  std::lock_guard lock(mutex_);
  given_up = std::exchange(entry_of(name).model, nullptr);
}

void ModelRegistry::load_waiting() {
  while (true) {
    Waiting next;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
      if (stopping_) return;
      next = std::move(waiting_.front());
      waiting_.pop_front();
    }
    ModelHandle loaded;
    try {
      load(entry_of(next.name));
      std::lock_guard lock(mutex_);
      loaded = handle(entry_of(next.name), next.name);
    } catch (const std::exception& error) {
      log_(fmt::format("{}: {}", next.name, error.what()));
      std::lock_guard lock(mutex_);
      entry_of(next.name).error = error.what();
    }
    {
      std::lock_guard lock(mutex_);
      if (to_load_ > 0) --to_load_;
    }
    if (loaded.model != nullptr) {
      next.on_ready(std::move(loaded));
    } else {
      next.on_failure(unavailable(fmt::format("the model {} cannot be loaded", quote(next.name))));
    }
  }
}

void ModelRegistry::load(Entry& entry) {
  {
    std::lock_guard lock(mutex_);
    if (entry.model != nullptr) return;
  }
  make_room(bytes_of(entry.source.path));
  const auto start = std::chrono::steady_clock::now();
  std::shared_ptr<ServedModel> model = open(entry);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  log_(fmt::format("{}: loaded from {} in {:.2f} s", entry.source.name, entry.source.path.string(),
                   seconds.count()));
  std::lock_guard lock(mutex_);
  entry.context = model->context;
  entry.num_parameters = model->language.model->num_parameters();
  entry.error.clear();
  entry.model = std::move(model);
}

/// Gives up the models that were used least lately, until another of `bytes` fits.
void ModelRegistry::make_room(int64_t bytes) {
  if (settings_.memory <= 0) return;
  const auto budget = static_cast<int64_t>(settings_.memory * 0x1p30);
  require(bytes <= budget, "it takes {:.2f} GiB, and `memory` allows {:.2f} for all models",
          static_cast<double>(bytes) / 0x1p30, settings_.memory);
  while (true) {
    std::shared_ptr<ServedModel> given_up;
    std::lock_guard lock(mutex_);
    int64_t used = bytes;
    Entry* oldest = nullptr;
    for (auto& [name, entry] : entries_) {
      if (entry.model == nullptr) continue;
      used += static_cast<int64_t>(entry.model->language.model->resident_bytes());
      if (entry.model.use_count() > 1) continue;  // somebody is being answered
      if (oldest == nullptr || entry.last_used < oldest->last_used) oldest = &entry;
    }
    if (used <= budget) return;
    require(oldest != nullptr, "there is no memory for it while the loaded models are in use");
    log_(fmt::format("{}: unloaded to make room", oldest->source.name));
    given_up = std::exchange(oldest->model, nullptr);
  }
}

std::shared_ptr<ServedModel> ModelRegistry::open(const Entry& entry) const {
  LoadOptions options;
  if (!settings_.no_weight_cache) options.weight_cache = default_weight_cache();
  options.notice = log_;
  LanguageModel language = open_language_model(entry.source.path, {}, options);
  if (!settings_.cache_type.empty()) {
    language.model->set_cache_dtype(cache_dtype_from_name(settings_.cache_type));
  }
  const ModelConfig& config = language.model->config();
  const size_t per_position =
      language.model->cache_layout().block_bytes() / static_cast<size_t>(kPageSize);
  SchedulerOptions scheduling = scheduler_options(settings_, config, per_position);
  std::unique_ptr<LanguageModel> draft;
  if (!settings_.draft.empty()) {
    draft = std::make_unique<LanguageModel>(
        open_language_model(hub::model_path(settings_.draft), {}, options));
    require(draft->tokenizer.vocab_size() == language.tokenizer.vocab_size(),
            "{}: a draft model must have the tokenizer of the model that it drafts for",
            settings_.draft);
    scheduling.draft_model = draft->model.get();
    if (scheduling.max_draft_tokens == 0) scheduling.max_draft_tokens = 8;
  }
  auto model = std::make_shared<ServedModel>(entry.source.name, std::move(language), scheduling);
  model->draft = std::move(draft);
  model->context = std::min(model->context, scheduling.max_positions);
  if (settings_.context > 0) model->context = std::min(model->context, settings_.context);
  for (const NamedPath& adapter : entry.adapters) {
    model->adapters[adapter.name] = Adapter::load(*model->language.model, adapter.path);
  }
  return model;
}

}  // namespace millrace::serve
