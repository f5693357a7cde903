// What a folder without weights says of its model.
#include "millrace/model/plan.h"

#include <gtest/gtest.h>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/model/load.h"
#include "millrace/model/tensor_names.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

/// A config.json of one of the goldens, and an index that names what its model needs.
class Plan : public testing::Test {
 protected:
  void write(const char* golden, const Json& changes = Json::object()) {
    const fs::path family = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/families" / golden;
    Json config = read_json(family / "config.json");
    config.update(changes);
    write_file(folder_ / "config.json", to_json_text(config));
    const ModelPlan plan = plan_model(folder_.path());
    EXPECT_EQ(plan.index, "");
    EXPECT_TRUE(plan.fits());
    for (const FileTensor& tensor : file_tensors(*plan.model, FileLayout::hugging_face)) {
      names_.push_back(tensor.name);
    }
  }

  ModelPlan planned(const char* index = "model.safetensors.index.json") {
    Json map = Json::object();
    const std::string shard = index[0] == 'm' ? "model-1.safetensors" : "pytorch_model-1.bin";
    for (const std::string& name : names_) map[name] = shard;
    write_file(folder_ / index,
               to_json_text({{"metadata", {{"total_size", 1234}}}, {"weight_map", map}}));
    return plan_model(folder_.path());
  }

  void rename(const std::string& from, const std::string& to) {
    std::replace(names_.begin(), names_.end(), from, to);
  }

  ScratchFolder folder_;
  std::vector<std::string> names_;
};

TEST_F(Plan, KnowsWhatAModelTakes) {
  write("llama", {{"dtype", "bfloat16"}});
  const ModelPlan plan = planned();
  EXPECT_TRUE(plan.fits());
  EXPECT_EQ(plan.index, "model.safetensors.index.json");
  EXPECT_EQ(plan.num_tensors, static_cast<int64_t>(names_.size()));
  EXPECT_EQ(plan.file_bytes, 1234);
  EXPECT_EQ(plan.active_parameters, plan.model->num_parameters());
  int64_t bytes = 0;
  for (const Parameter& parameter : plan.model->parameters()) {
    if (!parameter.name.empty()) bytes += parameter.shape.count() * (parameter.is_matrix() ? 2 : 4);
  }
  EXPECT_EQ(plan.weight_bytes, bytes);
  const ModelConfig& config = plan.model->config();
  EXPECT_GE(plan.cache_bytes, config.num_layers * config.num_kv_heads * config.head_dim * 2 * 2);
}

TEST_F(Plan, NamesWhatIsMissingAndWhatHasNoPlace) {
  write("llama");
  rename("model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.up.weight");
  names_.emplace_back("model.layers.0.self_attn.rotary_emb.inv_freq");  // a buffer
  const ModelPlan plan = planned("pytorch_model.bin.index.json");
  EXPECT_EQ(plan.missing, std::vector<std::string>{"model.layers.1.mlp.up_proj.weight"});
  EXPECT_EQ(plan.unexpected, std::vector<std::string>{"model.layers.1.mlp.up.weight"});
}

TEST_F(Plan, KnowsWeightsOfFewBits) {
  write("llama", {{"quantization_config", {{"quant_method", "gptq"}, {"bits", 4}}}});
  const int64_t plain = planned().weight_bytes;
  const std::string module = "model.layers.0.mlp.gate_proj.";
  rename(module + "weight", module + "qweight");
  for (const char* part : {"qzeros", "scales", "g_idx", "bias"}) names_.push_back(module + part);
  rename("model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight_blocks");
  names_.emplace_back("model.layers.0.mlp.up_proj.weight_scales");
  names_.emplace_back("model.layers.0.mlp.down_proj.weight_scale_inv");
  const ModelPlan plan = planned();
  EXPECT_TRUE(plan.fits()) << testing::PrintToString(plan.missing)
                           << testing::PrintToString(plan.unexpected);
  EXPECT_LT(plan.weight_bytes, plain);
  write_file(folder_ / "config.json",
             read_file(fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/families/llama/config.json"));
  EXPECT_EQ(plan_model(folder_.path()).missing.size(), 2u);  // it does not say that it has such
}

TEST_F(Plan, ATokenUsesOnlySomeExperts) {
  write("qwen3_moe");
  const ModelPlan plan = planned();
  EXPECT_TRUE(plan.fits());
  EXPECT_LT(plan.active_parameters, plan.model->num_parameters());
}

TEST_F(Plan, RefusesWhatIsNoModel) {
  EXPECT_THROW(plan_model(folder_.path()), Error);
  write("llama");
  for (const char* index : {"{}", "[1]", R"({"weight_map": {"a": "../b.safetensors"}})", "\xff"}) {
    write_file(folder_ / "model.safetensors.index.json", index);
    EXPECT_THROW(plan_model(folder_.path()), Error) << index;
  }
}

}  // namespace
}  // namespace millrace
