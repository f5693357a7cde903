// The models that the service knows by name: loaded when asked for, unloaded to make room.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "millrace/serve/api_error.h"
#include "millrace/serve/served_model.h"
#include "millrace/serve/settings.h"

namespace millrace::serve {

/// What the service tells of a model.
struct ModelDescription {
  std::string name;  ///< with an adapter "NAME:ADAPTER"
  std::string path;
  std::string base;  ///< of an adapter: its model; empty for a model
  bool loaded = false;
  std::string error;    ///< why it could not be loaded; empty: it could
  int64_t created = 0;  ///< when its file was written, in seconds since 1970
  int64_t bytes = 0;    ///< of its files
  int64_t context = 0;  ///< 0 while it was never loaded
  int64_t num_parameters = 0;
};

/// Any thread may call it. One thread of its own loads.
class ModelRegistry {
 public:
  /// Throws Error for two models of one name and adapters of no model. Loads nothing yet.
  ModelRegistry(const Settings& settings, std::function<void(const std::string&)> log);
  ~ModelRegistry();

  std::vector<ModelDescription> list() const;
  /// Whether all models that were asked for at the start are there.
  bool ready() const;

  using OnReady = std::function<void(ModelHandle)>;
  using OnFailure = std::function<void(const ApiError&)>;
  /// Calls `on_ready` with the model: at once when it is loaded, else from the loading thread.
  /// Throws ApiError 404 for a name that nobody has.
  void use(const std::string& name, const OnReady& on_ready, const OnFailure& on_failure);
  /// The model is given up; its memory is free when nobody uses it any more.
  void unload(const std::string& name);

 private:
  struct Entry {
    NamedPath source;
    std::vector<NamedPath> adapters;
    std::shared_ptr<ServedModel> model;
    uint64_t last_used = 0;
    std::string error;
    int64_t context = 0, num_parameters = 0;
  };
  struct Waiting {
    std::string name;
    OnReady on_ready;
    OnFailure on_failure;
  };

  Entry& entry_of(std::string_view name);
  static std::string_view base_of(std::string_view name, const std::map<std::string, Entry>& all);
  std::string known() const;
  ModelHandle handle(Entry& entry, std::string_view name);
  void load_waiting();
  void load(Entry& entry);
  void make_room(int64_t bytes);
  std::shared_ptr<ServedModel> open(const Entry& entry) const;

  const Settings settings_;
  const std::function<void(const std::string&)> log_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::map<std::string, Entry> entries_;
  std::deque<Waiting> waiting_;
  uint64_t uses_ = 0;
  size_t to_load_ = 0;  // of the start
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace millrace::serve
