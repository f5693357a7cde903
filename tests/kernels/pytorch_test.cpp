// Operators and their gradients against PyTorch's numbers (tools/make_kernel_goldens.py).
#include <hwy/aligned_allocator.h>
#include <memory>

#include "millrace/base/json.h"
#include "millrace/kernels/activation.h"
#include "millrace/kernels/attention.h"
#include "millrace/kernels/embedding.h"
#include "millrace/kernels/loss.h"
#include "millrace/kernels/norm.h"
#include "millrace/kernels/optimizer.h"
#include "millrace/kernels/rope.h"
#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

constexpr double kTolerance = 1e-5;

/// One operator's arrays and numbers.
class Golden {
 public:
  explicit Golden(const char* name) {
    static const Json all =
        read_json(std::string(MILLRACE_SOURCE_DIR) + "/tests/golden/kernels.json");
    values_ = all.at(name);
  }
  std::vector<float> floats(const char* key) const {
    return values_.at(key).get<std::vector<float>>();
  }
  template <typename T>
  T get(const char* key) const {
    return values_.at(key).get<T>();
  }

 private:
  Json values_;
};

TEST(PyTorch, Norms) {
  for_each_isa([] {
    const Golden rms("rms_norm");
    const auto rows = rms.get<int64_t>("rows"), width = rms.get<int64_t>("width");
    std::vector<float> x = rms.floats("x"), weight = rms.floats("weight"), dy = rms.floats("dy");
    std::vector<float> y(x.size()), inverse(static_cast<size_t>(rows)), dx(x.size()),
        dweight(weight.size()), dbias(weight.size()), mean(inverse.size());
    rms_norm_forward(x.data(), weight.data(), rows, width, 1e-5f, y.data(), inverse.data());
    rms_norm_backward(dy.data(), x.data(), weight.data(), inverse.data(), rows, width, dx.data(),
                      false, dweight.data());
    expect_near(y, rms.floats("y"), kTolerance);
    expect_near(dx, rms.floats("dx"), kTolerance);
    expect_near(dweight, rms.floats("dweight"), kTolerance);

    const Golden layer("layer_norm");
    x = layer.floats("x"), weight = layer.floats("weight"), dy = layer.floats("dy");
    const std::vector<float> bias = layer.floats("bias");
    std::fill(dweight.begin(), dweight.end(), 0.0f);
    layer_norm_forward(x.data(), weight.data(), bias.data(), rows, width, 1e-5f, y.data(),
                       mean.data(), inverse.data());
    layer_norm_backward(dy.data(), x.data(), weight.data(), mean.data(), inverse.data(), rows,
                        width, dx.data(), false, dweight.data(), dbias.data());
    expect_near(y, layer.floats("y"), kTolerance);
    expect_near(dx, layer.floats("dx"), kTolerance);
    expect_near(dweight, layer.floats("dweight"), kTolerance);
    expect_near(dbias, layer.floats("dbias"), kTolerance);
  });
}

TEST(PyTorch, Activations) {
  for_each_isa([] {
    for (const char* name : {"relu", "silu", "gelu", "gelu_tanh"}) {
      const Golden golden(name);
      const Activation activation = activation_from_name(name).value();
      const std::vector<float> x = golden.floats("x"), dy = golden.floats("dy");
      const auto count = static_cast<int64_t>(x.size());
      std::vector<float> y(x.size()), dx(x.size());
      activation_forward(activation, x.data(), count, y.data());
      activation_backward(activation, x.data(), dy.data(), count, dx.data(), false);
      expect_near(y, golden.floats("y"), kTolerance, name);
      expect_near(dx, golden.floats("dx"), kTolerance, name);
    }
    const Golden golden("swiglu");
    const auto rows = golden.get<int64_t>("rows"), width = golden.get<int64_t>("width");
    const std::vector<float> gate = golden.floats("gate"), up = golden.floats("up");
    const std::vector<float> dy = golden.floats("dy");
    std::vector<float> y(gate.size()), dgate(gate.size()), dup(gate.size());
    glu_forward(Activation::silu, gate.data(), up.data(), rows, width, width, y.data());
    glu_backward(Activation::silu, gate.data(), up.data(), dy.data(), rows, width, width,
                 dgate.data(), dup.data());
    expect_near(y, golden.floats("y"), kTolerance);
    expect_near(dgate, golden.floats("dgate"), kTolerance);
    expect_near(dup, golden.floats("dup"), kTolerance);
  });
}

TEST(PyTorch, CrossEntropy) {
  for_each_isa([] {
    const Golden golden("cross_entropy");
    const auto targets = golden.get<std::vector<int32_t>>("targets");
    const auto vocab = golden.get<int64_t>("vocab");
    const std::vector<float> dy = golden.floats("dy");
    std::vector<float> logits = golden.floats("logits"), losses(targets.size());
    // A gradient of its own for each loss is a scale of its own for each row.
    for (size_t r = 0; r < targets.size(); ++r) {
      cross_entropy_forward_backward(logits.data() + static_cast<int64_t>(r) * vocab, &targets[r],
                                     1, vocab, dy[r], &losses[r]);
    }
    expect_near(losses, golden.floats("y"), kTolerance);
    expect_near(logits, golden.floats("dlogits"), kTolerance);
  });
}

TEST(PyTorch, Embedding) {
  const Golden golden("embedding");
  const auto ids = golden.get<std::vector<int32_t>>("ids");
  const auto count = static_cast<int64_t>(ids.size()), width = golden.get<int64_t>("width");
  const std::vector<float> table = golden.floats("table"), dy = golden.floats("dy");
  std::vector<float> y(dy.size()), dtable(table.size());
  gather_rows(table.data(), ids.data(), count, width, y.data());
  scatter_add_rows(dy.data(), ids.data(), count, width, dtable.data());
  expect_near(y, golden.floats("y"), 0);
  expect_near(dtable, golden.floats("dtable"), 1e-6);
}

TEST(PyTorch, Attention) {
  for_each_isa([] {
    const Golden golden("attention");
    AttentionShape shape;
    shape.num_heads = golden.get<int64_t>("heads");
    shape.num_kv_heads = golden.get<int64_t>("kv_heads");
    shape.head_dim = golden.get<int64_t>("dim");
    shape.scale = 1 / std::sqrt(static_cast<float>(shape.head_dim));
    const std::vector<float> q = golden.floats("q"), k = golden.floats("k"), v = golden.floats("v");
    const std::vector<float> dy = golden.floats("dy");
    std::vector<float> y(q.size()), dq(q.size()), dk(k.size()), dv(v.size());
    std::vector<float> log_sum_exp(q.size() / static_cast<size_t>(shape.head_dim));

    const size_t size = page_bytes(shape, DType::f32);
    const auto bytes = hwy::AllocateAligned<std::byte>(3 * size);
    std::vector<std::byte*> pages;  // of 3 and 66 positions
    for (size_t i = 0; i < 3; ++i) pages.push_back(bytes.get() + i * size);
    const std::span<std::byte* const> all(pages);
    ASSERT_EQ(golden.get<std::vector<int64_t>>("lengths"), (std::vector<int64_t>{3, 66}));
    const std::vector<AttentionSegment> segments = {{0, 3, 0, all.subspan(0, 1)},
                                                    {3, 66, 0, all.subspan(1, 2)}};
    store_keys_values(shape, DType::f32, segments, k.data(), v.data());
    attention_forward(shape, DType::f32, segments, q.data(), y.data(), log_sum_exp.data());
    attention_backward(shape, segments, q.data(), k.data(), v.data(), y.data(), dy.data(),
                       log_sum_exp.data(), dq.data(), dk.data(), dv.data());
    expect_near(y, golden.floats("y"), kTolerance);
    expect_near(dq, golden.floats("dq"), kTolerance);
    expect_near(dk, golden.floats("dk"), kTolerance);
    expect_near(dv, golden.floats("dv"), kTolerance);
  });
}

TEST(PyTorch, Rope) {
  for_each_isa([] {
    for (RopePairing pairing : {RopePairing::half_split, RopePairing::interleaved}) {
      const bool split = pairing == RopePairing::half_split;
      const Golden golden(split ? "rope_half_split" : "rope_interleaved");
      const auto heads = golden.get<int64_t>("heads"), dim = golden.get<int64_t>("dim");
      const auto positions = golden.get<std::vector<int32_t>>("positions");
      const auto rows = static_cast<int64_t>(positions.size());
      RopeParameters parameters;
      parameters.rotary_dim = dim;
      const RopeTable table = rope_table(rope_frequencies(parameters), 16);
      std::vector<float> y = golden.floats("x"), dx = golden.floats("dy");
      rope_forward(table, positions.data(), rows, heads, dim, heads * dim, pairing, y.data());
      rope_backward(table, positions.data(), rows, heads, dim, heads * dim, pairing, dx.data());
      expect_near(y, golden.floats("y"), kTolerance);
      expect_near(dx, golden.floats("dx"), kTolerance);
    }
  });
}

TEST(PyTorch, AdamW) {
  for_each_isa([] {
    const Golden golden("adamw");
    std::vector<float> param = golden.floats("start"), m(param.size()), v(param.size());
    const std::vector<float> grads = golden.floats("grads");
    const auto count = static_cast<int64_t>(param.size());
    AdamW options;
    options.learning_rate = golden.get<float>("learning_rate");
    options.weight_decay = golden.get<float>("weight_decay");
    for (options.step = 1; options.step <= golden.get<int64_t>("steps"); ++options.step) {
      adamw_step(options, grads.data() + (options.step - 1) * count, count, param.data(), m.data(),
                 v.data());
    }
    expect_near(param, golden.floats("end"), 1e-6);
  });
}

}  // namespace
}  // namespace millrace
