#include "millrace/generate/embedding_settings.h"

#include <optional>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/json.h"
#include "millrace/formats/gguf.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

std::optional<Json> read_if_there(const fs::path& path) {
  if (!fs::exists(path)) return std::nullopt;
  return read_json(path);
}

Pooling pooling_from_name(const std::string& name, const std::string& source) {
  for (const auto& [known, pooling] :
       {std::pair("mean", Pooling::mean), std::pair("mean_tokens", Pooling::mean),
        std::pair("cls", Pooling::first_token), std::pair("cls_token", Pooling::first_token),
        std::pair("lasttoken", Pooling::last_token), std::pair("max", Pooling::max),
        std::pair("max_tokens", Pooling::max)}) {
    if (name == known) return pooling;
  }
  fail("{}: pooling {} is not supported; cls, mean, max and lasttoken are", source, quote(name));
}

/// "pooling_mode", or a flag "pooling_mode_…" for each kind, of which one is set.
Pooling read_pooling(const fs::path& path) {
  const Json json = read_json(path);
  const std::string source = path.string(), prefix = "pooling_mode_";
  require(optional_json_field<bool>(json, "include_prompt", source).value_or(true),
          "{}: pooling without the prompt (include_prompt) is not supported", source);
  if (auto mode = optional_json_field<std::string>(json, "pooling_mode", source)) {
    return pooling_from_name(*mode, source);
  }
  std::optional<Pooling> found;
  for (const auto& [key, value] : json.items()) {
    if (!key.starts_with(prefix) || value != true) continue;
    require(!found, "{}: more than one pooling at once is not supported", source);
    found = pooling_from_name(key.substr(prefix.size()), source);
  }
  return found.value_or(Pooling::mean);
}

/// A model of sentence-transformers is a row of modules; a path in it must stay in the folder.
void read_modules(const Json& modules, const fs::path& folder, EmbeddingSettings& settings) {
  const std::string source = (folder / "modules.json").string();
  require(modules.is_array(), "{}: must be an array of modules", source);
  settings.normalise = false;
  for (const Json& module : modules) {
    const auto type = json_field<std::string>(module, "type", source);
    const std::string kind = type.substr(type.rfind('.') + 1);
    if (kind == "Pooling") {
      const fs::path path = json_field<std::string>(module, "path", source);
      require(path.is_relative() && path.string().find("..") == std::string::npos,
              "{}: the module's path {} leaves the folder", source, quote(path.string()));
      settings.pooling = read_pooling(folder / path / "config.json");
    } else if (kind == "Normalize") {
      settings.normalise = true;
    } else {
      require(kind == "Transformer", "{}: a module of type {} is not supported", source,
              quote(type));
    }
  }
}

void read_prompts(const Json& json, const std::string& source, EmbeddingSettings& settings) {
  auto prompts = json.find("prompts");
  if (prompts != json.end() && prompts->is_object()) {
    for (const auto& [name, text] : prompts->items()) {
      settings.prompts.emplace_back(name, json_field<std::string>(*prompts, name.c_str(), source));
    }
  }
  settings.default_prompt =
      optional_json_field<std::string>(json, "default_prompt_name", source).value_or("");
  if (!settings.default_prompt.empty()) settings.prompt(settings.default_prompt);
}

/// A cross-encoder's config.json names a class of PyTorch that its logits go through.
void read_scores(const Json& config, const std::string& source, EmbeddingSettings& settings) {
  std::optional<std::string> name =
      optional_json_field<std::string>(config, "sbert_ce_default_activation_function", source);
  auto own = config.find("sentence_transformers");
  if (own != config.end() && own->is_object()) {
    name = optional_json_field<std::string>(*own, "activation_fn", source);
  }
  if (!name) return;
  const std::string kind = name->substr(name->rfind('.') + 1);
  require(kind == "Sigmoid" || kind == "Identity", "{}: scores through {} are not supported",
          source, quote(*name));
  settings.sigmoid_scores = kind == "Sigmoid";
}

EmbeddingSettings read_folder(const fs::path& folder) {
  EmbeddingSettings settings;
  if (const auto modules = read_if_there(folder / "modules.json")) {
    read_modules(*modules, folder, settings);
  }
  fs::path path = folder / "sentence_bert_config.json";
  if (const auto json = read_if_there(path)) {
    settings.max_tokens =
        optional_json_field<int64_t>(*json, "max_seq_length", path.string()).value_or(0);
    require(settings.max_tokens >= 0, "{}: max_seq_length is {}", path.string(),
            settings.max_tokens);
  }
  path = folder / "config_sentence_transformers.json";
  if (const auto json = read_if_there(path)) read_prompts(*json, path.string(), settings);
  path = folder / "config.json";
  if (const auto json = read_if_there(path)) read_scores(*json, path.string(), settings);
  return settings;
}

EmbeddingSettings read_keys(const GgufMetadata& keys) {
  EmbeddingSettings settings;
  const auto architecture = keys.get<std::string>("general.architecture");
  const auto type = keys.get_optional<int64_t>(architecture + ".pooling_type").value_or(1);
  for (Pooling pooling : {Pooling::first_token, Pooling::last_token}) {
    if (type == gguf_pooling(pooling)) settings.pooling = pooling;
  }
  return settings;
}

std::string pooling_name(Pooling pooling) {
  switch (pooling) {
    case Pooling::first_token:
      return "cls_token";
    case Pooling::last_token:
      return "lasttoken";
    case Pooling::max:
      return "max_tokens";
    case Pooling::mean:
      break;
  }
  return "mean_tokens";
}

void write_json(const fs::path& path, const Json& json) {
  write_file(path, to_json_text(json, 2) + "\n");
}

}  // namespace

const std::string& EmbeddingSettings::prompt(std::string_view name) const {
  std::string known;
  for (const auto& [own, text] : prompts) {
    if (own == name) return text;
    known += (known.empty() ? "" : ", ") + own;
  }
  fail("the model has no prompt {} for texts to embed; it has {}", quote(name),
       known.empty() ? "none" : known);
}

EmbeddingSettings load_embedding_settings(const fs::path& model) {
  return model.extension() == ".gguf" ? read_keys(read_gguf(model).metadata) : read_folder(model);
}

void save_embedding_settings(const EmbeddingSettings& settings, int64_t width,
                             const fs::path& folder) {
  if (settings == EmbeddingSettings{}) return;
  Json modules = Json::array();
  const auto add = [&](const std::string& kind, const std::string& path) {
    modules.push_back({{"idx", modules.size()},
                       {"name", std::to_string(modules.size())},
                       {"path", path},
                       {"type", "sentence_transformers.models." + kind}});
  };
  add("Transformer", "");
  add("Pooling", "1_Pooling");
  if (settings.normalise) add("Normalize", "2_Normalize");
  make_folder(folder / "1_Pooling");
  Json pooling = {{"word_embedding_dimension", width}};
  for (Pooling kind : {Pooling::first_token, Pooling::mean, Pooling::max, Pooling::last_token}) {
    pooling["pooling_mode_" + pooling_name(kind)] = kind == settings.pooling;
  }
  write_json(folder / "modules.json", modules);
  write_json(folder / "1_Pooling/config.json", pooling);
  if (settings.max_tokens > 0) {
    write_json(folder / "sentence_bert_config.json",
               {{"max_seq_length", settings.max_tokens}, {"do_lower_case", false}});
  }
  Json prompts = Json::object();
  for (const auto& [name, text] : settings.prompts) prompts[name] = text;
  const std::string& name = settings.default_prompt;
  write_json(folder / "config_sentence_transformers.json",
             {{"prompts", prompts}, {"default_prompt_name", name.empty() ? Json() : Json(name)}});
  if (settings.sigmoid_scores) return;
  Json config = read_json(folder / "config.json");
  config["sentence_transformers"] = {{"activation_fn", "torch.nn.modules.linear.Identity"}};
  write_json(folder / "config.json", config);
}

uint32_t gguf_pooling(Pooling pooling) {
  switch (pooling) {
    case Pooling::mean:
      return 1;
    case Pooling::first_token:
      return 2;
    case Pooling::last_token:
      return 3;
    case Pooling::max:
      break;
  }
  fail("GGUF has no word for embeddings that are greatest values");
}

}  // namespace millrace
