// Adapters in PEFT's files, whose modules are those of the model's Hugging Face files: a module may
// pack several of our matrices.
#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <utility>

#include "millrace/base/file.h"
#include "millrace/base/json.h"
#include "millrace/formats/safetensors.h"
#include "millrace/model/adapter.h"
#include "millrace/model/published_names.h"
#include "millrace/model/tensor_names.h"
#include "millrace/tensor/quantize.h"

namespace millrace {
namespace {

constexpr std::string_view kPrefix = "base_model.model.", kWeight = ".weight";
constexpr int64_t kMostRank = 65536;
/// In the metadata: which matrices of a module have an A of their own, beside each other in the
/// module's.
constexpr const char* kOwnParts = "millrace_parts";

std::string without_weight(std::string_view name) {
  return std::string(name.substr(0, name.size() - kWeight.size()));
}

/// A matrix of files, [out, in].
struct Module {
  std::string path;  ///< its name but for ".weight"
  Shape shape;
  bool is_transposed = false;      ///< in files
  std::vector<size_t> parts = {};  ///< the model's parameters in it
};

/// The matrices of layers. Stacks of experts are no modules of PEFT's; their parts are, each by
/// itself.
std::vector<Module> layer_modules(const Model& model) {
  std::vector<Module> modules;
  for (const FileTensor& place : file_tensors(model, FileLayout::hugging_face)) {
    const size_t first = place.parameters.front();
    const TensorSpec& spec = model.spec(first);
    if (first < model.specs().outer.size() || !model.parameters()[first].is_matrix()) continue;
    if (spec.packed_rows.slices > 0) {
      for (size_t i : place.parameters) {
        const Parameter& own = model.parameters()[i];
        modules.push_back({without_weight(own.name), own.shape, false, {i}});
      }
      continue;
    }
    const Shape shape = spec.transposed ? with_turned_matrices(place.shape) : place.shape;
    modules.push_back({without_weight(place.name), shape, spec.transposed, place.parameters});
  }
  return modules;
}

/// The rows of a module that are a parameter.
RowPart part_of_module(const Model& model, size_t i) {
  const RowPart& part = model.spec(i).packed_rows;
  return part.slices > 0 ? RowPart{} : part;
}

/// What an adapter adds to one matrix: scale · b · a, whose sizes are [out, rank] and [rank, in].
struct Addition {
  Tensor a, b;
  float scale = 1;
};

Addition turned(const Addition& addition) {
  return {transposed(addition.b), transposed(addition.a), addition.scale};
}

Tensor rows(const Tensor& tensor, int64_t begin, int64_t end) {
  return tensor.rows(begin, end).clone();
}

Tensor columns(const Tensor& tensor, int64_t begin, int64_t end) {
  return transposed(rows(transposed(tensor), begin, end));
}

/// A module's addition to the rows that are a parameter.
Addition part_of(const Addition& whole, const Model& model, size_t i) {
  RowPart part = part_of_module(model, i);
  const Shape& shape = model.parameters()[i].shape;
  const int64_t count = part.turned ? shape[1] : shape[0];
  const bool is_turned = std::exchange(part.turned, false);
  const Tensor b = part_of_file(whole.b, part, false, {count, whole.b.shape()[1]}).clone();
  const Addition result = {whole.a.clone(), b, whole.scale};
  return is_turned ? turned(result) : result;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.f32().begin(), a.f32().end(), b.f32().begin());
}

/// The additions to a module's parts as one: with the A that they share, or the ranks of all.
Addition packed(const Model& model, const Module& module, const std::map<size_t, Addition>& parts,
                bool shared) {
  int64_t rank = 0;
  for (const auto& [i, part] : parts) rank = shared ? part.a.shape()[0] : rank + part.a.shape()[0];
  Addition whole = {Tensor(DType::f32, {rank, module.shape[1]}),
                    Tensor(DType::f32, {module.shape[0], rank}), parts.begin()->second.scale};
  int64_t first = 0;
  for (const auto& [i, part] : parts) {
    const int64_t count = part.b.shape()[0], own = part.a.shape()[0];
    Tensor wide(DType::f32, {count, rank});
    for (int64_t row = 0; row < count; ++row) {
      for (int64_t column = 0; column < own; ++column) {
        wide.f32()[static_cast<size_t>(row * rank + first + column)] =
            part.b.f32()[static_cast<size_t>(row * own + column)] * (part.scale / whole.scale);
      }
    }
    RowPart place = part_of_module(model, i);
    place.turned = false;
    put_part(wide, place, whole.b);
    std::copy(part.a.f32().begin(), part.a.f32().end(),
              whole.a.f32().begin() + first * module.shape[1]);
    if (!shared) first += own;
  }
  return whole;
}

void refuse_unsupported(const Json& config, const std::string& source) {
  std::string type = json_field<std::string>(config, "peft_type", source);
  require(type == "LORA", "{}: peft_type is {}; only LORA is supported", source, quote(type));
  for (const char* field : {"use_dora", "lora_bias"}) {
    require(!optional_json_field<bool>(config, field, source).value_or(false),
            "{}: '{}' is not supported", source, field);
  }
  auto found = config.find("modules_to_save");
  require(found == config.end() || found->is_null() || found->empty(),
          "{}: 'modules_to_save' is not supported", source);
  std::string bias = optional_json_field<std::string>(config, "bias", source).value_or("none");
  require(bias == "none", "{}: bias is {}; only 'none' is supported", source, quote(bias));
}

/// A number of a module: that of the first name in a pattern which it ends with, or `otherwise`.
double pattern_value(const Json& config, const char* pattern, std::string_view path,
                     double otherwise, const std::string& source) {
  const auto names = config.find(pattern);
  if (names == config.end() || names->is_null()) return otherwise;
  require(names->is_object(), "{}: '{}' must be an object", source, pattern);
  for (const auto& [name, value] : names->items()) {
    require(name.find_first_of("^$*+?()[]{}|\\") == std::string::npos,
            "{}: {} has {}; only names of modules are supported, no expressions", source, pattern,
            quote(name));
    if (path == name || path.ends_with("." + name)) {
      return json_field<double>(*names, name.c_str(), source);
    }
  }
  return otherwise;
}

struct Strength {
  int64_t rank = 0;
  float alpha = 0;
};

/// A module's rank and alpha; alpha means alpha over rank, whatever the file means by it.
Strength strength(const Json& config, std::string_view path, const std::string& source) {
  const double rank =
      pattern_value(config, "rank_pattern", path, json_field<int64_t>(config, "r", source), source);
  const double alpha = pattern_value(config, "alpha_pattern", path,
                                     json_field<double>(config, "lora_alpha", source), source);
  require(rank >= 1 && rank <= kMostRank && rank == std::floor(rank),
          "{}: the rank r is {}; it must be between 1 and {}", source, rank, kMostRank);
  require(std::abs(alpha) < 1e9, "{}: lora_alpha is {}", source, alpha);
  const bool root = optional_json_field<bool>(config, "use_rslora", source).value_or(false);
  return {static_cast<int64_t>(rank), static_cast<float>(root ? alpha * std::sqrt(rank) : alpha)};
}

Tensor take(const TensorTable& tensors, const std::string& name, const Shape& shape) {
  const Tensor& tensor = tensors.at(name);
  require(tensor.shape() == shape, "{}: tensor '{}' has shape {}; the model needs {}",
          tensors.source(), name, tensor.shape(), shape);
  return dequantized(tensor);
}

/// What the files add to modules, and how it is shared out.
struct Reader {
  const Model& model;
  const Json& config;
  const std::string& source;
  const TensorTable& tensors;
  const Json& own_parts;
  size_t used = 0;
  std::map<size_t, Addition> additions = {};  ///< by parameter

  /// The addition to a matrix of files, if there is one.
  std::optional<Addition> find(const std::string& path, const Shape& shape) {
    for (const std::string& weight : spellings(model, path + std::string(kWeight))) {
      const std::string name = std::string(kPrefix) + without_weight(weight);
      if (tensors.find(name + ".lora_A.weight") == nullptr) continue;
      const Strength own = strength(config, without_weight(weight), source);
      used += 2;
      return Addition{take(tensors, name + ".lora_A.weight", {own.rank, shape[1]}),
                      take(tensors, name + ".lora_B.weight", {shape[0], own.rank}),
                      own.alpha / static_cast<float>(own.rank)};
    }
    return std::nullopt;
  }

  void share_out(const Module& module, const Addition& whole) {
    const auto listed = own_parts.find(module.path);
    if (listed == own_parts.end()) {
      for (size_t i : module.parts) additions[i] = part_of(whole, model, i);
      return;
    }
    require(listed->is_array() && !listed->empty() && listed->size() <= module.parts.size() &&
                whole.a.shape()[0] % static_cast<int64_t>(listed->size()) == 0,
            "{}: its metadata's '{}' do not fit module '{}'", tensors.source(), kOwnParts,
            module.path);
    const int64_t rank = whole.a.shape()[0] / static_cast<int64_t>(listed->size());
    int64_t first = 0;
    for (size_t i : module.parts) {
      if (std::ranges::count(*listed, Json(model.parameters()[i].name)) == 0) continue;
      const Addition own = {rows(whole.a, first, first + rank),
                            columns(whole.b, first, first + rank), whole.scale};
      additions[i] = part_of(own, model, i);
      first += rank;
    }
    require(first == whole.a.shape()[0], "{}: its metadata's '{}' names what module '{}' has not",
            tensors.source(), kOwnParts, module.path);
  }

  void read() {
    for (const Module& module : layer_modules(model)) {
      if (const auto whole = find(module.path, module.shape)) {
        module.parts.size() == 1 && part_of_module(model, module.parts.front()).is_whole()
            ? void(additions[module.parts.front()] = *whole)
            : share_out(module, *whole);
        continue;
      }
      for (size_t i : module.parts) {  // by our own names
        const Parameter& parameter = model.parameters()[i];
        if (without_weight(parameter.name) == module.path) continue;
        if (const auto own = find(without_weight(parameter.name), parameter.shape)) {
          additions[i] = *own;
        }
      }
    }
    require(used == tensors.size(), "{}: has tensors that do not belong to layers of this model",
            tensors.source());
  }
};

Json own_parts_of(const SafetensorsFile& file) {
  const auto found = file.metadata.find(kOwnParts);
  if (found == file.metadata.end()) return Json::object();
  Json parts = parse_json(found->second, file.tensors.source());
  require(parts.is_object(), "{}: its metadata's '{}' is no object", file.tensors.source(),
          kOwnParts);
  return parts;
}

/// PEFT's modules have their heads in the order of Hugging Face's files.
void require_published_order(const Model& model) {
  require(
      !model.config().delta_net.turns,
      "adapters are not for a {} model from a GGUF file, whose heads are in another order; take "
      "the Hugging Face folder",
      model.config().model_type);
}

}  // namespace

std::unique_ptr<Adapter> Adapter::load(const Model& model, const std::filesystem::path& folder) {
  require_published_order(model);
  const std::string source = (folder / "adapter_config.json").string();
  const Json config = read_json(source);
  refuse_unsupported(config, source);
  const Strength all = strength(config, "", source);
  const SafetensorsFile file = read_safetensors(folder / "adapter_model.safetensors");
  const Json own_parts = own_parts_of(file);
  Reader reader{model, config, source, file.tensors, own_parts};
  reader.read();
  std::unique_ptr<Adapter> adapter(new Adapter(model, all.rank, all.alpha));
  for (auto& [i, addition] : reader.additions) {
    adapter->add(model.parameters()[i], addition.a, addition.b, addition.scale);
  }
  for (Parameter& parameter : adapter->parameters_) {
    pack_for_running(parameter, model.arithmetic());
  }
  return adapter;
}

void Adapter::save(const std::filesystem::path& folder, const std::string& base_model) const {
  require_published_order(model_);
  make_folder(folder);
  Json ranks = Json::object(), alphas = Json::object(), own_parts = Json::object();
  std::set<std::string> names;
  std::vector<TensorSource> sources;
  bool is_transposed = false;
  for (const Module& module : layer_modules(model_)) {
    std::map<size_t, Addition> parts;
    for (size_t i : module.parts) {
      const auto found = map_.find(&model_.parameters()[i]);
      if (found == map_.end()) continue;
      const Addition own = {found->second.a->value, found->second.b->value, found->second.scale};
      parts[i] = part_of_module(model_, i).turned ? turned(own) : own;
    }
    if (parts.empty()) continue;
    const Addition& first = parts.begin()->second;
    const bool shared =
        parts.size() == module.parts.size() && std::ranges::all_of(parts, [&](const auto& part) {
          return same_bits(part.second.a, first.a) && part.second.scale == first.scale;
        });
    Addition whole = packed(model_, module, parts, shared);
    const int64_t rank = whole.a.shape()[0];
    const float alpha = whole.scale * static_cast<float>(rank);
    if (rank != rank_) ranks[module.path] = rank;
    if (rank != rank_ || std::abs(alpha - alpha_) > 1e-6f * std::abs(alpha_)) {
      alphas[module.path] = alpha;
    }
    if (!shared) {
      for (const auto& [i, part] : parts) {
        own_parts[module.path].push_back(model_.parameters()[i].name);
      }
    }
    names.insert(last_name(module.path));
    is_transposed |= module.is_transposed;
    const std::string name = std::string(kPrefix) + module.path;
    sources.emplace_back(name + ".lora_A.weight", std::move(whole.a));
    sources.emplace_back(name + ".lora_B.weight", std::move(whole.b));
  }
  SafetensorsMetadata metadata = {{"format", "pt"}};
  if (!own_parts.empty()) metadata[kOwnParts] = own_parts.dump();
  write_safetensors(folder / "adapter_model.safetensors", sources, metadata);
  Json config = {{"peft_type", "LORA"},
                 {"task_type", "CAUSAL_LM"},
                 {"base_model_name_or_path", base_model},
                 {"r", rank_},
                 {"lora_alpha", alpha_},
                 {"rank_pattern", ranks},
                 {"alpha_pattern", alphas},
                 {"lora_dropout", 0.0},
                 {"bias", "none"},
                 {"target_modules", names},
                 {"fan_in_fan_out", is_transposed},
                 {"inference_mode", true}};
  write_file(folder / "adapter_config.json", to_json_text(config, 2) + "\n");
}

}  // namespace millrace
