// Text models in the files of models of images: under every name that files give their tensors,
// with the fields that files leave out, and what is said of configurations that make no sense.
#include <gtest/gtest.h>

#include <filesystem>

#include "millrace/base/file.h"
#include "millrace/formats/safetensors.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/model/load.h"
#include "millrace/model/plan.h"
#include "millrace/model/tensor_names.h"
#include "millrace/tensor/quantize.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const fs::path kText = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/families/llama";

Json nested_config() {
  Json text = read_json(kText / "config.json");
  text.erase("dtype");
  return {{"model_type", "pictures"},
          {"dtype", "float32"},
          {"text_config", text},
          {"vision_config", {{"hidden_size", 8}}}};
}

/// The text model's tensors with `before` before their names, or in the place of "model." where
/// they have it, and a tensor of another part.
void write_tensors(const fs::path& folder, const std::string& before, bool instead,
                   const std::string& other = "vision_tower.layers.0.weight") {
  const SafetensorsFile file = read_safetensors(kText / "model.safetensors");
  std::vector<TensorSource> sources;
  for (const NamedTensor& named : file.tensors) {
    const bool own = named.name.starts_with("model.");
    std::string name = instead && own ? before + named.name.substr(6) : named.name;
    if (!instead) name = before + name;
    sources.emplace_back(name, named.tensor);
  }
  sources.emplace_back(other, Tensor(DType::f32, {2}));
  write_safetensors(folder / "model.safetensors", sources, {});
}

Tensor logits_of(const Model& model) {
  RaggedBatch batch;
  batch.add_sequence(std::vector<int32_t>{5, 9, 30, 7});
  Workspace workspace;
  EvaluatingContext context(batch, model.cache_dtype(), workspace);
  const std::vector<int64_t> rows = {0, 3};
  return logits(context, model, rows).data.clone();
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.f32().begin(), a.f32().end(), b.f32().begin());
}

/// What loading says.
std::string fault(const fs::path& folder) {
  try {
    load_model(folder);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(NestedText, RunsUnderEveryNameThatFilesGiveIt) {
  const Tensor expected = logits_of(*load_model(kText));
  struct Spelling {
    std::string before;
    bool instead;
  };
  for (const auto& [before, instead] :
       {Spelling{"", false}, Spelling{"language_model.", false}, Spelling{"thinker.", false},
        Spelling{"model.language_model.", true}, Spelling{"model.text_model.", true}}) {
    const ScratchFolder folder;
    folder.write("config.json", nested_config().dump());
    write_tensors(folder.path(), before, instead);
    std::string notice;
    LoadOptions options;
    options.notice = [&](const std::string& text) { notice = text; };
    const auto model = load_model(folder.path(), options);
    EXPECT_TRUE(same_bits(logits_of(*model), expected)) << before;
    EXPECT_NE(notice.find("pictures"), std::string::npos) << notice;
    // What is written is the text model.
    const ScratchFolder written;
    save_model(*model, written.path());
    EXPECT_EQ(read_json(written.path() / "config.json").at("model_type"), "llama");
    const auto read = load_model(written.path(), options);
    EXPECT_TRUE(read->config().part_of.empty());
    EXPECT_TRUE(same_bits(logits_of(*read), expected)) << before;
  }
}

TEST(NestedText, LeavesNoTensorOfItsOwnBehind) {
  const ScratchFolder folder;
  folder.write("config.json", nested_config().dump());
  for (const auto& [before, instead, other] :
       {std::tuple("", false, "model.layers.7.mlp.up_proj.weight"),
        std::tuple("language_model.", false, "language_model.model.layers.0.extra.weight"),
        std::tuple("model.language_model.", true, "model.language_model.extra.weight")}) {
    write_tensors(folder.path(), before, instead, other);
    EXPECT_NE(fault(folder.path()).find(other), std::string::npos) << fault(folder.path());
  }
}

TEST(NestedText, FieldsThatFilesLeaveOutAreThoseOfTheClass) {
  const Json gemma = {{"model_type", "gemma3"},
                      {"eos_token_id", {1, 106}},
                      {"torch_dtype", "bfloat16"},
                      {"text_config",
                       {{"model_type", "gemma3_text"},
                        {"hidden_size", 2560},
                        {"intermediate_size", 10240},
                        {"num_hidden_layers", 34},
                        {"rope_scaling", {{"factor", 8.0}, {"rope_type", "linear"}}},
                        {"sliding_window", 1024}}}};
  const ModelConfig config = parse_config(gemma.dump(), "gemma");
  EXPECT_EQ(config.vocab_size, 262208);
  EXPECT_EQ(config.num_kv_heads, 4);
  EXPECT_EQ(config.sliding_window, 1024);
  EXPECT_EQ(config.rope.factor, 8);
  EXPECT_EQ(config.dtype, DType::bf16);
  EXPECT_EQ(config.eos_token_ids, (std::vector<int32_t>{1, 106}));
  EXPECT_TRUE(config.tie_word_embeddings);
  EXPECT_EQ(config.model_type, "gemma3_text");
  EXPECT_EQ(config.part_of, "gemma3");
}

TEST(NestedText, FieldsBesideThoseOfImagesAreTheTexts) {
  Json json = read_json(fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/families/qwen2/config.json");
  json["model_type"] = "qwen2_5_vl";
  json["use_sliding_window"] = false;
  json.erase("rope_parameters");
  json["rope_scaling"] = {{"type", "mrope"}, {"mrope_section", {1, 1, 2}}};
  json["vision_config"] = {{"depth", 1}};
  const ModelConfig config = parse_config(json.dump(), "qwen");
  EXPECT_EQ(config.model_type, "qwen2");
  EXPECT_EQ(config.part_of, "qwen2_5_vl");
  EXPECT_EQ(config.rope.scaling, RopeScaling::none);
}

TEST(NestedText, AThinkersTextModelIsTheOneThatRuns) {
  Json json = nested_config();
  json["thinker_config"] = {{"text_config", json["text_config"]}};
  json["talker_config"] = {{"text_config", {{"hidden_size", 8}}}};
  json.erase("text_config");
  const ModelConfig config = parse_config(json.dump(), "omni");
  EXPECT_EQ(config.model_type, "llama");
  EXPECT_EQ(config.part_of, "pictures");
}

TEST(NestedText, HunyuansRopeOfImagesHasItsAlpha) {
  Json json =
      read_json(fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/families/hunyuan_vl/config.json");
  const ModelConfig expected = parse_config(json.dump(), "hunyuan");
  Json text = json["text_config"];
  text["model_type"] = "hunyuan_vl";
  text.erase("rope_parameters");
  text["rope_theta"] = 500.0;
  text["rope_scaling"] = {{"type", "xdrope"}, {"alpha", 50.0}, {"xdrope_section", {1, 2, 2, 1}}};
  const ModelConfig config = parse_config(text.dump(), "hunyuan");
  EXPECT_EQ(config.rope.theta, expected.rope.theta);
  EXPECT_EQ(config.rope.scaling, RopeScaling::none);
  EXPECT_EQ(config.part_of, "hunyuan_vl");
}

TEST(NestedText, ExpertsOfTextsComeBeforeThoseOfImages) {
  Json json =
      read_json(fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/families/ernie4_5_moe/config.json");
  json["model_type"] = "ernie4_5_moe_vl";
  json["moe_num_experts"] = {5, 3};
  json["moe_intermediate_size"] = {20, 8};
  json["moe_layer_start_index"] = {1, 2};
  json["moe_layer_end_index"] = {2, 1};
  const ModelConfig config = parse_config(json.dump(), "ernie");
  EXPECT_EQ(config.model_type, "ernie4_5_moe");
  EXPECT_EQ(config.part_of, "ernie4_5_moe_vl");
  EXPECT_EQ(config.experts.routing.num_experts, 5);
  EXPECT_EQ(config.experts.intermediate_size, 20);
  EXPECT_EQ(config.experts.layers, (std::vector<bool>{false, true, true}));
}

TEST(NestedText, ConfigurationsThatMakeNoSenseAreRefused) {
  struct Bad {
    std::string pointer;
    Json value;
    std::string named;
  };
  for (const Bad& bad :
       {Bad{"/model_type", 5, "model_type"}, Bad{"/text_config", "llama", "pictures"},
        Bad{"/text_config", nullptr, "pictures"},
        Bad{"/text_config/model_type", nullptr, "model_type"},
        Bad{"/text_config/model_type", "pictures", "pictures"},
        Bad{"/text_config/hidden_size", -1, "hidden_size"}, Bad{"/dtype", 7, "dtype"},
        Bad{"/tie_word_embeddings", "yes", "tie_word_embeddings"},
        Bad{"/text_config/text_config", Json::object(), ""}}) {
    Json json = nested_config();
    json[Json::json_pointer(bad.pointer)] = bad.value;
    std::string message;
    try {
      parse_config(json.dump(), "config");
    } catch (const Error& error) {
      message = error.what();
    }
    EXPECT_NE(message.find(bad.named), std::string::npos) << bad.pointer << ": " << message;
    EXPECT_EQ(message.empty(), bad.named.empty()) << bad.pointer << ": " << message;
  }
}

/// Writes the model of stacked experts with its stacks changed.
template <typename Change>
void write_stacks(const fs::path& folder, const Change& change) {
  const fs::path from = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/families/qwen3_vl_moe";
  fs::copy_file(from / "config.json", folder / "config.json");
  std::vector<TensorSource> sources;
  const SafetensorsFile file = read_safetensors(from / "model.safetensors");
  for (const NamedTensor& named : file.tensors) {
    const bool is_stack = named.name.find(".experts.") != std::string::npos;
    sources.emplace_back(named.name,
                         is_stack ? change(dequantized(named.tensor)) : named.tensor.clone());
  }
  write_safetensors(folder / "model.safetensors", sources, {});
}

/// Each slice transposed.
Tensor turned(const Tensor& stack) {
  const Shape& s = stack.shape();
  Tensor result(DType::f32, {s[0], s[2], s[1]});
  for (int64_t i = 0; i < s[0]; ++i) {
    const Tensor slice = transposed(stack.rows(i, i + 1).reshaped({s[1], s[2]}));
    std::copy_n(slice.f32().data(), slice.count(), result.f32().data() + i * slice.count());
  }
  return result;
}

TEST(NestedText, StackedExpertsLieEitherWay) {
  const ScratchFolder same, published, fewer, other;
  write_stacks(same.path(), [](const Tensor& stack) { return stack; });
  write_stacks(published.path(), turned);
  const Tensor expected = logits_of(*load_model(same.path()));
  EXPECT_TRUE(same_bits(logits_of(*load_model(published.path())), expected));
  write_stacks(fewer.path(), [](const Tensor& stack) { return stack.rows(0, 3).clone(); });
  EXPECT_NE(fault(fewer.path()).find("experts of"), std::string::npos) << fault(fewer.path());
  write_stacks(other.path(), [](const Tensor& stack) { return stack.reshaped({stack.count()}); });
  EXPECT_NE(fault(other.path()).find("experts of"), std::string::npos) << fault(other.path());
}

TEST(NestedText, GgufFilesOfTheTextHaveAnArchitectureOfTheirOwn) {
  for (const auto& [family, own, with_images] :
       {std::tuple("qwen2", "qwen2", "qwen2vl"), std::tuple("qwen3", "qwen3", "qwen3vl"),
        std::tuple("qwen3_moe", "qwen3moe", "qwen3vlmoe")}) {
    const auto model = load_model(fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/families" / family);
    const ScratchFolder folder;
    save_gguf(*model, folder / "text.gguf", quantization_from_name("f32"), {});
    const GgufFile file = read_gguf(folder / "text.gguf");
    GgufMetadata renamed;
    for (const auto& [key, value] : file.metadata) {
      const std::string prefix = std::string(own) + ".";
      renamed.set(key.starts_with(prefix)
                      ? std::string(with_images) + "." + key.substr(prefix.size())
                      : key,
                  value);
    }
    renamed.set("general.architecture", std::string(with_images));
    write_gguf(folder / "images.gguf", renamed, sources_of(file.tensors));
    const auto read = load_model(folder / "images.gguf");
    EXPECT_EQ(read->config().part_of, with_images);
    EXPECT_EQ(read->config().model_type, family);
    EXPECT_TRUE(same_bits(logits_of(*read), logits_of(*load_model(folder / "text.gguf"))));
  }
}

TEST(NestedText, PlansSayThatOtherPartsHaveNoPlace) {
  const ScratchFolder folder;
  folder.write("config.json", nested_config().dump());
  Json map = {{"vision_tower.layers.0.weight", "a.safetensors"},
              {"multi_modal_projector.weight", "a.safetensors"}};
  for (const NamedTensor& named : read_safetensors(kText / "model.safetensors").tensors) {
    map["language_model." + named.name] = "a.safetensors";
  }
  folder.write("model.safetensors.index.json", Json{{"weight_map", map}}.dump());
  const ModelPlan plan = plan_model(folder.path());
  EXPECT_TRUE(plan.fits());
  EXPECT_EQ(plan.model->config().part_of, "pictures");
  EXPECT_EQ(plan.num_other_tensors, 2);
}

}  // namespace
}  // namespace millrace
