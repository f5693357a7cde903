// How a quantised weight lies in memory for the inner loops: panels of 16 outputs whose codes are
// cut into planes of bits, so that one 64-byte load holds 16 outputs times 4 values of k.
#pragma once

#include <cstddef>
#include <cstdint>

#include "millrace/tensor/block_format.h"

namespace millrace {

constexpr int kQuantPanel = 16;  ///< outputs side by side
constexpr int kQuantBlock = 32;  ///< values of k that are multiplied before floats come in
constexpr int kQuantSteps = 8;   ///< loads of 16 outputs × 4 values in a block
constexpr int kQuantLoad = 64;   ///< bytes of one

/// A panel holds the codes of all its blocks, then the scales of all of them.
///
/// Codes: for each 32 values of k first a plane of the low bits, then one of the high bits. A plane
/// of b bits is b loads of 64 bytes; byte 4 j + i of load v keeps in its bits [b f, b f + b) those
/// of value 4 (f b + v) + i of output j.
///
/// Scales: for each block of the file d[16] and, with mins, m[16] in f16; with integer scales then
/// for each group scale[16] and, with mins, min[16] in a byte each. q2_k, whose scales and mins
/// have four bits, keeps both in one byte.
struct PanelLayout {
  int code_bytes;    // of 32 values of k
  int span;          // blocks of 32 values that share d and m
  int scale_bytes;   // of a span
  int group_bytes;   // of the integer scales and mins of one group
  int groups;        // in a block of 32
  bool packed_mins;  // scale and min in one byte

  constexpr int64_t panel_bytes(int64_t k) const {
    int64_t bytes = k / kQuantBlock * code_bytes + k / (kQuantBlock * span) * scale_bytes;
    return (bytes + kQuantLoad - 1) / kQuantLoad * kQuantLoad;
  }
};

constexpr PanelLayout panel_layout(const BlockFormat& format) {
  PanelLayout layout{};
  layout.code_bytes = kQuantLoad * format.code_bits();
  layout.span = format.values / kQuantBlock;
  layout.groups = kQuantBlock / format.group_size();
  layout.packed_mins = format.has_scales && format.has_min && format.scale_max < 16;
  bool own_mins = format.has_min && !layout.packed_mins;
  if (format.has_scales) layout.group_bytes = kQuantPanel * (own_mins ? 2 : 1);
  layout.scale_bytes =
      kQuantPanel * 2 * (format.has_min ? 2 : 1) + format.groups * layout.group_bytes;
  return layout;
}

/// Writes up to 16 rows of k values in the file's blocks, `row_bytes` apart, into a panel; the
/// outputs that are missing become zero.
void pack_panel(const BlockFormat& format, const std::byte* rows, int count, int64_t row_bytes,
                int64_t k, std::byte* panel);

/// Block `index` (of the file's size) of output j of a panel.
void read_panel_block(const BlockFormat& format, const std::byte* panel, int64_t k, int64_t index,
                      int j, Block& block);

}  // namespace millrace
