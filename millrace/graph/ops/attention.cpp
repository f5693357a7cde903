#include "millrace/graph/ops/attention.h"

#include <algorithm>
#include <cmath>

#include "millrace/kernels/elementwise.h"

namespace millrace {

void segments_of(const RaggedBatch& batch, Part part, const AttentionExtras& extras,
                 std::vector<AttentionSegment>& segments, std::vector<AttentionSegment>& stored) {
  if (!extras.of_prefixes) {
    restrict_to(batch, part, segments);
    stored = segments;
    return;
  }
  stored = segments;
  restrict_to(batch, Part::prefix, stored);
  look_at_prefixes(batch, segments);
}

void attend(const AttentionShape& shape, DType dtype, std::span<const AttentionSegment> stored,
            std::span<const AttentionSegment> segments, const Tensor& q, const Tensor& k,
            const Tensor& v, Tensor& out, Tensor& log_sum_exp) {
  if (!k.empty()) store_keys_values(shape, dtype, stored, k.f32().data(), v.f32().data());
  attention_forward(shape, dtype, segments, q.f32().data(), out.f32().data(),
                    log_sum_exp.empty() ? nullptr : log_sum_exp.f32().data());
}

float QueryGrowth::at(int64_t position) const {
  return 1 + beta * std::log(1 + static_cast<float>(position / length));
}

void grow_in_place(const QueryGrowth& how, std::span<const int32_t> positions, Tensor& x) {
  float* row = x.f32().data();
  const int64_t width = x.shape()[1];
  for (const int32_t position : positions) {
    scale(row, how.at(position), width, row);
    row += width;
  }
}

int64_t DistanceBuckets::of(int64_t distance) const {
  const int64_t half = both_ways ? count / 2 : count;
  const int64_t first = both_ways && distance > 0 ? half : 0;
  const int64_t far = both_ways ? std::abs(distance) : std::max<int64_t>(-distance, 0);
  const int64_t exact = half / 2;
  if (far < exact) return first + far;
  // In f32 and in this order, as those who trained tables did.
  const float part =
      std::log(static_cast<float>(far) / static_cast<float>(exact)) /
      static_cast<float>(std::log(static_cast<double>(max_distance) / static_cast<double>(exact)));
  const auto step = static_cast<int64_t>(part * static_cast<float>(half - exact));
  return first + std::min(exact + step, half - 1);
}

KeySelection select_keys(const KeySelector& how, DType dtype,
                         std::span<const AttentionSegment> segments, const Tensor& q,
                         const Tensor& k, const Tensor* weights, std::vector<uint64_t>& bits) {
  store_keys_values(how.shape(), dtype, segments, k.f32().data(), k.f32().data());
  size_t words = 0;
  for (const AttentionSegment& segment : segments) words = std::max(words, segment.pages.size());
  const KeySelection chosen{nullptr, how.sets(), static_cast<int64_t>(words)};
  const auto needed = static_cast<size_t>(q.shape()[0] * chosen.sets * chosen.words);
  if (bits.capacity() < needed) bits.reserve(2 * needed);
  bits.resize(needed);
  select_keys(how, dtype, segments, q.f32().data(), weights ? weights->f32().data() : nullptr,
              chosen.words, bits.data());
  return {bits.data(), chosen.sets, chosen.words};
}

AttentionShape with_extras(AttentionShape shape, const AttentionExtras& extras,
                           std::vector<float>& biases) {
  shape.selection = extras.selection;
  if (extras.sinks) shape.sinks = extras.sinks->value.f32().data();
  if (extras.bias_table == nullptr) return shape;
  shape.distance_bias.max_distance = extras.buckets.max_distance;
  const int64_t width = shape.distance_bias.width(), reach = shape.distance_bias.reach();
  const float* table = extras.bias_table->value.f32().data();
  biases.resize(static_cast<size_t>(shape.num_heads * width));
  for (int64_t i = 0; i < width; ++i) {
    const float* entries = table + extras.buckets.of(i - reach) * shape.num_heads;
    for (int64_t h = 0; h < shape.num_heads; ++h) {
      biases[static_cast<size_t>(h * width + i)] = entries[h];
    }
  }
  shape.distance_bias.values = biases.data();
  return shape;
}

void distance_bias_backward(const AttentionShape& shape, const AttentionExtras& extras,
                            std::span<const float> dbiases, Parameter& table) {
  const int64_t width = shape.distance_bias.width(), reach = shape.distance_bias.reach();
  float* gradient = table.gradient.f32().data();
  for (int64_t i = 0; i < width; ++i) {
    float* entries = gradient + extras.buckets.of(i - reach) * shape.num_heads;
    for (int64_t h = 0; h < shape.num_heads; ++h) {
      entries[h] += dbiases[static_cast<size_t>(h * width + i)];
    }
  }
}

namespace {

/// Calls `turn` with a table, its rows' positions, their number and the first value to turn.
template <typename Turn>
void for_each_table(const Rotation& how, std::span<const int64_t> sequence_begin, Tensor& x,
                    Turn turn) {
  auto rows = [&](const RopeTable& table, int64_t begin, int64_t end) {
    turn(table, how.positions.data() + begin, end - begin,
         x.f32().data() + begin * x.shape()[1] + how.first);
  };
  const auto& tables = how.tables.by_sequence;
  if (tables.empty()) return rows(*how.tables.all, 0, x.shape()[0]);
  for (size_t i = 0, end = 0; i < tables.size(); i = end) {
    while (end < tables.size() && tables[end] == tables[i]) ++end;
    rows(*tables[i], sequence_begin[i], sequence_begin[end]);
  }
}

}  // namespace

void rope_in_place(const Rotation& how, std::span<const int64_t> sequence_begin, Tensor& x) {
  const int64_t width = x.shape()[1], heads = width / how.head_dim;
  for_each_table(how, sequence_begin, x, [&](auto& table, auto* positions, auto rows, float* at) {
    rope_forward(table, positions, rows, heads, how.head_dim, width, how.pairing, at);
  });
}

void rope_back_in_place(const Rotation& how, std::span<const int64_t> sequence_begin, Tensor& dx) {
  const int64_t width = dx.shape()[1], heads = width / how.head_dim;
  for_each_table(how, sequence_begin, dx, [&](auto& table, auto* positions, auto rows, float* at) {
    rope_backward(table, positions, rows, heads, how.head_dim, width, how.pairing, at);
  });
}

}  // namespace millrace
