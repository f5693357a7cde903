// Every family against transformers' numbers (tools/make_family_goldens.py): logits of a prompt and
// step by step (an encoder's: beside strangers), loss and gradients; what is written is read back;
// every field of the configuration counts; training lowers the loss.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "millrace/base/file.h"
#include "millrace/formats/safetensors.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/graph/recording_context.h"
#include "millrace/model/load.h"
#include "millrace/train/gradients.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const fs::path kDocs = fs::path(MILLRACE_SOURCE_DIR) / "docs/families.md";
const fs::path kFolder = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/families";

/// How far logits may be from transformers', and gradients in parts of their tensor's norm.
constexpr float kTolerance = 1e-4f;
constexpr float kSlack = 3e-6f;  // of gradients that would be 0 without rounding

/// A line for each golden. `inert` are fields of its configuration that say nothing.
struct Golden {
  std::string name;
  std::set<std::string> inert = {};
};

// How many positions a model has matters to tables of positions alone, and is a shape there.
const std::vector<Golden> kGoldens = {
    {"llama", {"max_position_embeddings"}},
    {"qwen2", {"max_position_embeddings", "max_window_layers"}},
    {"qwen3", {"max_position_embeddings", "max_window_layers"}},
    {"mistral", {"max_position_embeddings"}},
    {"ministral3", {"max_position_embeddings"}},
    {"internlm", {"max_position_embeddings"}},
    {"internlm2", {"max_position_embeddings"}},
    {"internlm3", {"max_position_embeddings"}},
    {"seed_oss", {"max_position_embeddings"}},
    {"hunyuan_v1_dense", {"max_position_embeddings", "factor"}},
    {"ernie4_5", {"max_position_embeddings"}},
    {"glm", {"max_position_embeddings"}},
    {"glm4", {"max_position_embeddings"}},
    {"chatglm", {"seq_length"}},
    {"gemma", {"max_position_embeddings"}},
    {"gemma2", {"max_position_embeddings"}},
    {"gemma3", {"max_position_embeddings", "_sliding_window_pattern"}},
    {"gemma3n", {"max_position_embeddings", "altup_coef_clip"}},  // of training
    {"gemma4", {"max_position_embeddings"}},
    {"gemma4-moe",
     {"max_position_embeddings", "vocab_size_per_layer_input", "use_double_wide_mlp"}},
    {"gpt_neox", {"max_position_embeddings"}},
    {"gpt_neox-serial", {"max_position_embeddings"}},
    {"gptj", {"n_positions"}},
    {"opt"},
    {"opt-350m"},
    {"bloom", {"slow_but_exact"}},
    {"openai-gpt"},
    {"zhinao", {"max_position_embeddings"}},
    {"baichuan", {"max_position_embeddings"}},
    {"baichuan2", {"max_position_embeddings"}},
    {"baichuan-alibi", {"model_max_length"}},
    {"llama-dynamic"},
    {"llama-longrope", {"short_factor"}},
    {"pangu_alpha"},
    {"qwen", {"max_position_embeddings", "seq_length", "use_dynamic_ntk", "use_logn_attn"}},
    {"mixtral", {"max_position_embeddings"}},
    {"hy_v4", {"max_position_embeddings", "learnable_sink_init"}},
    {"deepseek_v32", {"max_position_embeddings", "first_k_dense_replace"}},
    {"glm_moe_dsa", {"max_position_embeddings", "first_k_dense_replace"}},
    {"glm_moe_dsa-shared", {"max_position_embeddings", "first_k_dense_replace"}},
    {"qwen3_moe", {"max_position_embeddings", "intermediate_size"}},
    {"qwen2_moe", {"max_position_embeddings", "max_window_layers"}},
    {"gpt_oss", {"max_position_embeddings"}},
    {"glm4_moe", {"max_position_embeddings", "num_nextn_predict_layers"}},
    {"ernie4_5_moe", {"max_position_embeddings"}},
    {"hunyuan_v1_moe", {"max_position_embeddings", "factor"}},
    {"deepseek_v3", {"max_position_embeddings", "num_nextn_predict_layers"}},
    {"deepseek_v3-plain", {"max_position_embeddings", "num_nextn_predict_layers"}},
    {"deepseek_v2", {"max_position_embeddings"}},
    {"minicpm", {"max_position_embeddings"}},
    {"minicpm3", {"long_factor"}},  // the prompt is a short one
    {"glm4_moe_lite", {"max_position_embeddings"}},
    {"youtu", {"max_position_embeddings", "embedding_initializer_range"}},
    {"hy_v3", {"max_position_embeddings", "enable_moe_fp32_combine"}},
    {"minimax", {"max_position_embeddings", "block_size"}},
    {"minimax-m1", {"max_position_embeddings"}},
    {"minimax_m2", {"max_position_embeddings"}},
    {"qwen3_next", {"max_position_embeddings"}},
    {"qwen3_5", {"max_position_embeddings"}},
    {"qwen3_5_moe", {"max_position_embeddings"}},
    {"kimi_linear", {"model_max_length"}},
    {"kimi_linear-published", {"model_max_length"}},
    // Of what they say of images, and of what has the text's model, nothing counts.
    {"gemma4-images",
     {"vision_config", "model_type", "max_position_embeddings", "tie_word_embeddings"}},
    {"gemma3-images",
     {"vision_config", "model_type", "max_position_embeddings", "_sliding_window_pattern",
      "mm_tokens_per_image", "tie_word_embeddings"}},
    {"mistral3",
     {"vision_config", "model_type", "max_position_embeddings", "multimodal_projector_bias",
      "projector_hidden_act", "spatial_merge_size", "vision_feature_layer"}},
    {"qwen2_5_vl",
     {"vision_config", "model_type", "max_position_embeddings", "max_window_layers",
      "mrope_section"}},
    {"qwen3_vl", {"vision_config", "model_type", "max_position_embeddings", "mrope_section"}},
    {"qwen3_vl_moe",
     {"vision_config", "model_type", "max_position_embeddings", "mrope_section",
      "intermediate_size"}},
    {"hunyuan_vl",
     {"vision_config", "model_type", "max_position_embeddings", "mrope_section", "factor",
      "eod_token_id", "sep_token_id", "im_start_id", "im_end_id", "im_newline_id"}},
    {"ernie4_5_vl_moe",
     {"vision_config", "model_type", "max_position_embeddings", "mrope_section",
      "/text_config/moe_intermediate_size/1"}},  // of experts for images
    {"minimax_m3",
     {"vision_config", "model_type", "max_position_embeddings", "partial_rotary_factor",
      "merged_hidden_size", "projector_hidden_size"}},
    {"step3p7",
     {"vision_config", "model_type", "max_position_embeddings", "projector_bias",
      "num_nextn_predict_layers"}},
    {"qwen3_5-images",
     {"vision_config", "model_type", "max_position_embeddings", "mrope_section",
      "mrope_interleaved", "full_attention_interval"}},
    {"qwen3_5_moe-images",
     {"vision_config", "model_type", "max_position_embeddings", "mrope_section",
      "mrope_interleaved"}},
    {"glm4v", {"vision_config", "model_type", "max_position_embeddings", "mrope_section"}},
    {"glm4v_moe", {"vision_config", "model_type", "max_position_embeddings", "mrope_section"}},
    {"glm_blank"},
    {"chatglm_1", {"max_sequence_length"}},
    {"bert"},
    {"bert-classifier", {"id2label", "problem_type", "tie_word_embeddings"}},
    {"roberta"},
    {"xlm-roberta-classifier", {"id2label", "problem_type", "tie_word_embeddings"}},
    {"ernie"},
    {"t5", {"dense_act_fn", "is_gated_act"}},  // feed_forward_proj says it
    {"mt5", {"dense_act_fn", "is_gated_act"}},
    {"umt5", {"dense_act_fn", "is_gated_act"}},
    {"switch_transformers",  // no expert is chosen by more tokens than it takes
     {"expert_capacity", "add_cross_attention", "add_router_probs", "encoder_sparse_step",
      "decoder_sparse_step", "router_dtype", "router_ignore_padding_tokens", "router_z_loss_coef"}},
};

void PrintTo(const Golden& golden, std::ostream* out) {
  *out << golden.name;
}

/// What was reached: greatest differences, and the part of the loss that 30 steps left.
struct Reached {
  std::string model_type, architectures;
  float logits = 0, gradients = 0, loss = 0;
};

std::map<std::string, Reached>& reached() {
  static std::map<std::string, Reached> all;
  return all;
}

/// The rows of docs/families.md.
std::string table() {
  std::string rows;
  for (const Golden& golden : kGoldens) {
    const Reached& r = reached()[golden.name];
    rows += fmt::format("| {} | `{}` | {} | {:.0e} | {:.0e} | {:.0f} % |\n", golden.name,
                        r.model_type, r.architectures, r.logits, r.gradients, 100 * r.loss);
  }
  return rows;
}

/// Puts the rows between the lines that mark them, when all tests ran with MILLRACE_WRITE_DOCS.
class TableInTheDocs : public testing::Environment {
 public:
  void TearDown() override {
    if (!std::getenv("MILLRACE_WRITE_DOCS") || reached().size() < kGoldens.size()) return;
    std::string text = read_file(kDocs);
    const size_t begin = text.find('\n', text.find("<!-- rows -->")) + 1;
    const size_t end = text.find("<!-- end of rows -->");
    write_file(kDocs, text.replace(begin, end - begin, table()));
  }
};

const auto* const kTableInTheDocs = testing::AddGlobalTestEnvironment(new TableInTheDocs);

/// A golden's prompt, and what its loss asks for: a target for each row that the head reads.
struct Prompt {
  std::vector<int32_t> ids, types, targets;
  int64_t prefix = 0;  ///< of the ids, what an encoder reads, or blanks are in
  std::vector<int32_t> text_positions, block_positions;  ///< of models that fill blanks

  explicit Prompt(const Json& golden) : ids(golden.at("ids").get<std::vector<int32_t>>()) {
    if (golden.contains("types")) types = golden.at("types").get<std::vector<int32_t>>();
    if (golden.contains("prefix")) prefix = golden.at("prefix").get<int64_t>();
    if (golden.contains("block_positions")) {
      text_positions = golden.at("text_positions").get<std::vector<int32_t>>();
      block_positions = golden.at("block_positions").get<std::vector<int32_t>>();
    }
    if (golden.contains("targets")) {
      targets = golden.at("targets").get<std::vector<int32_t>>();
    } else {  // each next id
      targets.assign(ids.begin() + 1, ids.end());
      targets.push_back(-1);
    }
  }

  /// Appends its tokens [begin, begin + count).
  void add_to(RaggedBatch& batch, size_t begin, size_t count) const {
    const auto part = [&](const std::vector<int32_t>& of) {
      return of.empty() ? std::span<const int32_t>() : std::span(of).subspan(begin, count);
    };
    batch.add_sequence(part(ids), static_cast<int32_t>(begin), part(types), prefix);
    batch.set_blanks(part(text_positions), part(block_positions));
    batch.lengths.back() = static_cast<int64_t>(ids.size());
  }
  void add_to(RaggedBatch& batch) const { add_to(batch, 0, ids.size()); }
};

/// The rows that a head reads of a sequence of `count` tokens from `begin` on.
std::vector<int64_t> head_rows(const Model& model, int64_t begin, size_t count) {
  if (model.config().head == HeadKind::labels) count = 1;
  std::vector<int64_t> rows(count);
  std::iota(rows.begin(), rows.end(), begin);
  return rows;
}

/// Logits of every row that the head reads, of a batch in which the prompt is one sequence.
Tensor batch_logits(const Model& model, const Prompt& prompt, const RaggedBatch& batch,
                    size_t sequence) {
  Workspace workspace;
  EvaluatingContext context(batch, model.cache_dtype(), workspace);
  return logits(context, model, head_rows(model, batch.sequence_begin[sequence], prompt.ids.size()))
      .data.clone();
}

Tensor prompt_logits(const Model& model, const Prompt& prompt) {
  RaggedBatch batch;
  prompt.add_to(batch);
  return batch_logits(model, prompt, batch, 0);
}

/// The same beside strangers.
Tensor company_logits(const Model& model, const Prompt& prompt) {
  RaggedBatch batch;
  const int64_t other = prompt.prefix > 0 ? 2 : 0;
  batch.add_sequence(std::span(prompt.ids).first(3), 0, {}, other);
  prompt.add_to(batch);
  batch.add_sequence(std::span(prompt.ids).last(70), 0, {}, 5 * other);
  return batch_logits(model, prompt, batch, 1);
}

/// Final hidden states.
Tensor prompt_states(const Model& model, const Prompt& prompt) {
  RaggedBatch batch;
  prompt.add_to(batch);
  Workspace workspace;
  EvaluatingContext context(batch, model.cache_dtype(), workspace);
  return model.family().forward(context, model).data.clone();
}

/// Logits through a cache, `chunk` tokens at a time; a prefix goes in one with what follows it.
Tensor step_logits(const Model& model, const Prompt& prompt, size_t chunk) {
  const std::vector<int32_t>& ids = prompt.ids;
  CacheLayout layout = model.cache_layout();
  std::vector<std::shared_ptr<Storage>> owned;
  SequenceBlocks blocks;
  for (size_t i = 0; i < ids.size(); i += kPageSize) {
    owned.push_back(Storage::allocate(layout.block_bytes()));
    blocks.push_back(owned.back()->data());
  }
  std::vector<float> states(layout.state_bytes() / sizeof(float));
  float* const state = states.data();
  Workspace workspace;
  Tensor all(DType::f32, {static_cast<int64_t>(ids.size()), model.config().vocab_size});
  size_t count = 0;
  for (size_t i = 0; i < ids.size(); i += count) {
    const auto prefix = static_cast<size_t>(prompt.prefix);
    count = std::min(i < prefix ? prefix + chunk : chunk, ids.size() - i);
    RaggedBatch batch;
    prompt.add_to(batch, i, count);
    std::vector<int64_t> rows;
    for (size_t r = 0; r < count; ++r) rows.push_back(static_cast<int64_t>(r));
    const SequenceBlocks* sequence = &blocks;
    EvaluatingContext context(batch, layout, std::span(&sequence, 1), workspace,
                              std::span(&state, 1));
    Value out = logits(context, model, rows);
    std::copy(out.data.f32().begin(), out.data.f32().end(),
              all.f32().begin() + static_cast<int64_t>(i) * out.width());
  }
  return all;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.f32().begin(), a.f32().end(), b.f32().begin());
}

/// Mean loss of the prompt's targets, with its gradients added to the trained parameters'.
float loss_and_gradients(const Model& model, const Prompt& prompt, TrainingWorkspace& workspace) {
  RaggedBatch batch;
  prompt.add_to(batch);
  RecordingContext context(batch, {.cache_dtype = model.cache_dtype()}, workspace);
  std::vector<float> losses(prompt.targets.size());
  const auto count = static_cast<float>(std::count_if(prompt.targets.begin(), prompt.targets.end(),
                                                      [](int32_t t) { return t >= 0; }));
  const Value states = context.gather_rows(model.family().forward(context, model),
                                           head_rows(model, 0, prompt.ids.size()));
  context.backward(head_input(context, model, states), model.head(), prompt.targets, 1 / count,
                   losses);
  double sum = 0;
  for (float loss : losses) sum += static_cast<double>(loss);
  return static_cast<float>(sum) / count;
}

/// How many positions see all keys whatever an indexer chooses.
int64_t positions_that_see_all(const ModelConfig& config) {
  const KeySelector& selector = config.indexer.selector;
  return selector.num_heads == 0 ? INT64_MAX : selector.count * selector.block_size;
}

class Families : public testing::TestWithParam<Golden> {
 protected:
  /// Greatest difference to the golden's logits, up to a position.
  float difference(const Tensor& got, int64_t positions = INT64_MAX) const {
    const Json& rows = golden_.at("rows");
    const auto width = static_cast<size_t>(got.shape()[1]);
    float greatest = 0;
    for (size_t i = 0; i < rows.size(); ++i) {
      for (size_t j = 0; j < width && rows[i].get<int64_t>() < positions; ++j) {
        const float expected = golden_.at("logits")[i][j].get<float>();
        const float distance = std::abs(got.f32()[rows[i].get<size_t>() * width + j] - expected);
        greatest = std::isnan(distance) ? INFINITY : std::max(greatest, distance);
      }
    }
    return greatest;
  }

  fs::path folder_ = kFolder / GetParam().name;
  Json golden_ = read_json(folder_ / "golden.json");
  Prompt prompt_{golden_};
};

TEST_P(Families, LogitsEqualTheReferences) {
  ASSERT_GE(golden_.at("std").get<double>(), 3);
  for (DType dtype : {DType::f32, DType::bf16}) {
    auto model = load_model(folder_, {.dtype = dtype});
    const Tensor got = prompt_logits(*model, prompt_);
    if (dtype == DType::f32) {
      Reached& table_row = reached()[GetParam().name];
      table_row.logits = difference(got);
      table_row.model_type = model->config().model_type;
      const std::vector<std::string>& architectures = model->family().gguf_architectures;
      if (!architectures.empty()) table_row.architectures = fmt::format("`{}`", architectures[0]);
    }
    if (dtype == DType::f32) {
      EXPECT_LE(difference(got), kTolerance);
    } else {  // operands are rounded to 8 bits, and an indexer may choose other keys where it must
      EXPECT_LE(difference(got, positions_that_see_all(model->config())), 0.5f);
    }
    EXPECT_TRUE(same_bits(got, company_logits(*model, prompt_)));
    if (!model->config().causal) continue;  // an encoder reads a text at once
    EXPECT_TRUE(same_bits(got, step_logits(*model, prompt_, 1)));
    EXPECT_TRUE(same_bits(got, step_logits(*model, prompt_, 37)));
  }
}

TEST_P(Families, LossAndGradientsEqualTheReferences) {
  auto model = load_model(folder_, {.for_training = true});
  train_all_weights(*model);
  TrainingWorkspace workspace;
  EXPECT_NEAR(loss_and_gradients(*model, prompt_, workspace), golden_.at("loss").get<float>(),
              kTolerance);
  // Gradients under the names and in the order of rows that the reference has.
  for (size_t i = 0; i < model->parameters().size(); ++i) {
    Parameter& parameter = model->parameters()[i];
    if (parameter.name.empty()) continue;
    parameter.value = parameter.gradient;
    for (float& x : parameter.value.f32()) x += model->spec(i).offset;
  }
  const ScratchFolder scratch;
  save_model(*model, scratch.path(), DType::f32);
  const SafetensorsFile file = read_safetensors_folder(scratch.path());
  for (const auto& [name, expected] : golden_.at("gradients").items()) {
    const Tensor* got = file.tensors.find(name);
    ASSERT_NE(got, nullptr) << name;
    const auto norm = expected.at("norm").get<float>();
    double sum = 0;
    for (float x : got->f32()) sum += static_cast<double>(x) * static_cast<double>(x);
    EXPECT_NEAR(std::sqrt(sum), norm, kTolerance * norm + kSlack) << name;
    for (size_t i = 0; i < expected.at("at").size(); ++i) {
      const float value = got->f32()[expected.at("at")[i].get<size_t>()];
      const float distance = std::abs(value - expected.at("values")[i].get<float>());
      EXPECT_LE(distance, kTolerance * norm + kSlack) << name;
      float& greatest = reached()[GetParam().name].gradients;
      if (norm > 1e-3f) greatest = std::max(greatest, distance / norm);
    }
  }
}

bool shares_indexers(const ModelConfig& config) {
  return std::ranges::count(config.indexer.layers, IndexerKind::shared) > 0;
}

TEST_P(Families, AFolderAndAGgufFileKeepTheModel) {
  auto model = load_model(folder_);
  const Tensor expected = prompt_logits(*model, prompt_);
  const ScratchFolder scratch;
  save_model(*model, scratch.path());
  EXPECT_TRUE(same_bits(prompt_logits(*load_model(scratch.path()), prompt_), expected));
  // tools/check_family_ggufs.py shows the files to llama.cpp.
  const char* kept = std::getenv("MILLRACE_KEEP_GGUF");
  const fs::path gguf =
      kept ? fs::path(kept) / (GetParam().name + ".gguf") : scratch / "model.gguf";
  GgufMetadata extra;
  extra.set("tokenizer.ggml.model", std::string("no_vocab"));
  const Quantization f32 = quantization_from_name("f32");
  if (model->family().gguf_architectures.empty() ||
      model->config().rope.scaling == RopeScaling::dynamic || shares_indexers(model->config())) {
    EXPECT_THROW(save_gguf(*model, gguf, f32, extra), Error);
    return;
  }
  save_gguf(*model, gguf, f32, extra);
  const auto read = load_model(gguf);
  if (read->config().head == model->config().head) {
    EXPECT_LE(difference(prompt_logits(*read, prompt_)), kTolerance);
  } else {  // GGUF has no masked language models
    EXPECT_TRUE(same_bits(prompt_states(*read, prompt_), prompt_states(*model, prompt_)));
  }
}

TEST_P(Families, ThirtyStepsLowerTheLoss) {
  auto model = load_model(folder_, {.for_training = true});
  Optimizer optimizer({.lr = 5e-3}, train_all_weights(*model), model->arithmetic());
  TrainingWorkspace workspace;
  const float before = loss_and_gradients(*model, prompt_, workspace);
  for (int step = 0; step < 30; ++step) {
    optimizer.step(1);
    loss_and_gradients(*model, prompt_, workspace);
  }
  for (Parameter& parameter : model->parameters()) {
    if (!parameter.name.empty()) make_trainable(parameter, model->arithmetic());
  }
  const float after = loss_and_gradients(*model, prompt_, workspace);
  EXPECT_LE(after, 0.8f * before);
  reached()[GetParam().name].loss = after / before;
}

/// Whether a name in a configuration is of no model's arithmetic: tokens, training, bookkeeping.
bool is_bookkeeping(std::string_view field) {
  for (std::string_view name :
       {"architectures", "dtype", "initializer_range", "initializer_factor", "init_std",
        "transformers_version", "use_cache", "layerdrop", "pretraining_tp", "is_decoder",
        "_name_or_path", "output_router_logits", "router_aux_loss_coef", "router_jitter_noise"}) {
    if (field == name) return true;
  }
  return field.ends_with("_token_id") || field.ends_with("_token_index") ||
         field.ends_with("dropout") || field.ends_with("dropout_rate") ||
         field.ends_with("dropout_prob") || field.ends_with("pdrop") ||
         field.starts_with("summary_");
}

/// Another value of the same type; for names, one that may mean something else.
Json changed(const Json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number_integer()) return value == 0 ? Json(1) : Json(value.get<int64_t>() * 2);
  if (value.is_number()) return value == 0.0 ? Json(0.5) : Json(value.get<double>() * 2);
  if (value == "silu") return "relu";
  if (value == "sliding_attention") return "full_attention";
  if (value == "full_attention") return "sliding_attention";
  return "another";
}

/// Whether a field, or a name on the way to it, says nothing.
bool is_inert(const std::string& path, const std::set<std::string>& inert) {
  if (inert.contains(path)) return true;
  size_t begin = 1, end = 0;
  for (; end != path.size(); begin = end + 1) {
    end = std::min(path.find('/', begin), path.size());
    const std::string name = path.substr(begin, end - begin);
    if (is_bookkeeping(name) || inert.contains(name)) return true;
  }
  return false;
}

TEST_P(Families, EveryFieldOfTheConfigurationCounts) {
  const ScratchFolder scratch;
  fs::copy(folder_ / "model.safetensors", scratch.path() / "model.safetensors");
  const Json config = read_json(folder_ / "config.json");
  const Json fields = config.flatten();
  int tried = 0;
  for (const auto& [path, value] : fields.items()) {
    if (is_inert(path, GetParam().inert)) continue;
    if (value.is_null() || (value.is_structured() && value.empty())) continue;
    ++tried;
    Json other = config;
    other[Json::json_pointer(path)] = changed(value);
    write_file(scratch.path() / "config.json", to_json_text(other));
    std::optional<float> moved;
    try {
      moved = difference(prompt_logits(*load_model(scratch.path()), prompt_));
    } catch (const Error&) {
      continue;  // it does not fit the tensors, or it is refused
    }
    EXPECT_GE(*moved, 10 * kTolerance) << path << " as " << changed(value);
  }
  EXPECT_GE(tried, 8);
}

TEST(Documentation, ListsEveryGolden) {
  const std::string text = read_file(kDocs);
  for (const Golden& golden : kGoldens) {
    EXPECT_NE(text.find("| " + golden.name + " |"), std::string::npos) << golden.name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Families, testing::ValuesIn(kGoldens),
                         [](const testing::TestParamInfo<Golden>& golden) {
                           std::string name = golden.param.name;
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !isalnum(c); }, '_');
                           return name;
                         });

}  // namespace
}  // namespace millrace
