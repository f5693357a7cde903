#include "millrace/model/plan.h"

#include <cmath>
#include <set>

#include "millrace/formats/published_weights.h"
#include "millrace/formats/safetensors_index.h"
#include "millrace/formats/shards.h"
#include "millrace/graph/pages.h"
#include "millrace/model/load.h"
#include "millrace/model/nested_text.h"
#include "millrace/model/published_names.h"
#include "millrace/model/tensor_names.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

using Names = std::set<std::string, std::less<>>;

/// The tensors that an index names, and the size of their files that it says.
void read_index(const fs::path& path, std::string_view ending, ModelPlan& plan, Names& names) {
  const std::string text = read_file(path, kMaxIndexBytes);
  for (auto& [shard, own] : parse_safetensors_index(text, path.string(), ending)) {
    names.insert(own.begin(), own.end());
  }
  const Json json = parse_json(text, path.string());
  const Json::json_pointer size("/metadata/total_size");
  if (json.contains(size) && json.at(size).is_number()) {
    plan.file_bytes = static_cast<int64_t>(json.at(size).get<double>());
  }
  plan.index = path.filename().string();
  plan.num_tensors = static_cast<int64_t>(names.size());
}

/// Bits of a value of a matrix in memory. Packed integers take at most as many as the block type of
/// the next larger size (docs/families.md).
double bits_in_memory(StoredWeight::How how, const ModelConfig& config, int bits) {
  switch (how) {
    case StoredWeight::How::mxfp4:
      return 4.25;
    case StoredWeight::How::integers:
      return bits <= 4 ? 5.5 : 8.5;
    case StoredWeight::How::plain:
      break;
  }
  return config.dtype == DType::f32 ? 32 : 16;
}

/// Looks every tensor up, and adds the memory that it takes.
void look_up(const Json& json, Names names, ModelPlan& plan) {
  const Model& model = *plan.model;
  auto has = [&](const std::string& name) { return names.contains(name); };
  const auto method = json.find("quantization_config");
  const bool quantized = method != json.end() && method->is_object();
  const int bits =
      quantized ? optional_json_field<int>(*method, "bits", "quantization_config").value_or(8) : 16;
  Names used;
  double memory = 0;
  for (const FileTensor& place : file_tensors(model, FileLayout::hugging_face)) {
    std::optional<StoredWeight> stored;
    auto find = [&](const std::string& own) {
      for (const std::string& name : spellings(model, own)) {
        if (!stored) stored = find_stored_weight(name, quantized, has);
      }
    };
    find(place.name);
    if (const auto expert = stacked_expert(place.name); expert && !stored) find(expert->name);
    if (stored) {
      used.insert(stored->names.begin(), stored->names.end());
      for (const char* scale : {"_scale_inv", "_scale"}) used.insert(stored->base + scale);
      if (stored->how == StoredWeight::How::integers) used.insert(stored->base + ".bias");
    } else if (!plan.index.empty()) {
      plan.missing.push_back(place.name);
    }
    const double of_matrix =
        bits_in_memory(stored ? stored->how : StoredWeight::How::plain, model.config(), bits);
    for (size_t i : place.parameters) {
      const Parameter& parameter = model.parameters()[i];
      const bool in_f32 = !parameter.is_matrix() || model.spec(i).in_f32;
      memory += static_cast<double>(parameter.shape.count()) * (in_f32 ? 32 : of_matrix) / 8;
    }
  }
  plan.weight_bytes = std::llround(memory);
  for (const std::string& name : names) {
    const bool nested = !model.config().part_of.empty();
    if (nested && name_in_text_model(model, name).empty()) ++plan.num_other_tensors;
    if (!used.contains(name) && !is_dispensable(model, name)) plan.unexpected.push_back(name);
  }
}

}  // namespace

ModelPlan plan_model(const fs::path& folder) {
  const fs::path config_path = folder / "config.json";
  ModelConfig config = load_config(folder);
  const Family& family = family_of_model_type(config.model_type, config_path.string());
  ModelPlan plan;
  plan.model = std::make_unique<Model>(family, std::move(config));
  const Model& model = *plan.model;
  for (size_t i = 0; i < model.parameters().size(); ++i) {
    if (model.parameters()[i].name.empty()) continue;
    const auto count = static_cast<double>(model.parameters()[i].shape.count());
    plan.active_parameters += std::llround(count * model.use(i));
  }
  plan.cache_bytes = static_cast<int64_t>(model.cache_layout().block_bytes()) / kPageSize;
  Names names;
  if (const fs::path index = folder / "model.safetensors.index.json"; is_there(index)) {
    read_index(index, ".safetensors", plan, names);
  } else if (const fs::path older = folder / "pytorch_model.bin.index.json"; is_there(older)) {
    read_index(older, ".bin", plan, names);
  }
  look_up(text_model_json(read_json(config_path), config_path.string()), std::move(names), plan);
  return plan;
}

}  // namespace millrace
