#include "millrace/kernels/rope.h"

#include "millrace/base/error.h"
#include "millrace/base/json.h"
#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

RopeParameters parameters_of(const Json& golden, const Json& all) {
  const Json& given = golden.at("parameters");
  RopeParameters p;
  p.scaling = rope_scaling_from_name(given.at("rope_type").get<std::string>()).value();
  p.rotary_dim = all.at("rotary_dim").get<int64_t>();
  p.max_position_embeddings = all.at("max_position_embeddings").get<int64_t>();
  p.theta = given.at("rope_theta").get<double>();
  p.factor = given.value("factor", p.factor);
  p.original_max_position_embeddings =
      given.value("original_max_position_embeddings", p.original_max_position_embeddings);
  if (given.contains("attention_factor")) p.attention_factor = given.at("attention_factor");
  p.beta_fast = given.value("beta_fast", p.beta_fast);
  p.beta_slow = given.value("beta_slow", p.beta_slow);
  p.mscale = given.value("mscale", p.mscale);
  p.mscale_all_dim = given.value("mscale_all_dim", p.mscale_all_dim);
  p.truncate = given.value("truncate", p.truncate);
  p.low_freq_factor = given.value("low_freq_factor", p.low_freq_factor);
  p.high_freq_factor = given.value("high_freq_factor", p.high_freq_factor);
  p.short_factor = given.value("short_factor", p.short_factor);
  p.long_factor = given.value("long_factor", p.long_factor);
  return p;
}

TEST(Rope, FrequenciesAndTablesAreThoseOfTransformers) {
  const Json all = read_json(std::string(MILLRACE_SOURCE_DIR) + "/tests/golden/rope.json");
  const auto positions = all.at("positions").get<std::vector<int64_t>>();
  ASSERT_GE(all.at("cases").size(), 11u);
  for (const Json& golden : all.at("cases")) {
    SCOPED_TRACE(golden.at("name").get<std::string>());
    const RopeFrequencies frequencies =
        rope_frequencies(parameters_of(golden, all), golden.at("sequence_length").get<int64_t>());
    const auto inverse = golden.at("inverse").get<std::vector<float>>();
    ASSERT_EQ(frequencies.inverse.size(), inverse.size());
    for (size_t i = 0; i < inverse.size(); ++i) {
      EXPECT_NEAR(frequencies.inverse[i], inverse[i], 1e-6 * inverse[i]);
    }
    EXPECT_NEAR(frequencies.attention_factor, golden.at("attention_factor").get<double>(), 1e-6);
    const RopeTable table = rope_table(frequencies, positions.back() + 1);
    ASSERT_EQ(table.positions(), positions.back() + 1);
    const auto cos = golden.at("cos").get<std::vector<float>>();
    const auto sin = golden.at("sin").get<std::vector<float>>();
    for (size_t i = 0; i < cos.size(); ++i) {
      const auto position = static_cast<size_t>(positions[i / inverse.size()]);
      const size_t at = position * inverse.size() + i % inverse.size();
      // A frequency's last bit, times the position.
      const double allowed = 2e-7 + 2e-7 * static_cast<double>(position);
      EXPECT_NEAR(table.cos[at], cos[i], allowed);
      EXPECT_NEAR(table.sin[at], sin[i], allowed);
    }
  }
}

struct Case {
  int64_t rows, heads, head_dim, stride;
  RopePairing pairing;
  RopeTable table;
  std::vector<int32_t> positions;
  std::vector<float> x;

  Case(int64_t n, int64_t rotary_dim, int64_t dim, RopePairing p)
      : rows(n), heads(3), head_dim(dim), stride(3 * dim + 5), pairing(p) {
    RopeParameters parameters;
    parameters.rotary_dim = rotary_dim;
    table = rope_table(rope_frequencies(parameters), 300);
    for (int64_t r = 0; r < rows; ++r) positions.push_back(static_cast<int32_t>(r * 7 % 300));
    x = normal_values(rows * stride, 1);
  }
  std::vector<float> forward() const {
    std::vector<float> y = x;
    rope_forward(table, positions.data(), rows, heads, head_dim, stride, pairing, y.data());
    return y;
  }
};

TEST(Rope, HasTheReferencesBits) {
  for_each_isa([] {
    for (RopePairing pairing : {RopePairing::half_split, RopePairing::interleaved}) {
      for (int64_t rotary_dim : {2, 6, 32, 64, 80}) {
        const Case c(9, rotary_dim, 80, pairing);
        std::vector<float> expected = c.x;
        reference::rope_forward(c.table, c.positions.data(), c.rows, c.heads, c.head_dim, c.stride,
                                pairing, expected.data());
        expect_same_bits(c.forward(), expected);
        std::vector<float> back = c.forward();
        rope_backward(c.table, c.positions.data(), c.rows, c.heads, c.head_dim, c.stride, pairing,
                      back.data());
        expect_near(back, c.x, 1e-6);  // a rotation's transpose is its inverse
        reference::rope_backward(c.table, c.positions.data(), c.rows, c.heads, c.head_dim, c.stride,
                                 pairing, expected.data());
        expect_same_bits(back, expected);
      }
    }
  });
}

TEST(Rope, ThreadsDoNotMatter) {
  const Case c(500, 64, 64, RopePairing::half_split);
  expect_threads_do_not_matter([&] { return c.forward(); });
}

TEST(Rope, BadParametersAreNamed) {
  RopeParameters p;
  p.rotary_dim = 7;
  EXPECT_THROW(rope_frequencies(p), Error);
  p.rotary_dim = 8;
  for (RopeScaling scaling :
       {RopeScaling::dynamic, RopeScaling::yarn, RopeScaling::longrope, RopeScaling::llama3}) {
    p.scaling = scaling;
    EXPECT_THROW(rope_frequencies(p), Error) << static_cast<int>(scaling);
  }
  p.original_max_position_embeddings = 1024;
  p.short_factor.assign(3, 1.0f);
  p.scaling = RopeScaling::longrope;
  EXPECT_THROW(rope_frequencies(p), Error);
  EXPECT_EQ(rope_scaling_from_name("cubic"), std::nullopt);
}

TEST(Rope, ProportionalTurnsThePartOfTheHighestFrequencies) {
  RopeParameters p;
  p.rotary_dim = 20;
  const std::vector<float> all = rope_frequencies(p).inverse;
  p.scaling = *rope_scaling_from_name("proportional");
  p.factor = 2;
  p.proportion = 0.25;  // of ten frequencies, rounded down
  const std::vector<float> part = rope_frequencies(p).inverse;
  ASSERT_EQ(part.size(), all.size());
  for (size_t i = 0; i < all.size(); ++i) EXPECT_EQ(part[i], i < 2 ? all[i] / 2 : 0);
  p.proportion = 1.5;
  EXPECT_THROW(rope_frequencies(p), Error);
}

TEST(Rope, LengthsBeyondTheTrainedOneAreFew) {
  RopeParameters p;
  p.max_position_embeddings = 100;
  p.original_max_position_embeddings = 30;
  EXPECT_EQ(rope_length(p, 1000), 0);
  p.scaling = RopeScaling::dynamic;
  const std::vector<std::pair<int64_t, int64_t>> expected = {{1, 0},     {100, 0},   {101, 200},
                                                             {200, 200}, {201, 400}, {1000, 1600}};
  for (const auto& [tokens, length] : expected) EXPECT_EQ(rope_length(p, tokens), length);
  p.scaling = RopeScaling::longrope;
  EXPECT_EQ(rope_length(p, 30), 0);
  EXPECT_GT(rope_length(p, 31), 30);
  EXPECT_EQ(rope_length(p, 31), rope_length(p, 1 << 20));
}

}  // namespace
}  // namespace millrace
