// Attention in the plainest C++, in double precision.
#include <algorithm>
#include <cmath>
#include <vector>

#include "millrace/kernels/attention.h"
#include "millrace/kernels/attention_parts.h"

namespace millrace::reference {
namespace {

/// Where a page keeps one value of a key, counted in values; a value of a value follows below.
/// Both are packed weights: panels of 32 outputs, in them [k][32], or [k / 2][32][2] for bf16 and
/// i8.
int64_t packed_offset(DType dtype, int64_t j, int64_t k, int64_t depth) {
  if (dtype == DType::f32) return (j / 32 * depth + k) * 32 + j % 32;
  return (j / 32 * ((depth + 1) / 2) + k / 2) * 64 + j % 32 * 2 + k % 2;
}

/// Values that `outputs` packed outputs of `depth` values take.
int64_t packed_size(DType dtype, int64_t outputs, int64_t depth) {
  return (outputs + 31) / 32 * 32 * (dtype == DType::f32 ? depth : (depth + 1) / 2 * 2);
}

int64_t key_offset(const AttentionShape& shape, DType dtype, int64_t head, int64_t position,
                   int64_t d) {
  return head * packed_size(dtype, kPageSize, shape.head_dim) +
         packed_offset(dtype, position % kPageSize, d, shape.head_dim);
}

int64_t value_offset(const AttentionShape& shape, DType dtype, int64_t head, int64_t position,
                     int64_t d) {
  return shape.num_kv_heads * packed_size(dtype, kPageSize, shape.head_dim) +
         head * packed_size(dtype, shape.head_dim, kPageSize) +
         packed_offset(dtype, d, position % kPageSize, kPageSize);
}

/// The scale of one head's key in a page of i8; that of its value follows kPageSize later.
float* scale_of(const AttentionShape& shape, std::byte* page, int64_t head, int64_t position) {
  const int64_t levels = shape.num_kv_heads * (packed_size(DType::i8, kPageSize, shape.head_dim) +
                                               packed_size(DType::i8, shape.head_dim, kPageSize));
  return reinterpret_cast<float*>(page + levels) + 2 * kPageSize * head + position % kPageSize;
}

/// A number of a key or value; `scale` is not read but for i8.
float load(const std::byte* page, DType dtype, int64_t offset, const float* scale) {
  if (dtype == DType::f32) return reinterpret_cast<const float*>(page)[offset];
  if (dtype == DType::i8) return *scale * reinterpret_cast<const int8_t*>(page)[offset];
  return to_float(reinterpret_cast<const BFloat16*>(page)[offset]);
}

void store(std::byte* page, DType dtype, int64_t offset, float value) {
  if (dtype == DType::f32) {
    reinterpret_cast<float*>(page)[offset] = value;
  } else if (dtype == DType::i8) {
    reinterpret_cast<int8_t*>(page)[offset] = static_cast<int8_t>(std::nearbyint(value));
  } else {
    reinterpret_cast<BFloat16*>(page)[offset] = to_bfloat16(value);
  }
}

/// Stores the scale of a finite key or value in a page of i8 and gives what makes levels of its
/// numbers; 1 for other pages.
float store_scale(DType dtype, const float* x, int64_t dim, float* scale) {
  if (dtype != DType::i8) return 1;
  float greatest = 0;
  for (int64_t d = 0; d < dim; ++d) greatest = std::max(greatest, std::fabs(x[d]));
  *scale = to_float(to_bfloat16(greatest / 127));
  if (*scale < greatest / 127) *scale = to_float(BFloat16{uint16_t(to_bfloat16(*scale).bits + 1)});
  if (greatest < 0x1p-100f) *scale = 0;
  return *scale > 0 ? 1 / *scale : 0;
}

/// Positions [first, last] that the query at `position` of a segment sees.
struct Visible {
  int64_t first, last;
};

Visible visible(const AttentionShape& shape, const AttentionSegment& segment, int64_t position) {
  Visible keys{segment.first_key, keys_end(shape, segment, position) - 1};
  if (shape.sliding_window > 0)
    keys.first = std::max<int64_t>(keys.first, position - shape.sliding_window + 1);
  return keys;
}

/// A scaled product as it enters the softmax.
struct Score {
  double value, slope;  // in the product
};

Score score_of(const AttentionShape& shape, double product, int64_t head, int64_t distance) {
  Score score{product * shape.scale, shape.scale};
  if (shape.softcap > 0) {
    const double t = std::tanh(score.value / shape.softcap);
    score = {shape.softcap * t, shape.scale * (1 - t * t)};
  }
  if (shape.alibi_max_bias > 0) {
    score.value -= double{alibi_slope(shape, head)} * static_cast<double>(std::abs(distance));
  }
  const DistanceBias& bias = shape.distance_bias;
  if (bias.values) score.value += bias.values[bias.at(head, distance)];
  return score;
}

}  // namespace

void store_keys_values(const AttentionShape& shape, DType dtype,
                       std::span<const AttentionSegment> segments, const float* k, const float* v) {
  for (const AttentionSegment& segment : segments) {
    for (int64_t i = 0; i < segment.query_count; ++i) {
      int64_t position = segment.first_position + i, row = segment.query_begin + i;
      std::byte* page = segment.pages[static_cast<size_t>(position / kPageSize)];
      for (int64_t head = 0; head < shape.num_kv_heads; ++head) {
        const int64_t from = (row * shape.num_kv_heads + head) * shape.head_dim;
        float* scale = scale_of(shape, page, head, position);
        const float to_key = store_scale(dtype, k + from, shape.head_dim, scale);
        const float to_value = store_scale(dtype, v + from, shape.head_dim, scale + kPageSize);
        for (int64_t d = 0; d < shape.head_dim; ++d) {
          store(page, dtype, key_offset(shape, dtype, head, position, d), to_key * k[from + d]);
          store(page, dtype, value_offset(shape, dtype, head, position, d), to_value * v[from + d]);
        }
      }
    }
  }
}

void attention_forward(const AttentionShape& shape, DType dtype,
                       std::span<const AttentionSegment> segments, const float* q, float* out,
                       float* log_sum_exp) {
  const int64_t dim = shape.head_dim, group = shape.num_heads / shape.num_kv_heads;
  for (const AttentionSegment& segment : segments) {
    std::vector<double> weights(segment.pages.size() * kPageSize);
    auto page = [&](int64_t position) {
      return segment.pages[static_cast<size_t>(position / kPageSize)];
    };
    for (int64_t i = 0; i < segment.query_count; ++i) {
      Visible keys = visible(shape, segment, segment.first_position + i);
      for (int64_t h = 0; h < shape.num_heads; ++h) {
        int64_t row = (segment.query_begin + i) * shape.num_heads + h;
        const double sink = shape.sinks ? shape.sinks[h] : -INFINITY;
        double greatest = sink, sum = 0;
        for (int64_t p = keys.first; p <= keys.last; ++p) {
          double score = 0;
          for (int64_t d = 0; d < dim; ++d) {
            float factor = q[row * dim + d];
            if (dtype != DType::f32) factor = to_float(to_bfloat16(factor));
            score +=
                double{factor} * load(page(p), dtype, key_offset(shape, dtype, h / group, p, d),
                                      scale_of(shape, page(p), h / group, p));
          }
          score = score_of(shape, score, h, p - segment.first_position - i).value;
          if (!shape.selection.has(segment.query_begin + i, h / group, p)) score = -INFINITY;
          weights[static_cast<size_t>(p)] = score;
          greatest = std::max(greatest, score);
        }
        for (int64_t p = keys.first; p <= keys.last; ++p) {
          double& weight = weights[static_cast<size_t>(p)];
          weight = std::exp(weight - greatest);
          sum += weight;
        }
        if (shape.sinks) sum += std::exp(sink - greatest);
        for (int64_t d = 0; d < dim; ++d) {
          double total = 0;
          for (int64_t p = keys.first; p <= keys.last; ++p) {
            total += weights[static_cast<size_t>(p)] *
                     load(page(p), dtype, value_offset(shape, dtype, h / group, p, d),
                          scale_of(shape, page(p), h / group, p) + kPageSize);
          }
          out[row * dim + d] = static_cast<float>(total / sum);
        }
        if (log_sum_exp) log_sum_exp[row] = static_cast<float>(greatest + std::log(sum));
      }
    }
  }
}

void attention_backward(const AttentionShape& shape, std::span<const AttentionSegment> segments,
                        const float* q, const float* k, const float* v, const float* out,
                        const float* dout, const float* log_sum_exp, float* dq, float* dk,
                        float* dv, float* ddistance_bias) {
  const int64_t dim = shape.head_dim, group = shape.num_heads / shape.num_kv_heads;
  for (AttentionSegment segment : segments) {
    segment.first_position = segment.first_key = 0;
    const int64_t key_begin = segment.key_begin < 0 ? segment.query_begin : segment.key_begin;
    std::fill_n(dq + segment.query_begin * shape.num_heads * dim,
                segment.query_count * shape.num_heads * dim, 0.0f);
    for (float* gradient : {dk, dv}) {
      std::fill_n(gradient + key_begin * shape.num_kv_heads * dim,
                  num_keys(shape, segment) * shape.num_kv_heads * dim, 0.0f);
    }
    for (int64_t i = 0; i < segment.query_count; ++i) {
      Visible keys = visible(shape, segment, i);
      for (int64_t h = 0; h < shape.num_heads; ++h) {
        int64_t row = (segment.query_begin + i) * shape.num_heads + h;
        double drift = 0;  // sum over keys of weight * dweight = dout . out
        for (int64_t d = 0; d < dim; ++d) drift += double{dout[row * dim + d]} * out[row * dim + d];
        for (int64_t p = keys.first; p <= keys.last; ++p) {
          if (!shape.selection.has(segment.query_begin + i, h / group, p)) continue;
          int64_t key = ((key_begin + p) * shape.num_kv_heads + h / group) * dim;
          double score = 0, dweight = 0;
          for (int64_t d = 0; d < dim; ++d) {
            score += double{q[row * dim + d]} * k[key + d];
            dweight += double{dout[row * dim + d]} * v[key + d];
          }
          const Score formed = score_of(shape, score, h, p - i);
          double weight = std::exp(formed.value - log_sum_exp[row]);
          auto dscore = static_cast<float>(weight * (dweight - drift) * formed.slope);
          if (ddistance_bias) {
            ddistance_bias[shape.distance_bias.at(h, p - i)] +=
                static_cast<float>(weight * (dweight - drift));
          }
          for (int64_t d = 0; d < dim; ++d) {
            dq[row * dim + d] += dscore * k[key + d];
            dk[key + d] += dscore * q[row * dim + d];
            dv[key + d] += static_cast<float>(weight) * dout[row * dim + d];
          }
        }
      }
    }
  }
}

}  // namespace millrace::reference
