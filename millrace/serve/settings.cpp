#include "millrace/serve/settings.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <set>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/hub/store.h"

namespace millrace::serve {
namespace {

template <typename T>
T parse_number(const std::string& text, T low, T high) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  require(error == std::errc() && end == text.data() + text.size(), "is {}; it must be a number",
          quote(text));
  require(value >= low && value <= high, "is {}; it must be between {} and {}", text, low, high);
  return value;
}

bool parse_flag(const std::string& text) {
  if (text == "true" || text == "1" || text == "yes") return true;
  if (text == "false" || text == "0" || text == "no") return false;
  fail("is {}; it must be true or false", quote(text));
}

NamedPath parse_named_path(const std::string& text) {
  const size_t equals = text.find('=');
  require(!text.empty() && equals != 0, "is {}; it must be PATH or NAME=PATH", quote(text));
  const std::filesystem::path path = hub::model_path(text.substr(equals + 1));
  if (equals == std::string::npos) return {default_model_name(path), path};
  return {text.substr(0, equals), path};
}

Setting number(std::string_view name, std::string_view argument, std::string_view help,
               int64_t Settings::*member, int64_t low, int64_t high) {
  return {name, argument, help,
          [=](Settings& s, const std::string& text) { s.*member = parse_number(text, low, high); },
          [=](const Settings& s) { return std::vector{fmt::format("{}", s.*member)}; }};
}

Setting number(std::string_view name, std::string_view argument, std::string_view help,
               double Settings::*member, double low, double high) {
  return {name, argument, help,
          [=](Settings& s, const std::string& text) { s.*member = parse_number(text, low, high); },
          [=](const Settings& s) { return std::vector{fmt::format("{}", s.*member)}; }};
}

Setting flag(std::string_view name, std::string_view help, bool Settings::*member) {
  return {
      name, "", help, [=](Settings& s, const std::string& text) { s.*member = parse_flag(text); },
      [=](const Settings& s) { return std::vector<std::string>{s.*member ? "true" : "false"}; }};
}

template <typename T>  // std::string or std::filesystem::path
Setting text(std::string_view name, std::string_view argument, std::string_view help,
             T Settings::*member) {
  return {name, argument, help, [=](Settings& s, const std::string& value) { s.*member = value; },
          [=](const Settings& s) {
            const std::string value = s.*member;
            return value.empty() ? std::vector<std::string>() : std::vector{value};
          }};
}

Setting texts(std::string_view name, std::string_view argument, std::string_view help,
              std::vector<std::string> Settings::*member) {
  Setting setting{name, argument, help,
                  [=](Settings& s, const std::string& value) { (s.*member).push_back(value); },
                  [=](const Settings& s) { return s.*member; }};
  setting.clear = [=](Settings& s) { (s.*member).clear(); };
  return setting;
}

Setting paths(std::string_view name, std::string_view argument, std::string_view help,
              std::vector<NamedPath> Settings::*member) {
  Setting setting{name, argument, help,
                  [=](Settings& s, const std::string& value) {
                    (s.*member).push_back(parse_named_path(value));
                  },
                  [=](const Settings& s) {
                    std::vector<std::string> all;
                    for (const NamedPath& one : s.*member) {
                      all.push_back(fmt::format("{}={}", one.name, one.path.string()));
                    }
                    return all;
                  }};
  setting.clear = [=](Settings& s) { (s.*member).clear(); };
  return setting;
}

Setting one_of(std::string_view name, std::string_view argument, std::string_view help,
               std::string Settings::*member, std::vector<std::string> words) {
  Setting setting = text(name, argument, help, member);
  setting.set = [=](Settings& s, const std::string& value) {
    require(std::find(words.begin(), words.end(), value) != words.end(),
            "is {}; it must be one of {}", quote(value), fmt::join(words, ", "));
    s.*member = value;
  };
  return setting;
}

Setting secret(Setting setting) {
  setting.secret = true;
  return setting;
}

std::vector<Setting> make_settings() {
  constexpr int64_t kMany = 1'000'000;
  return {
      paths("models", "[NAME=]PATH", "A model: a folder, a .gguf file or a pulled name",
            &Settings::models),
      paths("adapters", "[MODEL:]NAME=PATH", "A LoRA folder, served as MODEL:NAME",
            &Settings::adapters),
      text("draft", "PATH", "A small model with the same tokenizer that speaks ahead",
           &Settings::draft),
      number("lookup", "N", "Guess up to N tokens ahead from the text so far", &Settings::lookup, 0,
             64),
      text("host", "ADDRESS", "The address to listen on", &Settings::host),
      number("port", "N", "The port to listen on; 0: any free one", &Settings::port, 0, 65535),
      secret(texts("api-key", "KEY",
                   "A key that clients may send; without any only this machine may call",
                   &Settings::api_keys)),
      texts("allowed-hosts", "NAME", "A name that clients may call this server by",
            &Settings::allowed_hosts),
      texts("cors-origins", "ORIGIN", "A web page's origin that may call this server",
            &Settings::cors_origins),
      text("tls-cert", "FILE", "A PEM certificate chain; read again when it changes",
           &Settings::tls_cert),
      text("tls-key", "FILE", "Its key", &Settings::tls_key),
      number("threads", "N", "Threads for arithmetic; 0: the processors this process may use",
             &Settings::threads, 0, 1024),
      text("cpus", "LIST", "Run on these processors only, as 0-3,8, a thread on each",
           &Settings::cpus),
      one_of("numa", "WHERE",
             "local: memory near its thread; interleave: over all sockets, where threads run on "
             "several",
             &Settings::numa, {"local", "interleave"}),
      number("memory", "GIB",
             "For the weights of all loaded models; those unused for longest make room; 0: no end",
             &Settings::memory, 0, 1e6),
      number("cache-memory", "GIB", "Keys and values of each model; 0: eight full contexts",
             &Settings::cache_memory, 0, 1e6),
      one_of("cache-type", "TYPE",
             "Of keys and values: f32, bf16, or q8, which takes half of bf16's memory",
             &Settings::cache_type, {"f32", "bf16", "q8"}),
      number("context", "N", "The longest prompt and answer together; 0: the model's own",
             &Settings::context, 0, 100 * kMany),
      number("max-sequences", "N", "Sequences that run at a time for each model",
             &Settings::max_sequences, 1, 4096),
      number("tokens-per-batch", "N", "Tokens in one pass through a model",
             &Settings::tokens_per_batch, 1, 65536),
      number("max-queue", "N", "Sequences that may wait; more get 429", &Settings::max_queue, 0,
             kMany),
      number("request-timeout", "SECONDS", "The longest that a request may take",
             &Settings::request_timeout, 0.001, 1e6),
      number("drain-timeout", "SECONDS", "How long SIGTERM waits for running requests",
             &Settings::drain_timeout, 0, 1e6),
      one_of("prefix-cache", "HOW", "Whose prompts share their beginnings: shared, per-key, off",
             &Settings::prefix_cache, {"shared", "per-key", "off"}),
      number("seed", "N", "Seed of requests that give none; -1: at random", &Settings::seed, -1,
             std::numeric_limits<int64_t>::max()),
      number("max-body-mb", "N", "The largest request", &Settings::max_body_mb, 1, 1024),
      number("max-connections", "N", "Open connections", &Settings::max_connections, 1, kMany),
      flag("log-text", "Log prompts and answers too", &Settings::log_text),
      flag("no-cache", "Pack the weights anew at each start", &Settings::no_weight_cache),
  };
}

const Setting& setting_of(std::string_view name) {
  for (const Setting& setting : settings()) {
    if (setting.name == name) return setting;
  }
  std::vector<std::string_view> names;
  for (const Setting& setting : settings()) names.push_back(setting.name);
  fail("there is no setting {}; there is {}", quote(name), fmt::join(names, ", "));
}

std::string environment_name(std::string_view name) {
  std::string result = "MILLRACE_";
  for (char c : name) {
    result += c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return result;
}

std::vector<std::string> split(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    if (end > begin) parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace

std::span<const Setting> settings() {
  static const std::vector<Setting> table = make_settings();
  return table;
}

SettingValues read_settings_file(const std::filesystem::path& path) {
  SettingValues values;
  try {
    const YAML::Node file = YAML::Load(read_file(path));
    require(file.IsNull() || file.IsMap(), "{}: must be a list of `name: value`", path.string());
    for (const auto& entry : file) {
      const std::string name = entry.first.as<std::string>();
      const int line = entry.first.Mark().line + 1;
      try {
        const Setting& setting = setting_of(name);
        if (entry.second.IsSequence() && setting.repeatable()) {
          for (const YAML::Node& one : entry.second) {
            values.emplace_back(name, one.as<std::string>());
          }
        } else {
          require(entry.second.IsScalar(), "{}: must be a single value", name);
          values.emplace_back(name, entry.second.as<std::string>());
        }
      } catch (const Error& error) {
        fail("{}:{}: {}", path.string(), line, error.what());
      }
    }
  } catch (const YAML::Exception& error) {
    fail("{}:{}: {}", path.string(), error.mark.line + 1, error.msg);
  }
  return values;
}

SettingValues read_environment(const std::function<const char*(const char*)>& get) {
  SettingValues values;
  for (const Setting& setting : settings()) {
    const char* value = get(environment_name(setting.name).c_str());
    if (value == nullptr || *value == '\0') continue;
    if (setting.repeatable()) {
      for (const std::string& part : split(value)) values.emplace_back(setting.name, part);
    } else {
      values.emplace_back(setting.name, value);
    }
  }
  return values;
}

void apply(Settings& result, const SettingValues& values, std::string_view source) {
  std::set<std::string> seen;
  for (const auto& [name, value] : values) {
    const Setting& setting = setting_of(name);
    if (setting.repeatable() && seen.insert(name).second) setting.clear(result);
    try {
      setting.set(result, value);
    } catch (const Error& error) {
      fail("{}: {}: {}", source, name, error.what());
    }
  }
}

std::string print_settings(const Settings& values) {
  YAML::Emitter out;
  out << YAML::BeginMap;
  for (const Setting& setting : settings()) {
    const std::vector<std::string> shown = setting.get(values);
    if (setting.secret || (shown.empty() && !setting.repeatable())) continue;
    out << YAML::Key << std::string(setting.name) << YAML::Value;
    if (setting.repeatable()) {
      out << YAML::Flow << shown;
    } else {
      out << shown.front();
    }
  }
  out << YAML::EndMap;
  return std::string(out.c_str()) + "\n";
}

std::string default_model_name(const std::filesystem::path& path) {
  std::filesystem::path named = std::filesystem::absolute(path).lexically_normal();
  if (!named.has_filename()) named = named.parent_path();
  if (named.filename() == "model" && named.has_parent_path()) named = named.parent_path();
  return named.extension() == ".gguf" ? named.stem().string() : named.filename().string();
}

}  // namespace millrace::serve
