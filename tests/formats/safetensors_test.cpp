#include "millrace/formats/safetensors.h"

#include <gtest/gtest.h>

#include "tests/formats/format_test.h"

namespace millrace {
namespace {

class Safetensors : public FormatTest {};

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

TEST_F(Safetensors, TheWriterRefusesWhatTheFormatCannotHold) {
  std::vector<TensorSource> twice = {{"a", Tensor(DType::f32, {2})},
                                     {"a", Tensor(DType::f32, {2})}};
  std::vector<TensorSource> blocks = {{"a", Tensor(DType::q8_0, {32})}};
  std::vector<TensorSource> liar = {{"a", DType::f32, {2}, [] { return Tensor(DType::f32, {3}); }}};
  const auto path = folder() / "a.safetensors";
  EXPECT_NE(error_of([&] { write_safetensors(path, twice); }).find("named 'a'"), std::string::npos);
  EXPECT_NE(error_of([&] { write_safetensors(path, blocks); }).find("q8_0"), std::string::npos);
  EXPECT_NE(error_of([&] { write_safetensors(path, liar); }).find("[3]"), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(folder()));
}

TEST_F(Safetensors, ASourceIsLoadedOnceAndReleasedBeforeTheNext) {
  std::weak_ptr<Storage> last;
  int loads = 0;
  auto load = [&] {
    EXPECT_TRUE(last.expired());
    Tensor tensor(DType::f32, {1000});
    last = tensor.storage();
    ++loads;
    return tensor;
  };
  std::vector<TensorSource> sources;
  for (int i = 0; i < 5; ++i) {
    sources.emplace_back(fmt::format("t{}", i), DType::f32, Shape{1000}, load);
  }
  write_safetensors_folder(folder(), sources, {}, 9000);
  EXPECT_EQ(loads, 5);
}

/// A file of this header and so many bytes of data.
std::string file_of(const std::string& header, size_t data_bytes) {
  uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + header +
         std::string(data_bytes, '\1');
}

std::string parse_error(const std::string& header, size_t data_bytes) {
  std::string bytes = file_of(header, data_bytes);
  return error_of([&] { parse_safetensors(std::as_bytes(std::span(bytes)), "x", nullptr); });
}

TEST(SafetensorsHeader, EachFaultIsNamed) {
  struct Case {
    const char* header;
    size_t data_bytes;
    const char* message;
  };
  const Case cases[] = {
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 9, "bytes of no tensor"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})", 7, "the file is cut off"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9]}})", 9, "cannot have 9 bytes"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}})", 8, "'data_offsets'"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}})", 8, "'data_offsets'"},
      {R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}})", 12, "with a gap after"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
       R"("b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
       6, "tensor 'b' begins at byte 2 of the data, within"},
      {R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},)"
       R"("a":{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
       8, "two tensors are named 'a'"},
      {R"({"a":{"dtype":"U8","dtype":"U8","shape":[1],"data_offsets":[0,1]}})", 1,
       "tensor 'a' has field 'dtype' twice"},
      {R"({"a":{"shape":[1],"data_offsets":[0,1]}})", 1, "tensor 'a' has no field 'dtype'"},
      {R"({"a":{"dtype":"U8","data_offsets":[0,1]}})", 1, "tensor 'a' has no field 'shape'"},
      {R"({"a":{"dtype":"U8","shape":[1]}})", 1, "tensor 'a' has no field 'data_offsets'"},
      {R"({"a":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}})", 1, "the dtype 'F4'"},
      {R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", 1, "in field 'shape'"},
      {R"({"a":{"dtype":"U8","shape":[1.5],"data_offsets":[0,1]}})", 1, "in field 'shape'"},
      {R"({"a":{"dtype":"U8","shape":[[1]],"data_offsets":[0,1]}})", 1, "in field 'shape'"},
      {R"({"a":{"dtype":"U8","shape":1,"data_offsets":[0,1]}})", 1, "in field 'shape'"},
      {R"({"a":{"dtype":"U8","shape":[1,1,1,1,1,1,1,1,1],"data_offsets":[0,1]}})", 1, "at most 4"},
      {R"({"a":{"dtype":"U8","shape":[1,1,2,1,1],"data_offsets":[0,1]}})", 1,
       "cannot have 1 bytes"},
      {R"({"a":{"dtype":"U8","shape":[4294967296,1,4294967296,1,1],"data_offsets":[0,1]}})", 1,
       "more than 2^62"},
      {R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0,
       "more than 2^62"},
      {R"({"a":{"dtype":"U8","shape":[18446744073709551615],"data_offsets":[0,1]}})", 1,
       "the extent 18446744073709551615"},
      {R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":{}}})", 1, "in field 'x'"},
      {R"({"a":[]})", 0, "tensor 'a' is an array, not an object"},
      {R"([])", 0, "header is an array, not an object"},
      {R"(7)", 0, "header is a number, not an object"},
      {R"()", 0, "not valid JSON"},
      {R"({"a":)", 0, "not valid JSON"},
      {"{\"\xff\":{}}", 0, "not valid JSON"},
      {R"({"__metadata__":{"a":1}})", 0, "__metadata__: a number in field 'a'"},
      {R"({"__metadata__":{"a":"1","a":"2"}})", 0, "__metadata__ has 'a' twice"},
      {R"({"__metadata__":{},"__metadata__":{}})", 0, "__metadata__ twice"},
  };
  for (const Case& each : cases) {
    std::string error = parse_error(each.header, each.data_bytes);
    EXPECT_NE(error.find(each.message), std::string::npos) << each.header << "\n" << error;
    EXPECT_TRUE(error.starts_with("x: ")) << error;
  }
}

TEST(SafetensorsHeader, ItsLengthIsLimited) {
  for (uint64_t length : {uint64_t{100'000'001}, ~uint64_t{0}, uint64_t{1} << 63}) {
    std::string bytes(64, ' ');
    std::memcpy(bytes.data(), &length, sizeof length);
    std::string error =
        error_of([&] { parse_safetensors(std::as_bytes(std::span(bytes)), "x", nullptr); });
    EXPECT_NE(error.find("header length"), std::string::npos) << error;
  }
}

TEST(SafetensorsHeader, TensorsThatAreNotAlignedAreCopied) {
  // An f32 after a single byte, as other writers may lay it out.
  std::string bytes = file_of(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},)"
                              R"("b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}})",
                              9);
  SafetensorsFile file = parse_safetensors(std::as_bytes(std::span(bytes)), "x", nullptr);
  const Tensor& b = file.tensors.at("b");
  EXPECT_EQ(reinterpret_cast<uintptr_t>(b.data()) % alignof(float), 0u);
  EXPECT_EQ(std::memcmp(b.data(), bytes.data() + bytes.size() - 8, 8), 0);
}

class SafetensorsFolder : public FormatTest {
 protected:
  void SetUp() override {
    std::vector<TensorSource> sources = one_of_each();
    write_safetensors_folder(folder(), sources, {}, 200);
  }
  std::string read_error() {
    return error_of([&] { read_safetensors_folder(folder()); });
  }
  void write_index(const std::string& text) {
    write_file(folder() / "model.safetensors.index.json", text);
  }
};

TEST_F(SafetensorsFolder, WithoutWeightsIsAnError) {
  std::filesystem::remove(folder() / "model.safetensors.index.json");
  std::string error = read_error();
  EXPECT_NE(error.find("has neither model.safetensors nor"), std::string::npos) << error;
}

TEST_F(SafetensorsFolder, AMissingShardIsNamed) {
  std::filesystem::remove(folder() / "model-00002-of-00003.safetensors");
  std::string error = read_error();
  EXPECT_NE(error.find("shard 'model-00002-of-00003.safetensors' is missing"), std::string::npos)
      << error;
}

TEST_F(SafetensorsFolder, ATensorInTheWrongShardIsNamed) {
  std::string index = read_file(folder() / "model.safetensors.index.json");
  size_t line = index.find("\"t.f64\"");
  size_t digit = index.find("-of-", line) - 1;
  index[digit] = index[digit] == '1' ? '2' : '1';
  write_index(index);
  std::string error = read_error();
  EXPECT_NE(error.find("tensor 't.f64'"), std::string::npos) << error;
}

TEST_F(SafetensorsFolder, AShardNameThatLeavesTheFolderIsRefused) {
  for (const char* name :
       {"../model.safetensors", "/etc/model.safetensors", "a/b.safetensors", "..", "",
        "a\\\\b.safetensors", "config.json", ".x.safetensors", "a\\u0000.safetensors"}) {
    write_index(fmt::format(R"({{"weight_map":{{"t":"{}"}}}})", name));
    std::string error = read_error();
    EXPECT_NE(error.find("not the plain name"), std::string::npos) << name << ": " << error;
  }
}

TEST_F(SafetensorsFolder, AMalformedIndexIsRefused) {
  for (const char* index : {"", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{}})",
                            R"({"weight_map":{"t":1}})", R"([[[[[[[[[[1]]]]]]]]]])"}) {
    write_index(index);
    std::string error = read_error();
    EXPECT_NE(error.find("model.safetensors.index.json: "), std::string::npos) << error;
  }
}

}  // namespace
}  // namespace millrace
