#include "millrace/formats/safetensors.h"

#include <gtest/gtest.h>

#include "tests/formats/scratch_folder.h"

namespace millrace {
namespace {

class Safetensors : public ScratchFolderTest {};

/// One tensor of each dtype that the format knows, with bytes that differ.
std::vector<TensorSource> one_of_each() {
  std::vector<TensorSource> tensors;
  uint8_t next = 1;
  for (DType dtype : {DType::u8, DType::f64, DType::f32, DType::boolean, DType::f16, DType::bf16,
                      DType::i64, DType::i32, DType::i16, DType::i8}) {
    Tensor tensor(dtype, {3, 5});
    for (size_t i = 0; i < tensor.bytes(); ++i) tensor.data()[i] = std::byte{next++};
    tensors.emplace_back(fmt::format("t.{}", info(dtype).name), tensor);
  }
  tensors.emplace_back("scalar", Tensor::from({}, std::vector<float>{2.5f}));
  tensors.emplace_back("empty", Tensor(DType::f32, {0, 7}));
  return tensors;
}

TEST_F(Safetensors, WhatIsWrittenIsReadBitForBit) {
  std::vector<TensorSource> sources = one_of_each();
  write_safetensors(folder() / "a.safetensors", sources, {{"format", "pt"}, {"note", "\"春\"\n"}});
  SafetensorsFile file = read_safetensors(folder() / "a.safetensors");
  EXPECT_EQ(file.metadata, (SafetensorsMetadata{{"format", "pt"}, {"note", "\"春\"\n"}}));
  ASSERT_EQ(file.tensors.size(), sources.size());
  for (const TensorSource& source : sources)
    expect_same(file.tensors.at(source.name), source.load());
}

TEST_F(Safetensors, DataBeginsAt64AndEveryTensorIsAligned) {
  write_safetensors(folder() / "a.safetensors", one_of_each());
  MappedFile mapping(folder() / "a.safetensors");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, mapping.bytes().data(), 8);
  EXPECT_EQ((8 + header_bytes) % 64, 0u);
  SafetensorsFile file = read_safetensors(folder() / "a.safetensors");
  for (const NamedTensor& entry : file.tensors) {
    auto width = static_cast<uintptr_t>(info(entry.tensor.dtype()).block_bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(entry.tensor.data()) % width, 0u) << entry.name;
  }
}

TEST_F(Safetensors, AFolderIsShardedBySizeAndReadBack) {
  std::vector<TensorSource> sources = one_of_each();
  write_safetensors_folder(folder(), sources, {}, 200);
  EXPECT_FALSE(std::filesystem::exists(folder() / "model.safetensors"));
  SafetensorsFile file = read_safetensors_folder(folder());
  EXPECT_EQ(file.metadata.at("format"), "pt");
  ASSERT_EQ(file.tensors.size(), sources.size());
  for (const TensorSource& source : sources)
    expect_same(file.tensors.at(source.name), source.load());
  file.tensors.drop_pages(file.tensors.at("t.f64"));
  expect_same(file.tensors.at("t.f64"), sources[1].load());

  write_safetensors_folder(folder(), sources);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder()), {}), 1);
  EXPECT_EQ(read_safetensors_folder(folder()).tensors.size(), sources.size());
}

}  // namespace
}  // namespace millrace
