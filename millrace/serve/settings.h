// How the service is configured: by a file, by the environment, by flags, each over the one before.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::serve {

/// "NAME=PATH", or a path whose name is made of it.
struct NamedPath {
  std::string name;
  std::filesystem::path path;
};

struct Settings {
  std::vector<NamedPath> models;
  std::vector<NamedPath> adapters;  ///< "MODEL:NAME", or NAME of the only model
  std::string draft;                ///< a small model that speaks ahead
  int64_t lookup = 0;               ///< tokens guessed ahead from the text so far
  std::string host = "127.0.0.1";
  int64_t port = 8080;
  std::vector<std::string> api_keys;
  std::vector<std::string> allowed_hosts;
  std::vector<std::string> cors_origins;
  std::filesystem::path tls_cert;
  std::filesystem::path tls_key;
  int64_t threads = 0;         ///< 0: the processors that this process may use
  std::string cpus;            ///< "0-3,8"; empty: all
  std::string numa = "local";  ///< "local", "interleave"
  double memory = 0;           ///< GiB for the weights of all loaded models; 0: no bound
  double cache_memory = 0;     ///< GiB of keys and values for each model; 0: by its context
  std::string cache_type;      ///< "f32", "bf16", "q8"; empty: by the weights
  int64_t context = 0;         ///< longest prompt and answer together; 0: the model's own
  int64_t max_sequences = 64;  ///< running at a time for each model
  int64_t tokens_per_batch = 512;
  int64_t max_queue = 256;              ///< requests that may wait; more get 429
  double request_timeout = 600;         ///< seconds
  double drain_timeout = 30;            ///< seconds, after SIGTERM
  std::string prefix_cache = "shared";  ///< "shared", "per-key", "off"
  int64_t seed = -1;                    ///< of requests that give none; -1: at random
  int64_t max_body_mb = 16;
  int64_t max_connections = 4096;
  bool log_text = false;  ///< prompts and answers in the log
  bool no_weight_cache = false;
};

/// One line of the configuration.
struct Setting {
  std::string_view name;      ///< "max-queue": --max-queue, MILLRACE_MAX_QUEUE, `max-queue:`
  std::string_view argument;  ///< "N", "FILE"; empty for a flag
  std::string_view help;
  std::function<void(Settings&, const std::string&)> set;
  std::function<std::vector<std::string>(const Settings&)> get;
  std::function<void(Settings&)> clear = nullptr;  ///< of those to which each value adds
  bool secret = false;                             ///< not printed

  bool repeatable() const { return clear != nullptr; }
};

/// All of them, in the order in which they are printed.
std::span<const Setting> settings();

/// Values by name, in the order in which they were given.
using SettingValues = std::vector<std::pair<std::string, std::string>>;

/// A YAML file: `port: 8080`, `models: [chat=runs/demo/model]`. Throws Error with the line.
SettingValues read_settings_file(const std::filesystem::path& path);
/// MILLRACE_PORT and so on; `get` is getenv.
SettingValues read_environment(const std::function<const char*(const char*)>& get);

/// Sets what `values` say; a repeatable one replaces what was there. `source` begins errors.
void apply(Settings& settings, const SettingValues& values, std::string_view source);

/// As a YAML file that read_settings_file reads. Secrets are left out.
std::string print_settings(const Settings& settings);

/// The name of a model without one: the file's stem or the folder's name, of a folder "model" its
/// parent's.
std::string default_model_name(const std::filesystem::path& path);

}  // namespace millrace::serve
