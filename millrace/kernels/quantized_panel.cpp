#include "millrace/kernels/quantized_panel.h"

#include <cstring>

namespace millrace {
namespace {

uint32_t four_masks(int bits) {
  return 0x01010101u * ((1u << bits) - 1);
}

uint32_t load_four(const void* from) {
  uint32_t bytes;
  std::memcpy(&bytes, from, 4);
  return bytes;
}

/// Bits [above, above + bits) of 32 codes into output j of a plane of zeros; returns its end.
std::byte* place_plane(const uint8_t* codes, int bits, int above, int j, std::byte* plane) {
  for (int step = 0; step < kQuantSteps && bits > 0; ++step) {
    std::byte* to = plane + step % bits * kQuantLoad + 4 * j;
    uint32_t part = (load_four(codes + 4 * step) >> above) & four_masks(bits);
    uint32_t whole = load_four(to) | part << (step / bits * bits);
    std::memcpy(to, &whole, 4);
  }
  return plane + bits * kQuantLoad;
}

/// The inverse, onto 32 codes of zero.
const std::byte* gather_plane(const std::byte* plane, int bits, int above, int j, uint8_t* codes) {
  for (int step = 0; step < kQuantSteps && bits > 0; ++step) {
    const std::byte* from = plane + step % bits * kQuantLoad + 4 * j;
    uint32_t part = (load_four(from) >> (step / bits * bits)) & four_masks(bits);
    uint32_t whole = load_four(codes + 4 * step) | part << above;
    std::memcpy(codes + 4 * step, &whole, 4);
  }
  return plane + bits * kQuantLoad;
}

/// Where in a panel a block of the file has its scales and its codes.
struct Place {
  int64_t scales, codes;
};

Place place_of(const PanelLayout& layout, int64_t index) {
  const int64_t first = index * layout.span;  // of its blocks of 32 values
  const int64_t record = first / layout.blocks * layout.record_bytes();
  const int64_t before = first % layout.blocks;  // in the record
  return {record + before / layout.span * layout.scale_bytes,
          record + layout.codes_at() + before * layout.code_bytes};
}

void place_scales(const BlockFormat& format, const Block& block, int j, std::byte* record) {
  PanelLayout layout = panel_layout(format);
  std::memcpy(record + 2 * j, &block.d, 2);
  record += 2 * kQuantPanel;
  if (format.has_min) {
    std::memcpy(record + 2 * j, &block.m, 2);
    record += 2 * kQuantPanel;
  }
  for (size_t g = 0; g < static_cast<size_t>(format.groups) && format.has_scales; ++g) {
    std::byte* group = record + static_cast<int>(g) * layout.group_bytes;
    if (layout.packed_mins) {
      group[j] = static_cast<std::byte>(block.scales[g] | block.mins[g] << 4);
    } else {
      group[j] = static_cast<std::byte>(block.scales[g]);
      if (format.has_min) group[kQuantPanel + j] = static_cast<std::byte>(block.mins[g]);
    }
  }
}

void gather_scales(const BlockFormat& format, const std::byte* record, int j, Block& block) {
  PanelLayout layout = panel_layout(format);
  std::memcpy(&block.d, record + 2 * j, 2);
  record += 2 * kQuantPanel;
  block.m = 0;
  if (format.has_min) {
    std::memcpy(&block.m, record + 2 * j, 2);
    record += 2 * kQuantPanel;
  }
  block.scales.fill(1);
  block.mins.fill(-1);
  for (size_t g = 0; g < static_cast<size_t>(format.groups) && format.has_scales; ++g) {
    const std::byte* group = record + static_cast<int>(g) * layout.group_bytes;
    auto first = std::to_integer<uint8_t>(group[j]);
    if (layout.packed_mins) {
      block.scales[g] = static_cast<int8_t>(first & 15);
      block.mins[g] = static_cast<int8_t>(first >> 4);
    } else {
      block.scales[g] = static_cast<int8_t>(first);
      if (format.has_min) block.mins[g] = static_cast<int8_t>(group[kQuantPanel + j]);
    }
  }
}

}  // namespace

void pack_panel(const BlockFormat& format, const std::byte* rows, int count, int64_t row_bytes,
                int64_t k, std::byte* panel) {
  PanelLayout layout = panel_layout(format);
  std::memset(panel, 0, static_cast<size_t>(layout.panel_bytes(k)));
  Block block;
  for (int64_t index = 0; index < k / format.values; ++index) {
    for (int j = 0; j < count; ++j) {
      read_block(format, rows + j * row_bytes + index * format.bytes, block);
      Place place = place_of(layout, index);
      place_scales(format, block, j, panel + place.scales);
      for (int i = 0; i < layout.span; ++i) {
        const uint8_t* codes = &block.codes[static_cast<size_t>(i * kQuantBlock)];
        std::byte* plane = panel + place.codes + i * layout.code_bytes;
        plane = place_plane(codes, format.low_bits, 0, j, plane);
        place_plane(codes, format.high_bits, format.low_bits, j, plane);
      }
    }
  }
}

void read_panel_block(const BlockFormat& format, const std::byte* panel, int64_t index, int j,
                      Block& block) {
  PanelLayout layout = panel_layout(format);
  Place place = place_of(layout, index);
  gather_scales(format, panel + place.scales, j, block);
  block.codes.fill(0);
  for (int i = 0; i < layout.span; ++i) {
    uint8_t* codes = &block.codes[static_cast<size_t>(i * kQuantBlock)];
    const std::byte* plane = panel + place.codes + i * layout.code_bytes;
    plane = gather_plane(plane, format.low_bits, 0, j, codes);
    gather_plane(plane, format.high_bits, format.low_bits, j, codes);
  }
}

}  // namespace millrace
