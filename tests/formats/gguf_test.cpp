#include "millrace/formats/gguf.h"

#include <gtest/gtest.h>

#include <functional>
#include <utility>

#include "millrace/formats/gguf_dtype.h"
#include "tests/formats/format_test.h"

namespace millrace {
namespace {

class Gguf : public FormatTest {};

std::vector<TensorSource> one_of_each() {
  std::vector<TensorSource> tensors;
  uint8_t next = 1;
  for (int i = 0; i <= static_cast<int>(DType::mxfp4); ++i) {
    auto dtype = static_cast<DType>(i);
    if (!ggml_number(dtype)) continue;
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

TEST_F(Gguf, TheWriterRefusesWhatTheFormatCannotHold) {
  const auto path = folder() / "a.gguf";
  std::vector<TensorSource> twice = {{"a", Tensor(DType::f32, {2})},
                                     {"a", Tensor(DType::f32, {2})}};
  std::vector<TensorSource> bytes = {{"a", Tensor(DType::u8, {2})}};
  std::vector<TensorSource> long_name = {{std::string(64, 'n'), Tensor(DType::f32, {2})}};
  EXPECT_NE(error_of([&] { write_gguf(path, {}, twice); }).find("named 'a'"), std::string::npos);
  EXPECT_NE(error_of([&] { write_gguf(path, {}, bytes); }).find("u8"), std::string::npos);
  EXPECT_NE(error_of([&] { write_gguf(path, {}, long_name); }).find("63"), std::string::npos);
  EXPECT_TRUE(std::filesystem::is_empty(folder()));
}

TEST(GgufMetadata, ConvertsWhatFits) {
  GgufMetadata metadata = every_type();
  EXPECT_EQ(metadata.get<int64_t>("u8"), 200);
  EXPECT_EQ(metadata.get<int32_t>("i16"), -30000);
  EXPECT_EQ(metadata.get<uint64_t>("u64"), uint64_t{1} << 63);
  EXPECT_EQ(metadata.get<double>("f32"), 1.5);
  EXPECT_EQ(metadata.get<float>("u16"), 60000.0f);
  EXPECT_EQ(metadata.get<bool>("bool"), true);
  EXPECT_EQ(metadata.get_array<double>("floats"), (std::vector<double>{1, 2, 3}));
  EXPECT_EQ(metadata.get_optional<bool>("absent"), std::nullopt);
  EXPECT_EQ(metadata.get_optional_array<float>("absent"), std::nullopt);
}

TEST(GgufMetadata, NamesFileAndKeyOfWhatDoesNot) {
  GgufMetadata metadata("model.gguf");
  for (const auto& [key, value] : every_type()) metadata.set(key, value);
  const std::pair<std::function<void()>, const char*> cases[] = {
      {[&] { metadata.get<int32_t>("u32"); }, "model.gguf: key 'u32' is 4000000000, outside"},
      {[&] { metadata.get<int64_t>("u64"); }, "model.gguf: key 'u64' is 9223372036854775808"},
      {[&] { metadata.get<uint32_t>("i8"); }, "model.gguf: key 'i8' is -100, outside 0 to"},
      {[&] { metadata.get<int32_t>("f32"); }, "model.gguf: key 'f32' must be an integer"},
      {[&] { metadata.get<int32_t>("bool"); }, "model.gguf: key 'bool' must be an integer"},
      {[&] { metadata.get<bool>("u8"); }, "model.gguf: key 'u8' must be true or false"},
      {[&] { metadata.get<std::string>("u8"); }, "model.gguf: key 'u8' must be a string"},
      {[&] { metadata.get<float>("strings"); }, "model.gguf: key 'strings' must be a number"},
      {[&] { metadata.get_array<float>("u8"); }, "model.gguf: key 'u8' must be an array"},
      {[&] { metadata.get_array<float>("strings"); }, "model.gguf: key 'strings' must be a numb"},
      {[&] { metadata.get<float>("absent"); }, "model.gguf: key 'absent' is missing"},
      {[&] { metadata.get_array<float>("absent"); }, "model.gguf: key 'absent' is missing"},
  };
  for (const auto& [action, message] : cases) {
    std::string error = error_of(action);
    EXPECT_NE(error.find(message), std::string::npos) << error;
  }
}

TEST(GgufMetadata, ErasesAndReplacesInPlace) {
  GgufMetadata metadata;
  metadata.set("a", uint32_t{1});
  metadata.set("b", uint32_t{2});
  metadata.set("c", uint32_t{3});
  metadata.erase("a");
  metadata.erase("absent");
  metadata.set("b", uint32_t{4});
  EXPECT_EQ(metadata.size(), 2u);
  EXPECT_FALSE(metadata.has("a"));
  EXPECT_EQ(metadata.begin()->first, "b");
  EXPECT_EQ(metadata.get<int32_t>("b"), 4);
  EXPECT_EQ(metadata.get<int32_t>("c"), 3);
}

/// The bytes of a GGUF file, put together by hand.
struct Bytes {
  std::string text = "GGUF";
  template <typename T>
  Bytes& number(T value) {
    text.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  Bytes& string(const std::string& value) {
    number<uint64_t>(value.size());
    text += value;
    return *this;
  }
  Bytes& header(uint64_t tensors, uint64_t pairs) {
    return number<uint32_t>(3).number<uint64_t>(tensors).number<uint64_t>(pairs);
  }
  Bytes& tensor(const std::string& name, std::vector<uint64_t> dimensions, uint32_t type,
                uint64_t offset) {
    string(name).number(static_cast<uint32_t>(dimensions.size()));
    for (uint64_t extent : dimensions) number(extent);
    return number(type).number(offset);
  }
  Bytes& data(size_t bytes) {
    text.append((32 - text.size() % 32) % 32 + bytes, '\0');
    return *this;
  }
};

std::string parse_error(const Bytes& bytes) {
  return error_of([&] { parse_gguf(std::as_bytes(std::span(bytes.text)), "x", nullptr); });
}

TEST(GgufFile, EachFaultIsNamed) {
  constexpr uint64_t kHuge = ~uint64_t{0};
  Bytes nested;
  nested.header(0, 1).string("k").number<uint32_t>(9);
  for (int i = 0; i < 9; ++i) nested.number<uint32_t>(9).number<uint64_t>(1);
  const std::pair<Bytes, const char*> cases[] = {
      {Bytes{"GGML"}.header(0, 0), "it is not a GGUF file"},
      {Bytes().number<uint32_t>(1), "version 1; 2 and 3 are supported"},
      {Bytes().number<uint32_t>(0), "version 0; 2 and 3 are supported"},
      {Bytes().number<uint32_t>(0x03000000), "big-endian"},
      {Bytes().header(0, kHuge), "metadata count is"},
      {Bytes().header(kHuge, 0), "tensor count is"},
      {Bytes().header(0, 1).string(std::string(65536, 'k')), "metadata key 1 of 1: a string of"},
      {Bytes().header(0, 1).number(kHuge).data(64), "metadata key 1 of 1: a string of"},
      {Bytes().header(0, 1).string("k").number<uint32_t>(13).data(8), "unknown value type 13"},
      {Bytes().header(0, 1).string("k").number<uint32_t>(7).number<uint8_t>(2).data(8),
       "key 'k': a truth value of 2"},
      {Bytes().header(0, 1).string("k").number<uint32_t>(8).number(kHuge).data(8),
       "key 'k': needs"},
      {Bytes().header(0, 1).string("k").number<uint32_t>(9).number<uint32_t>(0).number(kHuge),
       "key 'k': an array of 18446744073709551615 elements"},
      {Bytes().header(0, 1).string("k").number<uint32_t>(9).number<uint32_t>(13).number(kHuge),
       "key 'k': is an array of the unknown type 13"},
      {nested, "key 'k': arrays are nested deeper"},
      {Bytes().header(0, 2).string("k").number<uint32_t>(0).number<uint8_t>(1).string("k").data(64),
       "key 'k': is there twice"},
      {Bytes().header(0, 1).string("general.alignment").number<uint32_t>(4).number<uint32_t>(24),
       "key 'general.alignment' is 24"},
      {Bytes().header(0, 1).string("general.alignment").number<uint32_t>(4).number<uint32_t>(0),
       "key 'general.alignment' is 0"},
      {Bytes().header(1, 0).tensor("t", {1, 1, 1, 1, 1}, 0, 0), "tensor 't': has 5 dimensions"},
      {Bytes().header(1, 0).tensor("t", {kHuge}, 0, 0), "tensor 't': a tensor with the negative"},
      {Bytes().header(1, 0).tensor("t", {1ull << 40, 1ull << 40}, 0, 0), "more than 2^62"},
      {Bytes().header(1, 0).tensor("t", {1ull << 62}, 28, 0), "tensor 't': is too large"},
      {Bytes().header(1, 0).tensor("t", {33}, 8, 0), "tensor 't': rows of 33 values"},
      {Bytes().header(1, 0).tensor("t", {1}, 4, 0), "tensor 't': has the ggml type 4"},
      {Bytes().header(1, 0).tensor("t", {8}, 0, 1).data(64), "tensor 't': its offset 1 is not"},
      {Bytes().header(1, 0).tensor("t", {8}, 0, 64).data(64), "tensor 't': 32 bytes at offset 64"},
      {Bytes().header(1, 0).tensor("t", {8}, 0, kHuge - 31).data(64), "go beyond the 64 bytes"},
      {Bytes().header(2, 0).tensor("a", {9}, 0, 0).tensor("b", {8}, 0, 32).data(64),
       "tensor 'b': its offset 32 is within"},
      {Bytes().header(2, 0).tensor("t", {8}, 0, 0).tensor("t", {8}, 0, 32).data(64),
       "two tensors are named 't'"},
  };
  for (const auto& [bytes, message] : cases) {
    std::string error = parse_error(bytes);
    EXPECT_NE(error.find(message), std::string::npos) << message << "\n" << error;
    EXPECT_TRUE(error.starts_with("x: ")) << error;
  }
}

TEST(GgufFile, DimensionsAreReversed) {
  Bytes bytes = Bytes().header(1, 0).tensor("t", {4, 3, 2}, 0, 0).data(96);
  GgufFile file = parse_gguf(std::as_bytes(std::span(bytes.text)), "x", nullptr);
  EXPECT_EQ(file.tensors.at("t").shape(), (Shape{2, 3, 4}));
}

TEST_F(Gguf, APartInTheWrongPlaceIsNamed) {
  std::vector<TensorSource> sources = one_of_each();
  auto parts = write_gguf(folder() / "a.gguf", every_type(), sources, 1000);
  std::filesystem::copy_file(parts[2], parts[1], std::filesystem::copy_options::overwrite_existing);
  std::string error = error_of([&] { read_gguf(parts[0]); });
  EXPECT_NE(error.find(parts[1].string()), std::string::npos) << error;
  EXPECT_NE(error.find("'split.no'"), std::string::npos) << error;

  std::filesystem::rename(parts[0], folder() / "b.gguf");
  error = error_of([&] { read_gguf(folder() / "b.gguf"); });
  EXPECT_NE(error.find("must be named"), std::string::npos) << error;
}

}  // namespace
}  // namespace millrace
