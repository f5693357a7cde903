// Logits of tiny random models against transformers' (tools/make_model_goldens.py), and what is
// written is read back as it was.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>

#include "millrace/base/file.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/kernels/loss.h"
#include "millrace/model/load.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/models";

const std::vector<std::string> kModels = {
    "llama", "llama-tied", "llama-linear", "llama-llama3", "llama-yarn", "gpt2", "gpt2-wide"};

std::vector<int32_t> ids_of(const Json& golden) {
  return golden.at("ids").get<std::vector<int32_t>>();
}

std::vector<int64_t> all_rows(size_t count) {
  std::vector<int64_t> rows(count);
  for (size_t i = 0; i < count; ++i) rows[i] = static_cast<int64_t>(i);
  return rows;
}

/// Logits of every token of one sequence.
Tensor prompt_logits(const Model& model, const std::vector<int32_t>& ids) {
  RaggedBatch batch;
  batch.add_sequence(ids);
  Workspace workspace;
  EvaluatingContext context(batch, model.cache_dtype(), workspace);
  return logits(context, model, all_rows(ids.size())).data.clone();
}

/// The same, one token after another through a cache.
Tensor step_logits(const Model& model, const std::vector<int32_t>& ids) {
  CacheLayout layout = model.cache_layout();
  std::vector<std::shared_ptr<Storage>> owned;
  SequenceBlocks blocks;
  Workspace workspace;
  Tensor all(DType::f32, {static_cast<int64_t>(ids.size()), model.config().vocab_size});
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i % kPageSize == 0) {
      owned.push_back(Storage::allocate(layout.block_bytes()));
      blocks.push_back(owned.back()->data());
    }
    RaggedBatch batch;
    batch.add_sequence(std::span(&ids[i], 1), static_cast<int32_t>(i));
    const SequenceBlocks* sequence = &blocks;
    EvaluatingContext context(batch, layout, std::span(&sequence, 1), workspace);
    const int64_t row = 0;
    Value out = logits(context, model, std::span(&row, 1));
    std::copy(out.data.f32().begin(), out.data.f32().end(),
              all.f32().begin() + static_cast<int64_t>(i) * out.width());
  }
  return all;
}

float greatest_difference(const Tensor& got, const Json& golden, const char* field) {
  const Json& rows = golden.at("rows");
  const auto width = static_cast<size_t>(got.shape()[1]);
  float greatest = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    auto row = rows[i].get<size_t>();
    for (size_t j = 0; j < width; ++j) {
      float expected = golden.at(field)[i][j].get<float>();
      greatest = std::max(greatest, std::abs(got.f32()[row * width + j] - expected));
    }
  }
  return greatest;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.f32().begin(), a.f32().end(), b.f32().begin());
}

class GoldenModel : public testing::TestWithParam<std::string> {
 protected:
  fs::path folder_ = kFolder / GetParam();
  Json golden_ = read_json(folder_ / "golden.json");
};

TEST_P(GoldenModel, LogitsInF32EqualTransformers) {
  auto model = load_model(folder_);
  ASSERT_EQ(model->arithmetic(), Arithmetic::f32);
  Tensor got = prompt_logits(*model, ids_of(golden_));
  EXPECT_LE(greatest_difference(got, golden_, "logits"), 1e-4f);
  EXPECT_TRUE(same_bits(got, step_logits(*model, ids_of(golden_))));
}

TEST_P(GoldenModel, LogitsInBf16AreWithinItsRounding) {
  auto model = load_model(folder_, {.dtype = DType::bf16});
  Tensor got = prompt_logits(*model, ids_of(golden_));
  // transformers rounds every activation to bf16 (8 bits of mantissa on logits of up to 16), we
  // only operands; both must be near the f32 logits.
  EXPECT_LE(greatest_difference(got, golden_, "logits"), 0.15f);
  EXPECT_LE(greatest_difference(got, golden_, "bf16_logits"), 0.4f);
  EXPECT_TRUE(same_bits(got, step_logits(*model, ids_of(golden_))));
}

TEST_P(GoldenModel, LossEqualsTransformers) {
  auto model = load_model(folder_);
  std::vector<int32_t> ids = ids_of(golden_);
  Tensor got = prompt_logits(*model, ids);
  const int64_t vocab = got.shape()[1];
  double sum = 0;
  for (size_t i = 0; i + 1 < ids.size(); ++i) {
    sum -= static_cast<double>(
        log_softmax_at(got.f32().data() + static_cast<int64_t>(i) * vocab, vocab, ids[i + 1]));
  }
  EXPECT_NEAR(sum / static_cast<double>(ids.size() - 1), golden_.at("loss").get<double>(), 1e-4);
}

TEST_P(GoldenModel, AFolderAndAGgufFileKeepEveryBit) {
  auto model = load_model(folder_);
  Tensor expected = prompt_logits(*model, ids_of(golden_));
  fs::path out = fs::temp_directory_path() / ("millrace-model-test-" + GetParam());
  save_model(*model, out);
  EXPECT_TRUE(same_bits(prompt_logits(*load_model(out), ids_of(golden_)), expected));
  if (model->config().activation == Activation::gelu) {
    // GGUF has no way to say so.
    EXPECT_THROW(
        save_gguf(*model, out / "model.gguf", quantization_from_name("f32"), GgufMetadata()),
        Error);
    fs::remove_all(out);
    return;
  }
  save_gguf(*model, out / "model.gguf", quantization_from_name("f32"), GgufMetadata());
  auto from_gguf = load_model(out / "model.gguf");
  EXPECT_EQ(from_gguf->arithmetic(), Arithmetic::f32);
  Tensor again = prompt_logits(*from_gguf, ids_of(golden_));
  EXPECT_LE(greatest_difference(again, golden_, "logits"), 1e-4f);
  fs::remove_all(out);
}

std::string test_name(const testing::TestParamInfo<std::string>& model) {
  std::string name = model.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, GoldenModel, testing::ValuesIn(kModels), test_name);

/// A copy of the llama folder whose config.json a test may change.
class BadModel : public testing::Test {
 protected:
  BadModel() {
    fs::remove_all(folder_);
    fs::create_directories(folder_);
    fs::copy(kFolder / "llama", folder_, fs::copy_options::recursive);
    config_ = read_json(folder_ / "config.json");
  }
  ~BadModel() override { fs::remove_all(folder_); }

  std::string error() {
    write_file(folder_ / "config.json", to_json_text(config_));
    try {
      load_model(folder_);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  fs::path folder_ = fs::temp_directory_path() / "millrace-bad-model-test";
  Json config_;
};

TEST_F(BadModel, ErrorsNameFileAndField) {
  auto expect = [&](const char* field, const Json& value, const char* said) {
    Json before = config_;
    config_[field] = value;
    std::string message = error();
    EXPECT_NE(message.find(said), std::string::npos) << field << ": " << message;
    EXPECT_NE(message.find(folder_.string()), std::string::npos) << message;
    config_ = before;
  };
  expect("hidden_size", "wide", "hidden_size");
  expect("hidden_size", -48, "hidden_size");
  expect("hidden_size", 1e18, "hidden_size");
  expect("num_attention_heads", 0, "num_attention_heads");
  expect("num_attention_heads", 5, "num_attention_heads");
  expect("num_hidden_layers", 3, "model.layers.2.");
  expect("num_hidden_layers", 1, "model.layers.1.");
  expect("num_hidden_layers", 1 << 30, "num_hidden_layers");
  expect("vocab_size", 97, "embed_tokens");
  expect("intermediate_size", 79, "mlp");
  expect("hidden_act", "mish", "hidden_act");
  expect("model_type", "alpaca", "model_type");
  expect("dtype", "int3", "dtype");
  expect("rope_parameters", {{"rope_type", "spiral"}}, "rope_type");
}

TEST_F(BadModel, AMissingFileIsNamed) {
  fs::remove(folder_ / "config.json");
  EXPECT_THROW(load_model(folder_), Error);
}

}  // namespace
}  // namespace millrace
