#include "millrace/formats/npy.h"

#include <fmt/format.h>

#include <bit>

#include "millrace/base/error.h"
#include "millrace/base/file.h"

namespace millrace {

static_assert(std::endian::native == std::endian::little);

void write_npy(const std::filesystem::path& path, std::span<const std::vector<float>> rows) {
  const size_t width = rows.empty() ? 0 : rows.front().size();
  std::string header = fmt::format(
      "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows.size(), width);
  constexpr size_t kBefore = 10, kAlignment = 64;  // magic, version and the header's own length
  const size_t unpadded = kBefore + header.size() + 1;
  header.append((kAlignment - unpadded % kAlignment) % kAlignment, ' ');
  header += '\n';
  FileWriter file(path);
  file.write(std::string_view("\x93NUMPY\x01\x00", 8));
  const auto length = static_cast<uint16_t>(header.size());
  file.write(std::as_bytes(std::span(&length, 1)));
  file.write(header);
  for (const std::vector<float>& row : rows) {
    require(row.size() == width, "{}: rows of {} and {} numbers", path.string(), width, row.size());
    file.write(std::as_bytes(std::span(row)));
  }
  file.commit();
}

}  // namespace millrace
