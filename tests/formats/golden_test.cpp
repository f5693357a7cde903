// Files that the Python libraries of each format wrote (tools/make_format_goldens.py).
#include <gtest/gtest.h>

#include "millrace/formats/gguf.h"
#include "millrace/formats/safetensors.h"
#include "tests/formats/format_test.h"

namespace millrace {
namespace {

const std::filesystem::path kGolden =
    std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/formats";

/// The rule by which the script fills tensors.
void expect_pattern(const NamedTensor& entry) {
  for (size_t i = 0; i < entry.tensor.bytes(); ++i) {
    auto expected = static_cast<uint8_t>((37 * i + 11 * entry.name.size()) % 251);
    if (entry.tensor.dtype() == DType::boolean) expected &= 1;
    ASSERT_EQ(std::to_integer<uint8_t>(entry.tensor.data()[i]), expected)
        << entry.name << " byte " << i;
  }
}

TEST(SafetensorsGolden, HasEveryDtype) {
  SafetensorsFile file = read_safetensors(kGolden / "plain.safetensors");
  EXPECT_EQ(file.metadata, (SafetensorsMetadata{{"format", "pt"}, {"note", "春眠 \"不觉晓\"\n"}}));
  EXPECT_EQ(file.tensors.size(), 13u);
  for (const NamedTensor& entry : file.tensors) expect_pattern(entry);
  for (DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32,
                      DType::i16, DType::i8, DType::u8, DType::boolean}) {
    const Tensor& tensor = file.tensors.at(fmt::format("{}.weight", info(dtype).name));
    EXPECT_EQ(tensor.dtype(), dtype);
    EXPECT_EQ(tensor.shape(), (Shape{3, 5}));
  }
  EXPECT_EQ(file.tensors.at("scalar").shape(), Shape());
  EXPECT_EQ(file.tensors.at("empty").shape(), (Shape{0, 4}));
  EXPECT_EQ(file.tensors.at("four").shape(), (Shape{2, 1, 3, 2}));
}

TEST(SafetensorsGolden, AnUnknownDtypeIsNamed) {
  std::string error = error_of([] { read_safetensors(kGolden / "complex.safetensors"); });
  EXPECT_NE(error.find("complex.safetensors: tensor 'odd'"), std::string::npos) << error;
  EXPECT_NE(error.find("'C64'"), std::string::npos) << error;
}

TEST(SafetensorsGolden, AShardedFolderIsOneTable) {
  SafetensorsFile file = read_safetensors_folder(kGolden / "sharded");
  ASSERT_EQ(file.tensors.size(), 7u);
  for (int i = 0; i < 7; ++i) {
    EXPECT_EQ(file.tensors.at(fmt::format("layers.{}.weight", i)).shape(), (Shape{4, 8}));
  }
  for (const NamedTensor& entry : file.tensors) expect_pattern(entry);
}

void expect_plain_gguf(const GgufFile& file) {
  const GgufMetadata& metadata = file.metadata;
  EXPECT_EQ(metadata.get<std::string>("general.architecture"), "llama");
  EXPECT_EQ(*metadata.find("test.u8"), GgufValue(uint8_t{200}));
  EXPECT_EQ(*metadata.find("test.i8"), GgufValue(int8_t{-100}));
  EXPECT_EQ(*metadata.find("test.u16"), GgufValue(uint16_t{60000}));
  EXPECT_EQ(*metadata.find("test.i16"), GgufValue(int16_t{-30000}));
  EXPECT_EQ(*metadata.find("test.u32"), GgufValue(uint32_t{4000000000}));
  EXPECT_EQ(*metadata.find("test.i32"), GgufValue(int32_t{-2000000000}));
  EXPECT_EQ(*metadata.find("test.f32"), GgufValue(1.5f));
  EXPECT_EQ(*metadata.find("test.bool"), GgufValue(true));
  EXPECT_EQ(*metadata.find("test.string"), GgufValue(std::string("春眠不觉晓")));
  EXPECT_EQ(*metadata.find("test.u64"), GgufValue(uint64_t{1} << 63));
  EXPECT_EQ(*metadata.find("test.i64"), GgufValue(-(int64_t{1} << 62)));
  EXPECT_EQ(*metadata.find("test.f64"), GgufValue(0.1));
  EXPECT_EQ(metadata.get_array<std::string>("test.strings"),
            (std::vector<std::string>{"a", "", "春眠", std::string("\0b", 2)}));
  EXPECT_EQ(metadata.get_array<int32_t>("test.integers"), (std::vector<int32_t>{1, -2, 3}));
  EXPECT_EQ(metadata.get_array<float>("test.floats"), (std::vector<float>{0.5f, -2.0f}));
  EXPECT_EQ(metadata.get_array<bool>("test.bools"), (std::vector<bool>{true, false, true}));
}

void expect_every_ggml_type(const GgufFile& file) {
  ASSERT_EQ(file.tensors.size(), 20u);
  for (const NamedTensor& entry : file.tensors) {
    EXPECT_EQ(entry.tensor.dtype(), dtype_from_name(entry.name.substr(4))) << entry.name;
    int block = info(entry.tensor.dtype()).block_size;
    EXPECT_EQ(entry.tensor.shape(), (Shape{2, block == 1 ? 3 : block})) << entry.name;
    expect_pattern(entry);
  }
}

TEST(GgufGolden, HasEveryTypeInEachVersionAndAlignment) {
  for (const char* name : {"plain.gguf", "version2.gguf", "aligned.gguf"}) {
    GgufFile file = read_gguf(kGolden / name);
    EXPECT_EQ(file.version, std::string(name) == "version2.gguf" ? 2u : 3u);
    expect_plain_gguf(file);
    expect_every_ggml_type(file);
  }
}

TEST(GgufGolden, SplitPartsAreOneTable) {
  GgufFile file = read_gguf(kGolden / "split-00001-of-00003.gguf");
  expect_plain_gguf(file);
  ASSERT_EQ(file.tensors.size(), 5u);
  for (const NamedTensor& entry : file.tensors) {
    EXPECT_EQ(entry.tensor.shape(), (Shape{4, 3}));
    expect_pattern(entry);
  }
}

TEST(GgufGolden, UnsupportedFilesAreExplained) {
  std::string big = error_of([] { read_gguf(kGolden / "big_endian.gguf"); });
  EXPECT_NE(big.find("big_endian.gguf: is a big-endian GGUF"), std::string::npos) << big;
  std::string type = error_of([] { read_gguf(kGolden / "unknown_type.gguf"); });
  EXPECT_NE(type.find("tensor 'odd': has the ggml type 16"), std::string::npos) << type;
}

}  // namespace
}  // namespace millrace
