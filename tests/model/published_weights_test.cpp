// A model whose weights were published in few bits is the model of the numbers that they mean.
#include "millrace/formats/published_weights.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "millrace/base/file.h"
#include "millrace/base/random.h"
#include "millrace/formats/safetensors.h"
#include "millrace/model/load.h"
#include "millrace/tensor/quantize.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const fs::path kPlain = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/families/llama";
const std::string kRounded = "model.layers.0.self_attn.q_proj.weight";
const std::string kBlocks = "model.layers.1.mlp.gate_proj.weight";

Tensor random_bytes(DType dtype, Shape shape, uint64_t low, uint64_t count) {
  Tensor tensor(dtype, shape);
  Random random(3);
  for (int64_t i = 0; i < tensor.count(); ++i) {
    tensor.data()[i] = static_cast<std::byte>(low + random.below(count));
  }
  return tensor;
}

/// The plain model with one weight in 8 bits with a scale for each row, one in MXFP4.
void write_small(const fs::path& folder) {
  const SafetensorsFile plain = read_safetensors_folder(kPlain);
  std::vector<TensorSource> sources;
  for (const NamedTensor& named : plain.tensors) {
    const Shape& shape = named.tensor.shape();
    if (named.name == kRounded) {
      sources.emplace_back(kRounded, random_bytes(DType::i8, shape, 0, 256));
      sources.emplace_back(
          kRounded + "_scale",
          Tensor::from({shape[0], 1}, std::vector<float>(static_cast<size_t>(shape[0]), 0.01f)));
    } else if (named.name == kBlocks) {
      ASSERT_EQ(shape[1], 32);
      sources.emplace_back(kBlocks + "_blocks", random_bytes(DType::u8, {shape[0], 1, 16}, 0, 256));
      sources.emplace_back(kBlocks + "_scales", random_bytes(DType::u8, {shape[0], 1}, 120, 8));
    } else {
      sources.emplace_back(named.name, named.tensor);
    }
  }
  write_safetensors_folder(folder, sources);
  Json config = read_json(kPlain / "config.json");
  config["quantization_config"] = {{"quant_method", "mxfp4"}};
  write_file(folder / "config.json", to_json_text(config));
}

TEST(PublishedModel, HasTheNumbersThatItsWeightsMean) {
  const ScratchFolder scratch;
  write_small(scratch.path());
  const SafetensorsFile file = read_safetensors_folder(scratch.path());
  PublishedWeights weights(file.tensors, read_json(scratch / "config.json"), "config.json");
  auto trained = load_model(scratch.path(), {.for_training = true});
  auto run = load_model(scratch.path());
  auto wide = load_model(scratch.path(), {.dtype = DType::f32});
  for (const std::string& name : {kRounded, kBlocks}) {
    const Tensor expected = dequantized(weights.find(name)->load());
    const Tensor& got = trained->find(name)->value;
    ASSERT_EQ(got.shape(), expected.shape());
    EXPECT_TRUE(std::equal(got.f32().begin(), got.f32().end(), expected.f32().begin())) << name;
    EXPECT_EQ(wide->find(name)->packed.type, DType::f32);
  }
  // Blocks stay blocks; what has no block type gets the model's own.
  EXPECT_EQ(run->find(kBlocks)->packed.type, DType::mxfp4);
  EXPECT_EQ(run->find(kRounded)->packed.type, run->config().dtype);
}

TEST(PublishedModel, ExpertsOfGptOssComeInMxfp4) {
  const fs::path plain = kPlain.parent_path() / "gpt_oss";
  const std::string gate_up = "model.layers.1.mlp.experts.gate_up_proj";
  const SafetensorsFile weights = read_safetensors_folder(plain);
  const Shape shape = weights.tensors.at(gate_up).shape();  // [experts, hidden, 2 · inner]
  std::vector<TensorSource> sources;
  for (const NamedTensor& named : weights.tensors) {
    if (named.name != gate_up) {
      sources.emplace_back(named.name, named.tensor);
      continue;
    }
    const int64_t blocks = shape[1] / 32;
    sources.emplace_back(gate_up + "_blocks",
                         random_bytes(DType::u8, {shape[0], shape[2], blocks, 16}, 0, 256));
    sources.emplace_back(gate_up + "_scales",
                         random_bytes(DType::u8, {shape[0], shape[2], blocks}, 120, 8));
  }
  const ScratchFolder scratch;
  write_safetensors_folder(scratch.path(), sources);
  Json config = read_json(plain / "config.json");
  config["quantization_config"] = {{"quant_method", "mxfp4"}};
  write_file(scratch / "config.json", to_json_text(config));

  const SafetensorsFile file = read_safetensors_folder(scratch.path());
  PublishedWeights published(file.tensors, config, "config.json");
  const Tensor all = dequantized(published.find(gate_up)->load());  // [experts, 2 · inner, hidden]
  auto trained = load_model(scratch.path(), {.for_training = true});
  auto run = load_model(scratch.path());
  for (int64_t expert = 0; expert < shape[0]; ++expert) {
    for (int64_t part = 0; part < 2; ++part) {  // gates and up projections in turn
      const std::string name = fmt::format("model.layers.1.mlp.experts.{}.{}_proj.weight", expert,
                                           part == 0 ? "gate" : "up");
      ASSERT_NE(run->find(name), nullptr) << name;
      EXPECT_EQ(run->find(name)->packed.type, DType::mxfp4);
      const Tensor& got = trained->find(name)->value;
      for (int64_t row = 0; row < shape[2] / 2; ++row) {
        const float* expected = all.f32().data() + (expert * shape[2] + 2 * row + part) * shape[1];
        EXPECT_TRUE(std::equal(expected, expected + shape[1], got.f32().data() + row * shape[1]))
            << name << " row " << row;
      }
    }
  }
}

TEST(PublishedModel, IsWrittenPlain) {
  const ScratchFolder scratch;
  write_small(scratch / "small");
  auto model = load_model(scratch / "small", {.dtype = DType::f32});
  save_model(*model, scratch / "plain");
  EXPECT_FALSE(read_json(scratch / "plain/config.json").contains("quantization_config"));
  auto back = load_model(scratch / "plain", {.for_training = true});
  auto expected = load_model(scratch / "small", {.for_training = true});
  for (size_t i = 0; i < back->parameters().size(); ++i) {
    const Parameter &a = back->parameters()[i], &b = expected->parameters()[i];
    if (a.name.empty()) continue;
    EXPECT_TRUE(std::equal(a.value.f32().begin(), a.value.f32().end(), b.value.f32().begin()))
        << a.name;
  }
}

}  // namespace
}  // namespace millrace
