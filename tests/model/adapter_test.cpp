// Adapters of modules that a model's files pack and Millrace holds in parts: PEFT's own, whose
// logits its arithmetic gave (tools/make_adapter_goldens.py), and Millrace's, which must mean to
// PEFT what they mean here: the sum of a file's matrix and scale · B · A.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/random.h"
#include "millrace/formats/safetensors.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/model/adapter.h"
#include "millrace/model/load.h"
#include "millrace/tensor/quantize.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden";
constexpr const char* kFile = "adapter_model.safetensors";
constexpr float kTolerance = 1e-4f;

std::vector<int32_t> prompt_of(const std::string& family) {
  return read_json(kGolden / "families" / family / "golden.json")
      .at("ids")
      .get<std::vector<int32_t>>();
}

Tensor logits_of(const Model& model, const std::vector<int32_t>& ids, const LowRankMap* adapter) {
  RaggedBatch batch;
  batch.add_sequence(ids);
  Workspace workspace;
  EvaluatingContext context(batch, model.cache_dtype(), workspace);
  if (adapter != nullptr) context.set_adapter(adapter);
  std::vector<int64_t> rows;
  for (size_t i = 0; i < ids.size(); ++i) rows.push_back(static_cast<int64_t>(i));
  return logits(context, model, rows).data.clone();
}

float distance(const Tensor& a, const Tensor& b) {
  float greatest = 0;
  for (size_t i = 0; i < a.f32().size(); ++i) {
    greatest = std::max(greatest, std::abs(a.f32()[i] - b.f32()[i]));
  }
  return greatest;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.f32().begin(), a.f32().end(), b.f32().begin());
}

class PeftAdapters : public testing::TestWithParam<std::string> {
 protected:
  fs::path folder_ = kGolden / "adapters" / GetParam();
  std::unique_ptr<Model> model_ = load_model(kGolden / "families" / GetParam());
  std::vector<int32_t> ids_ = prompt_of(GetParam());
};

TEST_P(PeftAdapters, GiveTheLogitsThatPeftGives) {
  const auto adapter = Adapter::load(*model_, folder_);
  const Tensor got = logits_of(*model_, ids_, &adapter->map());
  const Json golden = read_json(folder_ / "golden.json");
  const auto width = static_cast<size_t>(got.shape()[1]);
  float greatest = 0;
  for (size_t i = 0; i < golden.at("rows").size(); ++i) {
    const auto row = golden.at("rows")[i].get<size_t>();
    for (size_t j = 0; j < width; ++j) {
      greatest = std::max(
          greatest, std::abs(got.f32()[row * width + j] - golden.at("logits")[i][j].get<float>()));
    }
  }
  EXPECT_LE(greatest, kTolerance);
  merge(*model_, *adapter);
  EXPECT_LE(distance(logits_of(*model_, ids_, nullptr), got), kTolerance);
}

TEST_P(PeftAdapters, AreWrittenAsTheyWere) {
  const auto adapter = Adapter::load(*model_, folder_);
  const ScratchFolder written;
  adapter->save(written.path(), "base");
  const SafetensorsFile expected = read_safetensors(folder_ / kFile);
  const SafetensorsFile got = read_safetensors(written / kFile);
  EXPECT_EQ(got.tensors.size(), expected.tensors.size());
  for (const NamedTensor& named : expected.tensors) {
    const Tensor* tensor = got.tensors.find(named.name);
    ASSERT_NE(tensor, nullptr) << named.name;
    EXPECT_TRUE(same_bits(*tensor, named.tensor)) << named.name;
  }
  const Json before = read_json(folder_ / "adapter_config.json");
  const Json after = read_json(written / "adapter_config.json");
  EXPECT_EQ(after.at("target_modules").get<std::set<std::string>>(),
            before.at("target_modules").get<std::set<std::string>>());
  EXPECT_EQ(after.at("fan_in_fan_out"), before.at("fan_in_fan_out"));
  const auto read = Adapter::load(*model_, written.path());
  EXPECT_LE(
      distance(logits_of(*model_, ids_, &read->map()), logits_of(*model_, ids_, &adapter->map())),
      kTolerance);  // a rank's root is rounded
}

INSTANTIATE_TEST_SUITE_P(All, PeftAdapters,
                         testing::Values("glm4", "gpt_neox", "bloom", "openai-gpt", "deepseek_v3"),
                         [](const testing::TestParamInfo<std::string>& family) {
                           std::string name = family.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

void randomise(Adapter& adapter) {
  uint64_t seed = 3;
  for (Parameter& parameter : adapter.parameters()) {
    Random random(mix_bits(++seed));
    for (float& x : parameter.value.f32()) x = static_cast<float>(random.uniform() - 0.5) * 0.6f;
    pack_for_running(parameter, Arithmetic::f32);
  }
}

/// A family's folder whose matrices have what an adapter's files say added to them, as PEFT does.
void write_sum(const std::string& family, const fs::path& adapter, const fs::path& out) {
  const fs::path base = kGolden / "families" / family;
  const Json config = read_json(adapter / "adapter_config.json");
  const SafetensorsFile weights = read_safetensors(base / "model.safetensors");
  const SafetensorsFile low_rank = read_safetensors(adapter / kFile);
  fs::copy_file(base / "config.json", out / "config.json");
  std::vector<TensorSource> sources;
  size_t added = 0;
  for (const NamedTensor& named : weights.tensors) {
    std::string path = named.name.substr(0, named.name.rfind('.'));
    const std::string prefix = "base_model.model." + path;
    Tensor sum = dequantized(named.tensor).clone();
    const Tensor* a = low_rank.tensors.find(prefix + ".lora_A.weight");
    if (a != nullptr && named.name.ends_with(".weight")) {
      const Tensor& b = low_rank.tensors.at(prefix + ".lora_B.weight");
      const int64_t rank = a->shape()[0], rows = b.shape()[0], width = a->shape()[1];
      const Json& alphas = config.at("alpha_pattern");
      const float alpha = alphas.contains(path) ? alphas.at(path).get<float>()
                                                : config.at("lora_alpha").get<float>();
      const Json& ranks = config.at("rank_pattern");
      EXPECT_EQ(rank, ranks.contains(path) ? ranks.at(path) : config.at("r"));
      for (int64_t row = 0; row < rows; ++row) {
        for (int64_t column = 0; column < width; ++column) {
          float product = 0;
          for (int64_t i = 0; i < rank; ++i) {
            product += b.f32()[static_cast<size_t>(row * rank + i)] *
                       a->f32()[static_cast<size_t>(i * width + column)];
          }
          const bool turned = config.at("fan_in_fan_out").get<bool>();
          sum.f32()[static_cast<size_t>(turned ? column * rows + row : row * width + column)] +=
              product * alpha / static_cast<float>(rank);
        }
      }
      added += 2;
    }
    sources.emplace_back(named.name, sum);
  }
  EXPECT_EQ(added, low_rank.tensors.size());
  write_safetensors(out / "model.safetensors", sources, {});
}

class OwnAdapters : public testing::TestWithParam<std::string> {};

TEST_P(OwnAdapters, MeanToPeftWhatTheyMeanHere) {
  const std::string& family = GetParam();
  const auto model = load_model(kGolden / "families" / family);
  const std::vector<int32_t> ids = prompt_of(family);
  const Tensor plain = logits_of(*model, ids, nullptr);
  // All matrices, and the first two of a layer, which are packed with others.
  for (const bool all : {true, false}) {
    std::vector<std::string> targets;
    if (!all) {
      for (const Parameter& parameter : model->parameters()) {
        if (parameter.name.find("layers.0.") == std::string::npos &&
            parameter.name.find(".h.0.") == std::string::npos) {
          continue;
        }
        const std::string path = parameter.name.substr(0, parameter.name.rfind('.'));
        if (parameter.is_matrix() && targets.size() < 2) {
          targets.push_back(path.substr(path.rfind('.') + 1));
        }
      }
    }
    Adapter adapter(*model, 2, 3, targets, 5);
    randomise(adapter);
    const Tensor expected = logits_of(*model, ids, &adapter.map());
    EXPECT_GT(distance(expected, plain), 0.1f);
    const ScratchFolder written, sum;
    adapter.save(written.path(), family);
    write_sum(family, written.path(), sum.path());
    EXPECT_LE(distance(logits_of(*load_model(sum.path()), ids, nullptr), expected), kTolerance);
    // Read again it is the same, part by part: training goes on from it.
    const auto read = Adapter::load(*model, written.path());
    ASSERT_EQ(read->parameters().size(), adapter.parameters().size());
    for (size_t i = 0; i < read->parameters().size(); ++i) {
      EXPECT_EQ(read->parameters()[i].name, adapter.parameters()[i].name);
      EXPECT_TRUE(same_bits(read->parameters()[i].value, adapter.parameters()[i].value))
          << read->parameters()[i].name;
    }
    EXPECT_TRUE(same_bits(logits_of(*model, ids, &read->map()), expected));
  }
}

INSTANTIATE_TEST_SUITE_P(All, OwnAdapters,
                         testing::Values("llama", "glm4", "chatglm", "internlm2", "baichuan",
                                         "zhinao", "qwen", "gpt_neox", "bloom", "openai-gpt",
                                         "deepseek_v3", "minicpm3"),
                         [](const testing::TestParamInfo<std::string>& family) {
                           std::string name = family.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

/// What loading says of an adapter with one field of its configuration changed.
std::string fault(const std::string& family, const char* field, const Json& value) {
  const fs::path from = kGolden / "adapters" / family;
  const ScratchFolder folder;
  Json config = read_json(from / "adapter_config.json");
  config[field] = value;
  folder.write("adapter_config.json", config.dump());
  fs::copy_file(from / kFile, folder / kFile);
  try {
    Adapter::load(*load_model(kGolden / "families" / family), folder.path());
  } catch (const Error& error) {
    EXPECT_TRUE(std::string(error.what()).starts_with(folder.path().string())) << error.what();
    return error.what();
  }
  return "";
}

TEST(HostileAdapters, PatternsThatMakeNoSenseAreRefused) {
  EXPECT_EQ(fault("glm4", "lora_dropout", 0.5), "");
  EXPECT_NE(fault("glm4", "rank_pattern", Json{{".*_proj", 3}}).find("rank_pattern"),
            std::string::npos);
  EXPECT_NE(fault("glm4", "rank_pattern", Json{{"gate_up_proj", "5"}}).find("gate_up_proj"),
            std::string::npos);
  EXPECT_NE(fault("glm4", "rank_pattern", Json{{"gate_up_proj", 0}}).find("rank"),
            std::string::npos);
  EXPECT_NE(fault("glm4", "rank_pattern", Json{{"gate_up_proj", 1e300}}).find("rank"),
            std::string::npos);
  EXPECT_NE(fault("glm4", "rank_pattern", Json{{"gate_up_proj", 4}}).find("shape"),
            std::string::npos);
  EXPECT_NE(fault("glm4", "alpha_pattern", 5).find("alpha_pattern"), std::string::npos);
  EXPECT_NE(fault("glm4", "lora_alpha", 1e300).find("lora_alpha"), std::string::npos);
  EXPECT_NE(fault("glm4", "r", -1).find("r"), std::string::npos);
}

TEST(HostileAdapters, PartsThatAModuleHasNotAreRefused) {
  const auto model = load_model(kGolden / "families/glm4");
  const SafetensorsFile file = read_safetensors(kGolden / "adapters/glm4" / kFile);
  const std::string module = "model.layers.0.mlp.gate_up_proj";
  for (const std::string& parts :
       {std::string("["), std::string("[]"), Json{{module, "gate_proj"}}.dump(),
        Json{{module, Json::array()}}.dump(), Json{{module, {"gate_proj", "up_proj"}}}.dump(),
        Json{{module, {1, 2, 3, 4, 5}}}.dump(),
        Json{{module, {"model.layers.0.mlp.x_proj.weight"}}}.dump()}) {
    const ScratchFolder folder;
    fs::copy_file(kGolden / "adapters/glm4/adapter_config.json", folder / "adapter_config.json");
    write_safetensors(folder / kFile, sources_of(file.tensors), {{"millrace_parts", parts}});
    std::string message;
    try {
      Adapter::load(*model, folder.path());
    } catch (const Error& error) {
      message = error.what();
    }
    EXPECT_TRUE(message.starts_with(folder.path().string())) << parts << ": " << message;
  }
}

}  // namespace
}  // namespace millrace
