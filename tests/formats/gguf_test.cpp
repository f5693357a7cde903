#include "millrace/formats/gguf.h"

#include <gtest/gtest.h>

#include "tests/formats/scratch_folder.h"

namespace millrace {
namespace {

class Gguf : public ScratchFolderTest {};

std::vector<TensorSource> one_of_each() {
  std::vector<TensorSource> tensors;
  uint8_t next = 1;
  for (int i = 0; i <= static_cast<int>(DType::iq4_xs); ++i) {
    auto dtype = static_cast<DType>(i);
    if (dtype == DType::u8 || dtype == DType::boolean) continue;  // GGUF has neither
    Tensor tensor(dtype, {3, info(dtype).block_size});
    for (size_t j = 0; j < tensor.bytes(); ++j) tensor.data()[j] = std::byte{next++};
    tensors.emplace_back(fmt::format("blk.0.{}", info(dtype).name), tensor);
  }
  return tensors;
}

GgufMetadata every_type() {
  GgufMetadata metadata;
  metadata.set("general.architecture", std::string("llama"));
  metadata.set("u8", uint8_t{200});
  metadata.set("i8", int8_t{-100});
  metadata.set("u16", uint16_t{60000});
  metadata.set("i16", int16_t{-30000});
  metadata.set("u32", uint32_t{4000000000});
  metadata.set("i32", int32_t{-2000000000});
  metadata.set("f32", 1.5f);
  metadata.set("bool", true);
  metadata.set("u64", uint64_t{1} << 63);
  metadata.set("i64", int64_t{-1} << 62);
  metadata.set("f64", 0.1);
  metadata.set_array("strings", std::vector<std::string>{"a", "", "春眠", std::string("\0b", 2)});
  metadata.set_array("floats", std::vector<float>{1, 2, 3});
  metadata.set_array("bools", std::vector<bool>{true, false});
  metadata.set_array("nested", std::vector<GgufArray>{{std::vector<int32_t>{1, 2}},
                                                      {std::vector<std::string>{"x"}}});
  return metadata;
}

TEST_F(Gguf, WhatIsWrittenIsReadBitForBit) {
  std::vector<TensorSource> sources = one_of_each();
  GgufMetadata metadata = every_type();
  auto written = write_gguf(folder() / "a.gguf", metadata, sources);
  ASSERT_EQ(written, std::vector{folder() / "a.gguf"});
  GgufFile file = read_gguf(written[0]);
  EXPECT_EQ(file.version, 3u);
  EXPECT_TRUE(
      std::equal(file.metadata.begin(), file.metadata.end(), metadata.begin(), metadata.end()));
  ASSERT_EQ(file.tensors.size(), sources.size());
  auto entry = file.tensors.begin();
  for (const TensorSource& source : sources) {
    EXPECT_EQ(entry->name, source.name);
    expect_same(entry->tensor, source.load());
    EXPECT_EQ(reinterpret_cast<uintptr_t>(entry->tensor.data()) % 32, 0u);
    ++entry;
  }
}

TEST_F(Gguf, ASplitModelIsReadThroughItsFirstPart) {
  std::vector<TensorSource> sources = one_of_each();
  auto written = write_gguf(folder() / "a.gguf", every_type(), sources, 1000);
  ASSERT_GT(written.size(), 2u);
  GgufFile file = read_gguf(written[0]);
  ASSERT_EQ(file.tensors.size(), sources.size());
  for (const TensorSource& source : sources)
    expect_same(file.tensors.at(source.name), source.load());
  EXPECT_NE(error_of([&] { read_gguf(written[1]); }).find("open the first"), std::string::npos);
  std::filesystem::remove(written[2]);
  EXPECT_NE(error_of([&] { read_gguf(written[0]); }).find(written[2].string()), std::string::npos);
}

}  // namespace
}  // namespace millrace
