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

/// A panel is a row of records; a record holds the scales of one block of the file, or of two so
/// that they fill loads, then the codes. So the inner loop reads one stream of bytes in ascending
/// order, which is what processors fetch ahead best: with scales kept apart from codes a thread
/// reads less than half as fast (docs/lab.md). The last record may be cut short.
///
/// Scales: d[16] and, with mins, m[16] in f16; with integer scales then for each group scale[16]
/// and, with mins, min[16] in a byte each. q2_k, whose scales and mins have four bits, keeps both
/// in one byte.
///
/// Codes: for each 32 values of k first a plane of the low bits, then one of the high bits. A plane
/// of b bits is b loads of 64 bytes; byte 4 j + i of load v keeps in its bits [b f, b f + b) those
/// of value 4 (f b + v) + i of output j.
struct PanelLayout {
  int code_bytes;    // of 32 values of k
  int span;          // blocks of 32 values in a block of the file
  int blocks;        // blocks of 32 values in a record
  int factor_bytes;  // of d and m
  int group_bytes;   // of the integer scales and mins of one group
  int groups;        // in a block of 32
  int scale_bytes;   // of a block of the file
  bool packed_mins;  // scale and min in one byte

  constexpr int codes_at() const { return blocks / span * scale_bytes; }  ///< in a record
  constexpr int record_bytes() const { return codes_at() + blocks * code_bytes; }
  constexpr int64_t panel_bytes(int64_t k) const {
    int64_t count = k / kQuantBlock, last = count % blocks;
    return count / blocks * record_bytes() + (last > 0 ? codes_at() + last * code_bytes : 0);
  }
};

constexpr PanelLayout panel_layout(const BlockFormat& format) {
  PanelLayout layout{};
  layout.code_bytes = kQuantLoad * format.code_bits();
  layout.span = format.values / kQuantBlock;
  layout.groups = kQuantBlock / format.group_size();
  layout.packed_mins = format.has_scales && format.has_min && format.scale_max < 16;
  layout.factor_bytes = kQuantPanel * 2 * (format.has_min ? 2 : 1);
  bool own_mins = format.has_min && !layout.packed_mins;
  if (format.has_scales) layout.group_bytes = kQuantPanel * (own_mins ? 2 : 1);
  layout.scale_bytes = layout.factor_bytes + format.groups * layout.group_bytes;
  layout.blocks = layout.span * (layout.scale_bytes % kQuantLoad == 0 ? 1 : 2);
  return layout;
}

/// Writes up to 16 rows of k values in the file's blocks, `row_bytes` apart, into a panel; the
/// outputs that are missing become zero.
void pack_panel(const BlockFormat& format, const std::byte* rows, int count, int64_t row_bytes,
                int64_t k, std::byte* panel);

/// Block `index` (of the file's size) of output j of a panel.
void read_panel_block(const BlockFormat& format, const std::byte* panel, int64_t index, int j,
                      Block& block);

}  // namespace millrace
