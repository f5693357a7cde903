// Weights of few bits against the libraries that write them
// (tools/make_published_weight_goldens.py).
#include "millrace/formats/published_weights.h"

#include <gtest/gtest.h>

#include <map>

#include "millrace/base/file.h"
#include "millrace/formats/safetensors.h"
#include "millrace/tensor/quantize.h"
#include "tests/formats/format_test.h"
#include "tests/mutations.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const std::string kName = "layer.weight";

struct Golden {
  std::string name;
  DType dtype;  // that the weight comes in
};

void PrintTo(const Golden& golden, std::ostream* out) {
  *out << golden.name;
}

class PublishedWeightsTest : public testing::TestWithParam<Golden> {
 protected:
  fs::path folder_ =
      fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/published_weights" / GetParam().name;
  Json config_ = read_json(folder_ / "config.json");
  SafetensorsFile stored_ = read_safetensors(folder_ / "stored.safetensors");
};

TEST_P(PublishedWeightsTest, EqualTheReferences) {
  const SafetensorsFile file = read_safetensors(folder_ / "expected.safetensors");
  const Tensor& expected = file.tensors.at(kName);
  PublishedWeights weights(stored_.tensors, config_, "config.json");
  const std::optional<PublishedWeight> found = weights.find("model." + kName);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->shape, expected.shape());
  const Tensor got = found->load();
  EXPECT_EQ(info(got.dtype()).name, info(GetParam().dtype).name);
  ASSERT_EQ(got.shape(), expected.shape());
  const Tensor values = dequantized(got);
  for (size_t i = 0; i < values.f32().size(); ++i) {
    ASSERT_EQ(values.f32()[i], expected.f32()[i]) << i;
  }
  for (const NamedTensor& named : stored_.tensors) {
    EXPECT_EQ(weights.is_used(named.name), !named.name.ends_with("input_scale")) << named.name;
  }
}

TEST_P(PublishedWeightsTest, APartThatIsMissingOrOfAnotherShapeIsAnError) {
  for (const NamedTensor& gone : stored_.tensors) {
    const bool optional = gone.name.ends_with("g_idx") || gone.name.ends_with("zero_point") ||
                          gone.name.ends_with("input_scale");
    for (bool cut : {false, true}) {
      TensorTable table("file");
      for (const NamedTensor& named : stored_.tensors) {
        if (named.name != gone.name) {
          table.add(named.name, named.tensor);
        } else if (cut && named.tensor.count() > 1) {
          table.add(named.name, named.tensor.rows(0, named.tensor.shape()[0] - 1));
        }
      }
      if ((optional && !cut) || gone.name == kName) continue;
      if (cut && gone.tensor.count() == 1) continue;
      PublishedWeights weights(table, config_, "config.json");
      EXPECT_THROW(
          {
            auto found = weights.find(kName);
            if (!found) fail("not found");
            found->load();
          },
          Error)
          << gone.name << (cut ? " cut" : " gone");
    }
  }
}

TEST_P(PublishedWeightsTest, DamagedFilesCrashNothing) {
  const std::string bytes = read_file(folder_ / "stored.safetensors");
  Random random(1);
  for (int i = 0; i < 50; ++i) {
    auto damaged = std::make_shared<std::string>(mutate_binary(bytes, random));
    try {
      SafetensorsFile file =
          parse_safetensors(std::as_bytes(std::span<const char>(*damaged)), "damaged", damaged);
      PublishedWeights weights(file.tensors, config_, "config.json");
      if (auto found = weights.find(kName)) dequantized(found->load());
    } catch (const Error&) {
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, PublishedWeightsTest,
    testing::Values(Golden{"gptq-2", DType::q4_0}, Golden{"gptq-3", DType::q4_0},
                    Golden{"gptq-4", DType::q5_0}, Golden{"gptq-8", DType::q8_0},
                    Golden{"gptq-act-order", DType::f32}, Golden{"gptq-symmetric", DType::q4_0},
                    Golden{"awq", DType::q5_0}, Golden{"compressed-3", DType::q4_0},
                    Golden{"compressed-4", DType::q4_0}, Golden{"compressed-8", DType::q8_0},
                    Golden{"compressed-zeros", DType::q5_0}, Golden{"fp8-blocks", DType::f32},
                    Golden{"fp8-rest", DType::f32}, Golden{"fp8-e5m2", DType::f32},
                    Golden{"fp8-rows", DType::f32}, Golden{"fp8-bits", DType::f32},
                    Golden{"mxfp4", DType::mxfp4}),
    [](const testing::TestParamInfo<Golden>& golden) {
      std::string name = golden.param.name;
      std::replace(name.begin(), name.end(), '-', '_');
      return name;
    });

TEST(PublishedWeights, MethodsThatAreNotReadAreNamed) {
  const TensorTable table("file");
  for (const char* config :
       {R"({"quantization_config": {"quant_method": "bitsandbytes"}})",
        R"({"quantization_config": {"quant_method": "awq", "version": "gemv"}})",
        R"({"quantization_config": {"quant_method": "gptq",
                                 "checkpoint_format": "marlin"}})",
        R"({"quantization_config": {}})"}) {
    const std::string message = error_of(
        [&] { PublishedWeights(table, parse_json(config, "config.json"), "model/config.json"); });
    EXPECT_EQ(message.find("model/config.json: quantization_config"), 0u) << message;
  }
}

}  // namespace
}  // namespace millrace
