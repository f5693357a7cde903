// Every operator's gradient against differences of its own forward function, on both contexts.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "millrace/base/random.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/graph/recording_context.h"

namespace millrace {
namespace {

Tensor random_tensor(Shape shape, uint64_t seed) {
  Tensor result(DType::f32, shape);
  Random random(seed);
  for (float& x : result.f32()) x = static_cast<float>(random.normal());
  return result;
}

Parameter random_parameter(const std::string& name, Shape shape, uint64_t seed) {
  Parameter parameter;
  parameter.name = name;
  parameter.shape = shape;
  parameter.value = random_tensor(shape, seed);
  make_trainable(parameter, Arithmetic::f32);
  return parameter;
}

RaggedBatch two_sequences() {
  RaggedBatch batch;
  batch.add_sequence(std::vector<int32_t>{1, 2, 3, 1, 0});
  batch.add_sequence(std::vector<int32_t>{4, 4, 2});
  return batch;
}

/// A function of one input [8, width] and some parameters, and the width of its input.
struct Case {
  std::string name;
  int64_t width;
  std::vector<Parameter*> parameters;
  std::function<Value(Context&, const Value&)> run;
};

class Gradients : public testing::Test {
 protected:
  Gradients() {
    RopeParameters rope;
    rope.rotary_dim = 4;
    rope_table_ = rope_table(rope_frequencies(rope), 16);
    shape_ = {.num_heads = 4, .num_kv_heads = 2, .head_dim = 4, .scale = 0.5f};
  }

  /// Σ weights · output: one number, so that all outputs count.
  double evaluate(const Case& c, const Tensor& x, const Tensor& weights) {
    EvaluatingContext context(batch_, DType::f32, workspace_);
    Value y = c.run(context, {x});
    double sum = 0;
    for (size_t i = 0; i < y.data.f32().size(); ++i) {
      sum += static_cast<double>(y.data.f32()[i]) * static_cast<double>(weights.f32()[i]);
    }
    return sum;
  }

  void expect_gradient(const Case& c, Tensor at, const Tensor& got, const std::string& of,
                       const Tensor& x, const Tensor& weights) {
    ASSERT_FALSE(got.empty()) << c.name << ": no gradient of " << of;
    const float step = 1e-2f;
    for (size_t i = 0; i < at.f32().size(); ++i) {
      const float before = at.f32()[i];
      at.f32()[i] = before + step;
      double above = evaluate(c, x, weights);
      at.f32()[i] = before - step;
      double below = evaluate(c, x, weights);
      at.f32()[i] = before;
      double expected = (above - below) / (2 * static_cast<double>(step));
      EXPECT_NEAR(got.f32()[i], expected, 2e-2 + 5e-3 * std::abs(expected))
          << c.name << ": gradient of " << of << " at " << i;
    }
  }

  void check(const Case& c, bool recompute = false) {
    Tensor x = random_tensor({8, c.width}, 7);
    for (Parameter* parameter : c.parameters) make_trainable(*parameter, Arithmetic::f32);
    TrainingWorkspace workspace;
    RecordingContext context(batch_, {.cache_dtype = DType::f32, .recompute = recompute},
                             workspace);
    Value start = context.leaf(x);
    Value y = c.run(context, start);
    Tensor weights = random_tensor(y.data.shape(), 11);
    context.backward(y, weights);
    expect_gradient(c, x, context.gradient(start), "the input", x, weights);
    for (Parameter* parameter : c.parameters) {
      expect_gradient(c, parameter->value, parameter->gradient, parameter->name, x, weights);
    }
  }

  RaggedBatch batch_ = two_sequences();
  Workspace workspace_;
  RopeTable rope_table_;
  AttentionShape shape_;
  Parameter weight_ = random_parameter("weight", {6, 8}, 1);
  Parameter bias_ = random_parameter("bias", {6}, 2);
  Parameter norm_ = random_parameter("norm", {8}, 3);
  Parameter norm_bias_ = random_parameter("norm_bias", {8}, 4);
  Parameter a_ = random_parameter("a", {2, 8}, 5);
  Parameter b_ = random_parameter("b", {6, 2}, 6);
};

TEST_F(Gradients, Linear) {
  check({"linear", 8, {&weight_, &bias_}, [&](Context& c, const Value& x) {
           return c.linear(x, weight_, &bias_);
         }});
}

TEST_F(Gradients, LinearWithAnAdapter) {
  LowRankMap adapter{{&weight_, {&a_, &b_, 0.5f}}};
  check({"adapter", 8, {&weight_, &a_, &b_}, [&](Context& c, const Value& x) {
           c.set_adapter(&adapter);
           return c.linear(x, weight_);
         }});
}

TEST_F(Gradients, Norms) {
  check({"rms_norm", 8, {&norm_}, [&](Context& c, const Value& x) {
           return c.rms_norm(x, norm_, 1e-5f);
         }});
  Parameter head_norm = random_parameter("head_norm", {4}, 5);
  check({"rms_norm of heads", 8, {&head_norm}, [&](Context& c, const Value& x) {
           return c.rms_norm(x, head_norm, 1e-5f);
         }});
  check({"layer_norm", 8, {&norm_, &norm_bias_}, [&](Context& c, const Value& x) {
           return c.layer_norm(x, norm_, &norm_bias_, 1e-5f);
         }});
}

TEST_F(Gradients, UnitNorm) {
  check({"unit_norm", 8, {}, [&](Context& c, const Value& x) { return c.unit_norm(x, 4, 1e-5f); }});
}

TEST_F(Gradients, Streams) {
  check({"scale_columns", 8, {&norm_}, [&](Context& c, const Value& x) {
           return c.scale_columns(x, norm_);
         }});
  check({"with_magnitude", 8, {}, [&](Context& c, const Value& x) {
           return c.with_magnitude(c.columns(x, 0, 4), c.columns(x, 4, 8), 1e-3f);
         }});
  check({"with_magnitude of less than the least", 8, {}, [&](Context& c, const Value& x) {
           return c.with_magnitude(c.columns(x, 0, 4), c.columns(x, 4, 8), 10);
         }});
  check({"mix", 18, {}, [&](Context& c, const Value& x) {  // two of three streams of four values
           return c.mix(c.columns(x, 0, 12), 4, c.columns(x, 12, 18), 0.5f);
         }});
}

TEST_F(Gradients, Outliers) {
  Tensor apart(DType::f32, {8, 24});  // so far from the cut that no step of a difference crosses it
  for (size_t i = 0; i < apart.f32().size(); ++i) apart.f32()[i] = i % 2 == 0 ? 5 : -5;
  check({"outliers", 24, {}, [&](Context& c, const Value& x) {
           return c.outliers(c.add(x, {apart}), 0.2f);
         }});
}

// What blocks read of before them has its gradient, also where they are run again.
TEST_F(Gradients, BlocksThatReadOfBefore) {
  for (bool recompute : {false, true}) {
    check({"block",
           8,
           {&norm_},
           [&](Context& c, const Value& x) {
             const Value before = c.scale_columns(x, norm_);
             return c.block(x, [before](Context& within, const Value& h) {
               return within.glu(Activation::silu, h, before);
             });
           }},
          recompute);
  }
}

TEST_F(Gradients, Rope) {
  Rotation how{{&rope_table_}, batch_.positions, 4};
  const auto turn = [&](Context& c, const Value& x) { return c.rope(x, how); };
  check({"rope", 8, {}, turn});
  how.pairing = RopePairing::interleaved;
  check({"rope of neighbours", 8, {}, turn});
  how.head_dim = 8;  // of which the table turns four
  how.first = 3;
  check({"rope of a part", 8, {}, turn});
  RopeParameters other;
  other.rotary_dim = 4;
  other.theta = 3;
  const RopeTable other_table = rope_table(rope_frequencies(other), 16);
  how.tables.by_sequence.assign(static_cast<size_t>(batch_.num_sequences()), &rope_table_);
  how.tables.by_sequence.back() = &other_table;
  check({"rope of sequences", 8, {}, turn});
}

TEST_F(Gradients, Attention) {
  check({"attention", 32, {}, [&](Context& c, const Value& x) {
           return c.attention(0, c.columns(x, 0, 16), c.columns(x, 16, 24), c.columns(x, 24, 32),
                              shape_);
         }});
}

TEST_F(Gradients, AttentionWithSinksCapsAndBiases) {
  Parameter sinks = random_parameter("sinks", {4}, 6);
  shape_.softcap = 2;
  shape_.alibi_max_bias = 4;
  shape_.sliding_window = 3;
  check({"attention", 32, {&sinks}, [&](Context& c, const Value& x) {
           return c.attention(0, c.columns(x, 0, 16), c.columns(x, 16, 24), c.columns(x, 24, 32),
                              shape_, {.sinks = &sinks});
         }});
}

TEST_F(Gradients, AttentionOfPrefixesAndOfWhatIsBehind) {
  Parameter table = random_parameter("biases", {6, 4}, 6);
  batch_.prefix = {2, 1};
  const auto encode_and_decode = [&](Context& c, const Value& x) {
    const auto columns = [&](const Value& y) {
      return std::array<Value, 3>{c.columns(y, 0, 16), c.columns(y, 16, 24), c.columns(y, 24, 32)};
    };
    AttentionShape both_ways = shape_;
    both_ways.causal = false;
    const std::vector<int64_t>& first = c.part_rows(Part::prefix).rows;
    const std::vector<int64_t>& then = c.part_rows(Part::behind).rows;
    c.set_part(Part::prefix);
    auto [q, k, v] = columns(c.gather_rows(x, first));
    const AttentionExtras seen_both_ways = {.bias_table = &table, .buckets = {6, 5, true}};
    const Value y = c.attention(0, q, k, v, both_ways, seen_both_ways);
    c.set_part(Part::behind);
    auto [q2, k2, v2] = columns(c.gather_rows(x, then));
    const AttentionExtras seen_before = {.bias_table = &table, .buckets = {6, 5, false}};
    Value z = c.attention(0, q2, k2, v2, shape_, seen_before);
    z = c.add(z, c.attention(0, q2, k, v, both_ways, {.of_prefixes = true}));
    c.set_part(Part::whole);
    return c.with_rows(c.with_rows(c.columns(x, 0, 16), first, y), then, z);
  };
  check({"encoder and decoder", 32, {&table}, encode_and_decode});
  check({"prefix", 32, {}, [&](Context& c, const Value& x) {
           return c.attention(0, c.columns(x, 0, 16), c.columns(x, 16, 24), c.columns(x, 24, 32),
                              shape_);
         }});
}

TEST_F(Gradients, LinearAttention) {
  check({"linear_attention", 24, {}, [&](Context& c, const Value& x) {
           return c.linear_attention(0, c.columns(x, 0, 8), c.columns(x, 8, 16),
                                     c.columns(x, 16, 24), {2, 4, 0.8f});
         }});
}

TEST_F(Gradients, DeltaRule) {
  for (const bool channels : {false, true}) {
    const DeltaShape shape{1, 2, 3, 4, channels};
    const int64_t decays = shape.decay_width();
    check({"delta_rule", 16 + decays, {}, [&](Context& c, const Value& x) {
             const Value decay = c.activate(c.columns(x, 16, 16 + decays), Activation::sigmoid);
             const Value beta = c.activate(c.columns(x, 14, 16), Activation::sigmoid);
             return c.delta_rule(
                 {},
                 {c.l2_norm(c.columns(x, 0, 3), 3, 1e-6f, 2),
                  c.l2_norm(c.columns(x, 3, 6), 3, 1e-6f, 1), c.columns(x, 6, 14), decay, beta},
                 shape);
           }});
  }
}

TEST_F(Gradients, WhatComesBeforeADeltaRule) {
  Parameter taps = random_parameter("taps", {8, 3}, 6);
  check({"causal_convolution", 8, {&taps}, [&](Context& c, const Value& x) {
           return c.causal_convolution({}, x, taps);
         }});
  Parameter rate = random_parameter("rate", {2}, 7);
  check({"decay", 8, {&rate, &norm_bias_}, [&](Context& c, const Value& x) {
           return c.decay(x, rate, norm_bias_);
         }});
  check({"l2_norm", 8, {}, [&](Context& c, const Value& x) {
           return c.l2_norm(c.activate(x, Activation::silu), 4, 0.1f, 1.5f);
         }});
}

TEST_F(Gradients, Elementwise) {
  for (Activation activation : {Activation::silu, Activation::gelu, Activation::gelu_tanh,
                                Activation::tanh, Activation::sigmoid}) {
    check(
        {"activate", 8, {}, [&](Context& c, const Value& x) { return c.activate(x, activation); }});
    check({"glu", 8, {}, [&](Context& c, const Value& x) {
             return c.glu(activation, c.columns(x, 0, 4), c.columns(x, 4, 8));
           }});
  }
  check({"add and scale", 8, {}, [&](Context& c, const Value& x) {
           return c.add(c.scale(x, 3.0f), x);
         }});
}

TEST_F(Gradients, ClampedGlu) {
  const ClampedGlu shape{1.702f, 0.9f};
  check({"clamped_glu", 8, {}, [&](Context& c, const Value& x) {
           return c.clamped_glu(shape, c.columns(x, 0, 4), c.columns(x, 4, 8));
         }});
}

TEST_F(Gradients, Runs) {
  check({"weigh_runs", 9, {}, [&](Context& c, const Value& x) {
           return c.weigh_runs(c.columns(x, 0, 6), c.columns(x, 6, 9));
         }});
  check({"sum_runs", 9, {}, [&](Context& c, const Value& x) { return c.sum_runs(x, 3); }});
  check({"repeat_runs", 9, {}, [&](Context& c, const Value& x) { return c.repeat_runs(x, 2); }});
}

TEST_F(Gradients, ScaledAndShiftedParts) {
  Parameter scale = random_parameter("scale", {2}, 23), bias = random_parameter("bias", {6}, 24);
  check({"scale_and_shift", 6, {&scale, &bias}, [&](Context& c, const Value& x) {
           return c.scale_and_shift(x, scale, bias);
         }});
}

TEST_F(Gradients, GrowingQueries) {
  check({"grow", 9, {}, [&](Context& c, const Value& x) { return c.grow(x, {0.7f, 2}); }});
}

TEST_F(Gradients, ColumnsPutTogether) {
  check({"with_columns", 8, {}, [&](Context& c, const Value& x) {
           Value y = c.with_columns(c.zeros(8, 9), 6, c.columns(x, 0, 3));
           return c.with_columns(y, 0, c.scale(c.columns(x, 1, 7), 2));
         }});
}

/// Two products of the rows that a router sends to each of four experts.
Value four_experts(Context& c, const Value& x, const Routing& how, const Parameter& router,
                   const Parameter& bias, std::span<const Parameter> experts) {
  const Routed routed = c.route(c.linear(x, router), how, &bias);
  Value sum = c.zeros(x.rows(), experts[0].shape[0]);
  for (int64_t e = 0; e < how.num_experts; ++e) {
    const std::span<const int64_t> rows = routed.dispatch.rows_of(e);
    if (rows.empty()) continue;
    const Value in = c.gather_rows(x, rows);
    sum = c.add_expert(sum, c.linear(in, experts[static_cast<size_t>(e)]), routed, e);
  }
  return sum;
}

TEST_F(Gradients, ChoicesAreScaled) {
  Parameter router = random_parameter("router", {4, 8}, 21);
  Parameter bias = random_parameter("selection", {4}, 22);
  for (size_t e = 0; e < 4; ++e) bias.value.f32()[e] = 40.0f * static_cast<float>(e % 3);
  Parameter scales = random_parameter("scales", {4}, 23);
  const Routing how = {.num_experts = 4, .top_k = 2, .normalized = true};
  check({"scale_choices", 8, {&router, &scales}, [&](Context& c, const Value& x) {
           const Routed plain = c.route(c.linear(x, router), how, &bias);
           return c.scale_choices(plain, scales).weights;
         }});
}

TEST_F(Gradients, Experts) {
  Parameter router = random_parameter("router", {4, 8}, 21);
  // So far apart that no step of a difference chooses others.
  Parameter bias = random_parameter("selection", {4}, 22);
  for (size_t e = 0; e < 4; ++e) bias.value.f32()[e] = 40.0f * static_cast<float>(e % 3);
  std::vector<Parameter> experts;
  for (uint64_t e = 0; e < 4; ++e) experts.push_back(random_parameter("expert", {6, 8}, 30 + e));
  std::vector<Parameter*> parameters = {&router};
  std::vector<Routing> hows(4, {.num_experts = 4, .top_k = 2});
  hows[0].normalized = true;
  hows[1].scale = 1.5f;
  hows[2].score = RouterScore::sigmoid;
  hows[2].normalized = true;
  hows[3].top_k = 1;
  hows[3].prototypes = 2;
  for (const Routing& how : hows) {
    check({"experts", 8, parameters, [&](Context& c, const Value& x) {
             return four_experts(c, x, how, router, bias, experts);
           }});
    check({"experts in a block", 8, parameters,
           [&](Context& c, const Value& x) {
             return c.block(x, [&](Context& inner, const Value& h) {
               return four_experts(inner, h, how, router, bias, experts);
             });
           }},
          true);
  }
}

TEST_F(Gradients, RowsAndColumns) {
  const std::vector<int64_t> rows = {5, 0, 5};
  check({"gather_rows", 8, {}, [&](Context& c, const Value& x) { return c.gather_rows(x, rows); }});
}

TEST_F(Gradients, RecomputedBlocksGiveTheSameGradients) {
  auto body = [&](Context& c, const Value& x) {
    return c.add(c.columns(x, 0, 6), c.linear(c.rms_norm(x, norm_, 1e-5f), weight_));
  };
  Case twice{"blocks", 8, {&weight_, &norm_}, [&](Context& c, const Value& x) {
               return c.block(x, body);
             }};
  check(twice, true);
  check(twice, false);
}

TEST_F(Gradients, EmbeddingAddsUpRowsOfTheSameToken) {
  Parameter table = random_parameter("table", {5, 3}, 8);
  TrainingWorkspace workspace;
  RecordingContext context(batch_, {}, workspace);
  Value y = context.embed(table, batch_.tokens);
  Tensor dy = random_tensor(y.data.shape(), 9);
  context.backward(y, dy);
  Tensor expected(DType::f32, {5, 3});
  for (size_t i = 0; i < batch_.tokens.size(); ++i) {
    for (size_t j = 0; j < 3; ++j) {
      EXPECT_EQ(y.data.f32()[i * 3 + j],
                table.value.f32()[static_cast<size_t>(batch_.tokens[i]) * 3 + j]);
      expected.f32()[static_cast<size_t>(batch_.tokens[i]) * 3 + j] += dy.f32()[i * 3 + j];
    }
  }
  for (size_t i = 0; i < 15; ++i) EXPECT_FLOAT_EQ(table.gradient.f32()[i], expected.f32()[i]);
}

TEST_F(Gradients, NothingIsRecordedForFrozenWeights) {
  Parameter frozen = random_parameter("frozen", {6, 8}, 1);
  frozen.gradient = Tensor();
  TrainingWorkspace workspace;
  RecordingContext context(batch_, {}, workspace);
  EXPECT_EQ(context.linear({random_tensor({8, 8}, 3)}, frozen).node, -1);
}

TEST_F(Gradients, LossOfTheHeadAndItsGradients) {
  Parameter head = random_parameter("head", {5, 8}, 8);
  Tensor hidden = random_tensor({8, 8}, 9);
  const std::vector<int32_t> targets = {1, 0, -1, 4, 2, 3, -1, 0};
  auto loss = [&](bool unit_rows) {
    TrainingWorkspace workspace;
    RecordingContext context(batch_, {}, workspace);
    std::vector<float> losses(8);
    Value start = context.leaf(hidden);
    make_trainable(head, Arithmetic::f32);
    context.backward(start, {head, nullptr, 0, unit_rows}, targets, 0.25f, losses);
    double sum = 0;
    for (float x : losses) sum += static_cast<double>(x);
    EXPECT_EQ(losses[2], 0);
    return std::tuple(0.25 * sum, context.gradient(start), head.gradient);
  };
  for (bool unit_rows : {false, true}) {
    auto [value, dhidden, dhead] = loss(unit_rows);
    for (auto& [at, got] : {std::pair(hidden, dhidden), std::pair(head.value, dhead)}) {
      for (size_t i = 0; i < at.f32().size(); ++i) {
        const float before = at.f32()[i];
        at.f32()[i] = before + 1e-2f;
        double above = std::get<0>(loss(unit_rows));
        at.f32()[i] = before - 1e-2f;
        double below = std::get<0>(loss(unit_rows));
        at.f32()[i] = before;
        EXPECT_NEAR(got.f32()[i], (above - below) / 2e-2, 2e-3);
      }
    }
  }
}

}  // namespace
}  // namespace millrace
