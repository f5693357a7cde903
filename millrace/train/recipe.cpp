#include "millrace/train/recipe.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/train/recipe_keys.h"

namespace millrace {
namespace {

constexpr uint64_t kMaxRecipeBytes = 1 << 20;
constexpr std::string_view kCommandLine = "command line";

/// Where each key was given: "recipes/x.yaml:12" or "command line".
struct Origins {
  std::string source;
  std::map<std::string, std::string, std::less<>> keys;

  std::string of(std::string_view path) const {
    auto found = keys.find(path);
    return found == keys.end() ? source : found->second;
  }
  bool has(std::string_view path) const { return keys.find(path) != keys.end(); }
};

// --- Names ------------------------------------------------------------------------------------

/// Levenshtein distance: how many letters to insert, delete or replace.
size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({replaced, row[j] + 1, row[j - 1] + 1});
    }
  }
  return row[b.size()];
}

std::string_view section_of(std::string_view path) {
  size_t dot = path.find('.');
  return dot == std::string_view::npos ? std::string_view{} : path.substr(0, dot);
}

std::string_view last_name(std::string_view path) {
  return path.substr(path.rfind('.') + 1);
}

bool is_section(std::string_view name) {
  return std::ranges::any_of(recipe_keys(),
                             [&](const RecipeKey& key) { return section_of(key.path) == name; });
}

const RecipeKey* find_key(std::string_view path) {
  auto found =
      std::ranges::find_if(recipe_keys(), [&](const RecipeKey& k) { return k.path == path; });
  return found == recipe_keys().end() ? nullptr : &*found;
}

/// "; did you mean 'lr'?" for the nearest known name: in the same section first, by its bare name;
/// else the same name in another section, by its path. Empty when nothing is near.
std::string suggestion(std::string_view path) {
  std::string_view section = section_of(path);
  std::string_view name = last_name(path);
  std::string best;
  size_t least = 1 + name.size() / 3;
  auto consider = [&](std::string_view known, std::string_view shown) {
    size_t distance = edit_distance(name, known);
    if (distance <= least && (best.empty() || distance < least)) {
      least = distance;
      best = shown;
    }
  };
  for (const RecipeKey& key : recipe_keys()) {
    if (section_of(key.path) == section) consider(last_name(key.path), last_name(key.path));
    if (section.empty() && !section_of(key.path).empty()) {
      consider(section_of(key.path), section_of(key.path));
    }
  }
  if (best.empty()) {
    for (const RecipeKey& key : recipe_keys()) consider(last_name(key.path), key.path);
  }
  return best.empty() ? "" : fmt::format("; did you mean '{}'?", best);
}

// --- Values -----------------------------------------------------------------------------------

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// Writes one YAML value into one field of the recipe.
struct SetField {
  const RecipeKey& key;
  const YAML::Node& node;
  const std::string& where;

  [[noreturn]] void wrong_type(const RecipeField& field) const {
    std::string given = node.IsScalar() ? fmt::format("'{}'", node.Scalar())
                        : node.IsMap()  ? "a mapping"
                        : node.IsNull() ? "nothing"
                                        : "a list";
    fail("{}: {}: must be {}, not {}", where, key.path, type_name(field), given);
  }

  /// A quoted scalar is a string in YAML ("!" is yaml-cpp's tag for it), never a number.
  std::optional<std::string_view> plain_scalar(const YAML::Node& item) const {
    if (!item.IsScalar() || item.Tag() == "!") return std::nullopt;
    return item.Scalar();
  }

  template <typename Number>
  Number number(const YAML::Node& item, const RecipeField& field) const {
    auto text = plain_scalar(item);
    auto value = text ? parse_number<Number>(*text) : std::nullopt;
    if (!value) wrong_type(field);
    if (!std::isfinite(static_cast<double>(*value))) wrong_type(field);
    auto as_double = static_cast<double>(*value);
    require(key.range.least <= as_double && as_double <= key.range.most,
            "{}: {}: is {}; it must be {}", where, key.path, *value, range_text(key));
    return *value;
  }

  void operator()(bool* out) const {
    auto text = plain_scalar(node);
    if (text != "true" && text != "false") wrong_type(out);
    *out = text == "true";
  }
  void operator()(int64_t* out) const { *out = number<int64_t>(node, out); }
  void operator()(double* out) const { *out = number<double>(node, out); }
  void operator()(std::string* out) const {
    if (!node.IsScalar()) wrong_type(out);
    *out = node.Scalar();
    const auto& choices = key.range.choices;
    require(choices.empty() || std::ranges::find(choices, *out) != choices.end(),
            "{}: {}: is '{}'; it must be one of: {}", where, key.path, *out,
            fmt::join(choices, ", "));
  }
  void operator()(std::vector<double>* out) const {
    if (!node.IsSequence()) wrong_type(out);
    out->clear();
    for (const YAML::Node& item : node) out->push_back(number<double>(item, out));
  }
  /// A single string stands for a list of one.
  void operator()(std::vector<std::string>* out) const {
    if (node.IsScalar()) {
      *out = {node.Scalar()};
      return;
    }
    if (!node.IsSequence()) wrong_type(out);
    out->clear();
    for (const YAML::Node& item : node) {
      if (!item.IsScalar()) wrong_type(out);
      out->push_back(item.Scalar());
    }
  }
};

void set_key(Recipe& recipe, Origins& origins, const std::string& path, const YAML::Node& value,
             const std::string& where) {
  const RecipeKey* key = find_key(path);
  if (key == nullptr) fail("{}: {}: unknown key{}", where, path, suggestion(path));
  std::visit(SetField{*key, value, where}, key->field(recipe));
  origins.keys[path] = where;
}

// --- The file ---------------------------------------------------------------------------------

std::string at_line(std::string_view source, const YAML::Mark& mark) {
  return mark.is_null() ? std::string(source) : fmt::format("{}:{}", source, mark.line + 1);
}

YAML::Node parse_yaml(std::string_view text, std::string_view source) {
  try {
    return YAML::Load(std::string(text));
  } catch (const YAML::Exception& error) {
    fail("{}: is not valid YAML: {}", at_line(source, error.mark), error.msg);
  }
}

/// Reads the keys of a mapping, `prefix` being the section's path and a dot.
void read_mapping(Recipe& recipe, Origins& origins, const YAML::Node& mapping,
                  const std::string& prefix) {
  std::set<std::string> seen;
  for (const auto& entry : mapping) {
    std::string where = at_line(origins.source, entry.first.Mark());
    require(entry.first.IsScalar(), "{}: a key must be a plain word", where);
    std::string path = prefix + entry.first.Scalar();
    require(seen.insert(path).second, "{}: {}: is given twice", where, path);
    if (!prefix.empty() || !is_section(path)) {
      set_key(recipe, origins, path, entry.second, where);
      continue;
    }
    // A section whose keys are all commented out is null, and means its defaults.
    require(entry.second.IsMap() || entry.second.IsNull(),
            "{}: {}: is a section; its keys go on lines of their own below it", where, path);
    if (entry.second.IsMap()) read_mapping(recipe, origins, entry.second, path + ".");
  }
}

void apply_override(Recipe& recipe, Origins& origins, std::string_view text) {
  size_t equals = text.find('=');
  require(equals != std::string_view::npos && equals > 0,
          "{}: '{}': an override is written key.path=value, e.g. optimizer.lr=3e-4", kCommandLine,
          text);
  std::string path(text.substr(0, equals));
  std::string value(text.substr(equals + 1));
  std::string where(kCommandLine);
  if (is_section(path)) {
    fail("{}: {}: is a section; name one of its keys, e.g. optimizer.lr=3e-4", where, path);
  }
  // What the shell passes for a string is that string, whatever YAML would make of its characters.
  const RecipeKey* key = find_key(path);
  bool literal =
      key != nullptr && type_name(key->field(recipe)).find("string") != std::string_view::npos;
  bool is_list = !value.empty() && value.front() == '[';
  bool takes_list =
      key != nullptr && std::holds_alternative<std::vector<std::string>*>(key->field(recipe));
  if (literal && !(is_list && takes_list)) {
    set_key(recipe, origins, path, YAML::Node(value), where);
  } else {
    set_key(recipe, origins, path, parse_yaml(value, where + ": " + path), where);
  }
}

// --- What must hold between keys --------------------------------------------------------------

int64_t round_up(int64_t value, int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// The key that gives the model's shape as a whole; empty: the other keys do.
std::string whole_shape(const ModelRecipe& model) {
  if (!model.init_from.empty()) return "model.init_from";
  return model.config.empty() ? "" : "model.config";
}

/// Whether a key is of the shape that `whole` gives.
bool is_replaced(std::string_view path, const std::string& whole) {
  return section_of(path) == "model" && path != whole;
}

void check_model(Recipe& recipe, const Origins& origins) {
  ModelRecipe& model = recipe.model;
  if (const std::string whole = whole_shape(model); !whole.empty()) {
    for (const RecipeKey& key : recipe_keys()) {
      require(!is_replaced(key.path, whole) || !origins.keys.contains(key.path),
              "{}: {}: cannot be set together with {}, whose shape holds", origins.of(key.path),
              key.path, whole);
    }
    return;
  }
  if (model.num_kv_heads == 0) model.num_kv_heads = model.num_heads;
  bool llama = model.family == "llama";
  if (model.intermediate_size == 0) {
    model.intermediate_size =
        llama ? round_up(model.hidden_size * 8 / 3, 32) : 4 * model.hidden_size;
  }
  require(model.hidden_size % model.num_heads == 0,
          "{}: model.num_heads: {} heads do not divide hidden_size {}",
          origins.of("model.num_heads"), model.num_heads, model.hidden_size);
  require(model.num_heads % model.num_kv_heads == 0,
          "{}: model.num_kv_heads: {} key-value heads do not divide num_heads {}",
          origins.of("model.num_kv_heads"), model.num_kv_heads, model.num_heads);
  require(!llama || model.hidden_size / model.num_heads % 2 == 0,
          "{}: model.num_heads: heads of {} values; rotary embedding needs an even number",
          origins.of("model.num_heads"), model.hidden_size / model.num_heads);
  require(llama || model.num_kv_heads == model.num_heads,
          "{}: model.num_kv_heads: gpt2 has as many key-value heads as heads ({})",
          origins.of("model.num_kv_heads"), model.num_heads);
  require(llama || model.tie_embeddings,
          "{}: model.tie_embeddings: must be true for gpt2, whose head is its embedding",
          origins.of("model.tie_embeddings"));
  require(recipe.data.sequence_length <= model.max_position_embeddings,
          "{}: data.sequence_length: {} is more than model.max_position_embeddings, {}",
          origins.of("data.sequence_length"), recipe.data.sequence_length,
          model.max_position_embeddings);
}

void check_data(const Recipe& recipe, const Origins& origins) {
  const DataRecipe& data = recipe.data;
  require(!data.train.empty(), "{}: data.train: name at least one file to train on",
          origins.of("data.train"));
  require(data.micro_batch_tokens >= data.sequence_length,
          "{}: data.micro_batch_tokens: {} cannot hold one sequence of data.sequence_length {}",
          origins.of("data.micro_batch_tokens"), data.micro_batch_tokens, data.sequence_length);
  require(data.batch_tokens >= data.sequence_length,
          "{}: data.batch_tokens: {} cannot hold one sequence of data.sequence_length {}",
          origins.of("data.batch_tokens"), data.batch_tokens, data.sequence_length);
  require(!data.separator.empty(), "{}: data.separator: must not be empty",
          origins.of("data.separator"));
  bool conversations = data.format != "text";
  require(recipe.task == "finetune" || !conversations,
          "{}: data.format: '{}' holds conversations; set task: finetune",
          origins.of("data.format"), data.format);
  require(recipe.task == "pretrain" || conversations,
          "{}: data.format: fine-tuning needs conversations (alpaca, sharegpt or messages)",
          origins.of("data.format"));
  require(data.objective == "causal" || !conversations,
          "{}: data.objective: '{}' is learned from texts; set data.format: text",
          origins.of("data.objective"), data.objective);
  require(data.sentence_rate + data.document_rate <= 1,
          "{}: data.sentence_rate: {} and data.document_rate {} are more than all texts",
          origins.of("data.sentence_rate"), data.sentence_rate, data.document_rate);
  require(data.objective != "masked" || recipe.samples.prompts.empty(),
          "{}: samples.prompts: a model that learns hidden tokens continues no text",
          origins.of("samples.prompts"));
  require(recipe.schedule.steps > 0 || data.epochs > 0,
          "{}: schedule.steps: steps and data.epochs are both 0: there is nothing to do",
          origins.of("schedule.steps"));
}

void check_optimizer(Recipe& recipe, const Origins& origins) {
  require(recipe.optimizer.betas.size() == 2, "{}: optimizer.betas: has {} numbers instead of 2",
          origins.of("optimizer.betas"), recipe.optimizer.betas.size());
  ScheduleRecipe& schedule = recipe.schedule;
  if (schedule.steps > 0 && !origins.has("schedule.warmup_steps")) {
    schedule.warmup_steps = std::min(schedule.warmup_steps, schedule.steps / 10);
  }
  require(schedule.steps == 0 || schedule.warmup_steps <= schedule.steps,
          "{}: schedule.warmup_steps: {} is more than schedule.steps {}",
          origins.of("schedule.warmup_steps"), schedule.warmup_steps, schedule.steps);
}

/// A run's name becomes a folder's.
void check_name(const Recipe& recipe, const Origins& origins) {
  const std::string& name = recipe.name;
  bool good = !name.empty() && name.size() <= 200 && name.front() != '.' &&
              std::ranges::none_of(
                  name, [](char c) { return c == '/' || static_cast<unsigned char>(c) < ' '; });
  require(good, "{}: name: '{}' cannot name a folder: no '/', no control character, no '.' first",
          origins.of("name"), name);
}

void check_lora(Recipe& recipe, const Origins& origins) {
  LoraRecipe& lora = recipe.lora;
  if (lora.rank == 0) return;
  require(!recipe.model.init_from.empty(),
          "{}: lora.rank: an adapter needs a model to adapt; set model.init_from",
          origins.of("lora.rank"));
  require(!lora.targets.empty(), "{}: lora.targets: name at least one module, or all-linear",
          origins.of("lora.targets"));
  if (lora.alpha == 0) lora.alpha = 2.0 * static_cast<double>(lora.rank);
}

/// Checks what no single key shows, and fills in what 0 stands for.
Recipe resolve(Recipe recipe, const Origins& origins) {
  check_name(recipe, origins);
  check_model(recipe, origins);
  check_data(recipe, origins);
  check_optimizer(recipe, origins);
  check_lora(recipe, origins);
  return recipe;
}

}  // namespace

Recipe load_recipe(const std::filesystem::path& path, std::span<const std::string> overrides) {
  return parse_recipe(read_file(path, kMaxRecipeBytes), path.string(), overrides);
}

Recipe parse_recipe(std::string_view yaml, std::string_view source,
                    std::span<const std::string> overrides) {
  Origins origins{std::string(source), {}};
  Recipe recipe;
  try {
    YAML::Node root = parse_yaml(yaml, source);
    require(root.IsMap() || root.IsNull(), "{}: a recipe must be a YAML mapping of keys to values",
            source);
    if (root.IsMap()) read_mapping(recipe, origins, root, "");
    for (const std::string& text : overrides) apply_override(recipe, origins, text);
  } catch (const YAML::Exception& error) {
    fail("{}: cannot read the recipe: {}", at_line(source, error.mark), error.msg);
  }
  return resolve(std::move(recipe), origins);
}

Recipe override_recipe(Recipe recipe, std::span<const std::string> overrides) {
  Origins origins{"recipe", {}};
  for (const std::string& text : overrides) apply_override(recipe, origins, text);
  return resolve(std::move(recipe), origins);
}

std::string to_yaml(const Recipe& recipe) {
  Recipe copy = recipe;
  std::string text;
  std::string_view section;
  for (const RecipeKey& key : recipe_keys()) {
    // Where a model is given its shape is not the recipe's to write.
    if (const std::string whole = whole_shape(recipe.model);
        !whole.empty() && is_replaced(key.path, whole)) {
      continue;
    }
    if (section_of(key.path) != section) {
      section = section_of(key.path);
      text += fmt::format("\n{}:\n", section);
    }
    text += fmt::format("{}{}: {}\n", section.empty() ? "" : "  ", last_name(key.path),
                        value_text(key.field(copy)));
  }
  return text;
}

}  // namespace millrace
