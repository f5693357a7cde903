#include "millrace/formats/integer_weights.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <vector>

#include "millrace/base/thread_pool.h"
#include "millrace/tensor/block_format.h"
#include "millrace/tensor/quantize.h"

namespace millrace {
namespace {

constexpr int64_t kGrain = 16;  // rows handled by one task

/// Numbers of a few bits, one behind the other in 32-bit words that lie `stride` words apart.
struct BitStream {
  const uint32_t* words;
  int64_t stride;
  int bits;

  int operator[](int64_t i) const {
    const int64_t at = i * bits, word = at / 32, shift = at % 32;
    uint64_t two = words[word * stride];
    if (shift + bits > 32) two |= uint64_t{words[(word + 1) * stride]} << 32;
    return static_cast<int>(two >> shift & ((1u << bits) - 1));
  }
};

/// Words that so many numbers fill, the last perhaps in part.
int64_t words_for(int64_t count, int bits) {
  return (count * bits + 31) / 32;
}

/// Bits of a number, of which so many make a row of words. 9: of none that are read.
int bits_of_compressed(const Tensor& words, int64_t cols) {
  const int64_t width = words.shape()[1] * 32;
  return cols <= 0 || cols > width || width / cols > 8 ? 9 : static_cast<int>(width / cols);
}

/// AWQ's kernels want the eight numbers of a word in this order.
constexpr std::array<int64_t, 8> kAwqPlaces = {0, 4, 1, 5, 2, 6, 3, 7};

/// A weight as levels [rows, cols] times the scale [rows, groups] of the group of their column.
struct LevelsAndScales {
  int64_t rows = 0, cols = 0, groups = 0;
  std::vector<int16_t> levels;
  std::vector<float> scales;
  std::vector<int32_t> group_of;  // of a column

  float scale(int64_t row, int64_t col) const {
    const auto group = static_cast<int64_t>(group_of[static_cast<size_t>(col)]);
    return scales[static_cast<size_t>(row * groups + group)];
  }
};

/// The parts of one weight, checked.
struct Parts {
  const FindPart& find;
  const std::string& where;

  const Tensor& at(std::string_view name, std::initializer_list<DType> types) const {
    const Tensor* part = find(name);
    require(part != nullptr, "{}: has no tensor '{}'", where, name);
    require(std::find(types.begin(), types.end(), part->dtype()) != types.end(),
            "{}: '{}' must not be of type {}", where, name, info(part->dtype()).name);
    return *part;
  }
  const Tensor& words(std::string_view name) const {
    const Tensor& part = at(name, {DType::i32});
    require(part.shape().rank() == 2 && part.count() > 0,
            "{}: '{}' must be a matrix of packed numbers, not of shape {}", where, name,
            part.shape());
    return part;
  }
  void check(std::string_view name, const Tensor& part, const Shape& expected) const {
    require(part.shape() == expected, "{}: '{}' has shape {}; its weight's says {}", where, name,
            part.shape(), expected);
  }
  /// The f32 values of a matrix of scales.
  Tensor scales(std::string_view name) const {
    const Tensor& part = at(name, {DType::f16, DType::bf16, DType::f32});
    require(part.shape().rank() == 2, "{}: '{}' must be a matrix, not of shape {}", where, name,
            part.shape());
    return dequantized(part);
  }
};

const uint32_t* words_of(const Tensor& tensor) {
  return reinterpret_cast<const uint32_t*>(tensor.as<int32_t>().data());
}

/// Which group each column belongs to: what g_idx says, or runs of equal length.
std::vector<int32_t> groups_of_columns(const Parts& parts, std::string_view name, int64_t cols,
                                       int64_t groups) {
  std::vector<int32_t> group_of(static_cast<size_t>(cols));
  const Tensor* index = parts.find(name);
  if (index == nullptr) {
    require(groups > 0 && cols % groups == 0, "{}: {} inputs do not make {} groups", parts.where,
            cols, groups);
    for (int64_t c = 0; c < cols; ++c) {
      group_of[static_cast<size_t>(c)] = static_cast<int32_t>(c / (cols / groups));
    }
    return group_of;
  }
  parts.check(name, parts.at(name, {DType::i32}), {cols});
  std::copy_n(index->as<int32_t>().begin(), cols, group_of.begin());
  for (int32_t group : group_of) {
    require(0 <= group && group < groups, "{}: '{}' names group {} of {}", parts.where, name, group,
            groups);
  }
  return group_of;
}

/// level(row, col) for all of them, in parallel.
template <typename Level>
void fill_levels(LevelsAndScales& w, const Level& level) {
  w.levels.resize(static_cast<size_t>(w.rows * w.cols));
  parallel_ranges(w.rows, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      int16_t* to = &w.levels[static_cast<size_t>(row * w.cols)];
      for (int64_t col = 0; col < w.cols; ++col) to[col] = static_cast<int16_t>(level(row, col));
    }
  });
}

/// Scales [groups, rows] as [rows, groups].
std::vector<float> turned(const Tensor& scales) {
  const int64_t groups = scales.shape()[0], rows = scales.shape()[1];
  std::vector<float> result(static_cast<size_t>(groups * rows));
  for (int64_t i = 0; i < groups * rows; ++i) {
    result[static_cast<size_t>(i % rows * groups + i / rows)] =
        scales.f32()[static_cast<size_t>(i)];
  }
  return result;
}

/// Codes packed along inputs, zeros along outputs.
LevelsAndScales read_gptq(const Parts& parts, int bits, const Shape& shape, int zero_offset) {
  const Tensor scales = parts.scales("scales");
  LevelsAndScales w{shape[0], shape[1], scales.shape()[0], {}, {}, {}};
  const Tensor &codes = parts.words("qweight"), &zeros = parts.words("qzeros");
  parts.check("scales", scales, {w.groups, w.rows});
  parts.check("qzeros", zeros, {w.groups, w.rows * bits / 32});
  w.scales = turned(scales);
  w.group_of = groups_of_columns(parts, "g_idx", w.cols, w.groups);
  fill_levels(w, [&](int64_t row, int64_t col) {
    const int64_t group = w.group_of[static_cast<size_t>(col)];
    const BitStream column{words_of(codes) + row, w.rows, bits};
    const BitStream zero{words_of(zeros) + group * (w.rows * bits / 32), 1, bits};
    return column[col] - zero[row] - zero_offset;
  });
  return w;
}

/// Codes and zeros packed along outputs.
LevelsAndScales read_awq(const Parts& parts, const Shape& shape) {
  const Tensor scales = parts.scales("scales");
  LevelsAndScales w{shape[0], shape[1], scales.shape()[0], {}, {}, {}};
  const Tensor &codes = parts.words("qweight"), &zeros = parts.words("qzeros");
  parts.check("scales", scales, {w.groups, w.rows});
  parts.check("qzeros", zeros, {w.groups, w.rows / 8});
  w.scales = turned(scales);
  w.group_of = groups_of_columns(parts, "", w.cols, w.groups);
  fill_levels(w, [&](int64_t row, int64_t col) {
    const int64_t place = row / 8 * 8 + kAwqPlaces[static_cast<size_t>(row % 8)];
    const int64_t group = w.group_of[static_cast<size_t>(col)];
    const BitStream line{words_of(codes) + col * (w.rows / 8), 1, 4};
    const BitStream zero{words_of(zeros) + group * (w.rows / 8), 1, 4};
    return line[place] - zero[place];
  });
  return w;
}

/// Codes packed along inputs, row by row, as signed numbers moved up by half their range.
LevelsAndScales read_compressed(const Parts& parts, const Shape& shape) {
  const Tensor scales = parts.scales("weight_scale");
  LevelsAndScales w{shape[0], shape[1], scales.shape()[1], {}, {}, {}};
  const Tensor& codes = parts.words("weight_packed");
  const Tensor* zeros = parts.find("weight_zero_point");
  const int bits = bits_of_compressed(codes, w.cols);
  parts.check("weight_scale", scales, {w.rows, w.groups});
  if (zeros) {
    parts.check("weight_zero_point", parts.words("weight_zero_point"),
                {words_for(w.rows, bits), w.groups});
  }
  w.scales.assign(scales.f32().begin(), scales.f32().end());
  w.group_of = groups_of_columns(parts, "weight_g_idx", w.cols, w.groups);
  fill_levels(w, [&](int64_t row, int64_t col) {
    const BitStream line{words_of(codes) + row * codes.shape()[1], 1, bits};
    if (zeros == nullptr) return line[col] - (1 << (bits - 1));
    const int64_t group = w.group_of[static_cast<size_t>(col)];
    return line[col] - BitStream{words_of(*zeros) + group, w.groups, bits}[row];
  });
  return w;
}

/// The smallest block type whose levels are among these and whose scales fit; nullopt: none.
std::optional<DType> exact_type(const LevelsAndScales& w) {
  if (w.cols % 32 != 0) return std::nullopt;
  for (int64_t c = 0; c < w.cols; ++c) {
    const auto first = static_cast<size_t>(c / 32 * 32);
    if (w.group_of[static_cast<size_t>(c)] != w.group_of[first]) return std::nullopt;
  }
  for (float scale : w.scales) {
    if (to_float(to_float16(scale)) != scale) return std::nullopt;
  }
  auto [low, high] = std::minmax_element(w.levels.begin(), w.levels.end());
  for (DType dtype : {DType::q4_0, DType::q5_0, DType::q8_0}) {
    const BlockFormat& format = block_format(dtype);
    if (*low >= level(format, 0) && *high <= level(format, format.max_code())) return dtype;
  }
  return std::nullopt;
}

Tensor in_blocks(const LevelsAndScales& w, DType dtype) {
  Tensor result(dtype, {w.rows, w.cols}, false);
  const BlockFormat& format = block_format(dtype);
  parallel_ranges(w.rows, kGrain, [&](int64_t begin, int64_t end) {
    Block block{};
    for (int64_t i = begin * w.cols; i < end * w.cols; i += format.values) {
      block.d = to_float16(w.scale(i / w.cols, i % w.cols)).bits;
      for (int64_t j = 0; j < format.values; ++j) {
        block.codes[static_cast<size_t>(j)] =
            static_cast<uint8_t>(w.levels[static_cast<size_t>(i + j)] + format.zero);
      }
      write_block(format, block, result.data() + i / format.values * format.bytes);
    }
  });
  return result;
}

Tensor in_f32(const LevelsAndScales& w) {
  Tensor result(DType::f32, {w.rows, w.cols}, false);
  parallel_ranges(w.rows, kGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin * w.cols; i < end * w.cols; ++i) {
      result.f32()[static_cast<size_t>(i)] =
          w.scale(i / w.cols, i % w.cols) * static_cast<float>(w.levels[static_cast<size_t>(i)]);
    }
  });
  return result;
}

}  // namespace

Shape integer_weight_shape(IntegerLayout layout, int bits, const FindPart& find,
                           const std::string& where) {
  const Parts parts{find, where};
  if (layout == IntegerLayout::compressed) {
    const Tensor& words = parts.words("weight_packed");
    const Tensor& extents = parts.at("weight_shape", {DType::i64});
    parts.check("weight_shape", extents, {2});
    const int64_t cols = extents.as<int64_t>()[1];
    require(extents.as<int64_t>()[0] == words.shape()[0] && bits_of_compressed(words, cols) <= 8 &&
                words.shape()[1] == words_for(cols, bits_of_compressed(words, cols)),
            "{}: 'weight_shape' [{}, {}] does not fit 'weight_packed' of shape {}", where,
            extents.as<int64_t>()[0], cols, words.shape());
    return {words.shape()[0], cols};
  }
  const Tensor& words = parts.words("qweight");
  const int64_t first = words.shape()[0], second = words.shape()[1];
  if (layout == IntegerLayout::awq) {
    require(bits == 4, "{}: AWQ weights of {} bits are not read, only of 4", where, bits);
    return {second * 8, first};
  }
  require(bits == 2 || bits == 3 || bits == 4 || bits == 8,
          "{}: GPTQ weights of {} bits are not read", where, bits);
  require(first % bits == 0 && second % 32 == 0,
          "{}: 'qweight' of shape {} holds no {}-bit numbers", where, words.shape(), bits);
  return {second, first / bits * 32};
}

Tensor integer_weight(IntegerLayout layout, int bits, const FindPart& find,
                      const std::string& where) {
  const Shape shape = integer_weight_shape(layout, bits, find, where);
  const Parts parts{find, where};
  const LevelsAndScales w =
      layout == IntegerLayout::awq ? read_awq(parts, shape)
      : layout == IntegerLayout::compressed
          ? read_compressed(parts, shape)
          : read_gptq(parts, bits, shape, layout == IntegerLayout::gptq ? 1 : 0);
  const std::optional<DType> dtype = exact_type(w);
  return dtype ? in_blocks(w, *dtype) : in_f32(w);
}

}  // namespace millrace
