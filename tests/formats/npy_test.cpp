#include "millrace/formats/npy.h"

#include <gtest/gtest.h>

#include <cstring>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

TEST(Npy, IsAMatrixBehindAHeaderOfWholeLines) {
  const ScratchFolder folder;
  write_npy(folder / "x.npy", std::vector<std::vector<float>>{{1, 2, 3}, {4, 5, 6}});
  const std::string bytes = read_file(folder / "x.npy");
  EXPECT_TRUE(bytes.starts_with(std::string_view("\x93NUMPY\x01\x00", 8)));
  const size_t data = 10 + static_cast<unsigned char>(bytes[8]);
  EXPECT_EQ(bytes[9], 0);
  EXPECT_EQ(data % 64, 0u);
  EXPECT_EQ(bytes[data - 1], '\n');
  EXPECT_NE(bytes.find("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }"),
            std::string::npos);
  ASSERT_EQ(bytes.size(), data + 24);
  float values[6];
  std::memcpy(values, bytes.data() + data, sizeof values);
  for (int i = 0; i < 6; ++i) EXPECT_EQ(values[i], static_cast<float>(i + 1));
}

TEST(Npy, RowsAreOfOneLength) {
  const ScratchFolder folder;
  EXPECT_THROW(write_npy(folder / "x.npy", std::vector<std::vector<float>>{{1}, {2, 3}}), Error);
  EXPECT_FALSE(std::filesystem::exists(folder / "x.npy"));
}

}  // namespace
}  // namespace millrace
