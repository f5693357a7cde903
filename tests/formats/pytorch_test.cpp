// PyTorch's weights files, written by torch.save (tools/make_pytorch_goldens.py).
#include "millrace/formats/pytorch.h"

#include <gtest/gtest.h>

#include <chrono>

#include "millrace/formats/pickle.h"
#include "millrace/formats/safetensors.h"
#include "tests/formats/format_test.h"
#include "tests/mutations.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/pytorch";

void expect_pattern(const std::string& name, const Tensor& tensor) {
  for (size_t i = 0; i < tensor.bytes(); ++i) {
    auto expected = static_cast<uint8_t>((37 * i + 11 * name.size()) % 251);
    if (tensor.dtype() == DType::boolean) expected &= 1;
    ASSERT_EQ(std::to_integer<uint8_t>(tensor.data()[i]), expected) << name << " byte " << i;
  }
}

class PlainPytorch : public testing::TestWithParam<const char*> {};

TEST_P(PlainPytorch, HasEveryTypeAndLayout) {
  const TensorTable tensors = read_pytorch(kGolden / GetParam());
  EXPECT_EQ(tensors.size(), 18u);
  for (const NamedTensor& entry : tensors) expect_pattern(entry.name, entry.tensor);
  for (DType dtype : {DType::f64, DType::f32, DType::f16, DType::bf16, DType::i64, DType::i32,
                      DType::i16, DType::i8, DType::u8, DType::boolean}) {
    const Tensor& tensor = tensors.at(fmt::format("{}.weight", info(dtype).name));
    EXPECT_EQ(tensor.dtype(), dtype);
    EXPECT_EQ(tensor.shape(), (Shape{3, 5}));
  }
  EXPECT_EQ(tensors.at("scalar").shape(), Shape());
  EXPECT_EQ(tensors.at("empty").shape(), (Shape{0, 4}));
  EXPECT_EQ(tensors.at("four").shape(), (Shape{2, 1, 3, 2}));
  EXPECT_EQ(tensors.at("turned").shape(), (Shape{4, 6}));
  EXPECT_EQ(tensors.at("rows").shape(), (Shape{2, 3}));
  EXPECT_EQ(tensors.at("tied").data(), tensors.at("same").data());
}

INSTANTIATE_TEST_SUITE_P(, PlainPytorch, testing::Values("plain.bin", "protocol4.bin"),
                         [](const auto& test) {
                           const std::string name = test.param;
                           return name.substr(0, name.find('.'));
                         });

TEST(Pytorch, TheStateOfAModule) {
  const TensorTable tensors = read_pytorch(kGolden / "module.pt");
  EXPECT_EQ(tensors.size(), 4u);
  EXPECT_EQ(tensors.at("0.weight").shape(), (Shape{2, 3}));
  for (const NamedTensor& entry : tensors) expect_pattern(entry.name, entry.tensor);
}

TEST(Pytorch, WhatIsNoWeightsIsNamedAndNeverExecuted) {
  const std::pair<const char*, std::vector<std::string>> cases[] = {
      {"evil.bin", {"posix.system", "was not called", "safetensors"}},
      {"epoch.bin", {"'epoch' is an integer"}},
      {"list.bin", {"holds a list"}},
      {"overlap.bin", {"tensor 'a'", "overlap"}},
      {"complex.bin", {"torch.ComplexFloatStorage"}},
      {"whole_module.bin", {"torch.nn.modules.linear.Linear"}},
      {"legacy.bin", {"old one", "save it again"}}};
  for (const auto& [file, parts] : cases) {
    const std::string message = error_of([&, name = file] { read_pytorch(kGolden / name); });
    EXPECT_TRUE(message.starts_with((kGolden / file).string())) << message;
    for (const std::string& part : parts) {
      EXPECT_NE(message.find(part), std::string::npos) << part << " is not in " << message;
    }
  }
  EXPECT_FALSE(fs::exists("/tmp/millrace-was-executed"));
}

std::string error_of_pickle(const std::string& pickle) {
  return error_of([&] { read_pickled_tensors(std::as_bytes(std::span(pickle)), "some/file"); });
}

TEST(Pickle, OddProgramsAreErrors) {
  for (const std::string& pickle : {std::string(""),
                                    std::string("."),
                                    std::string("N."),
                                    std::string("}"),
                                    std::string("}}."),
                                    std::string("(."),
                                    std::string("(}."),
                                    std::string("t."),
                                    std::string("\x85."),
                                    std::string("}(K\x01u."),
                                    std::string("}K\x01K\x01s."),
                                    std::string("h\x01."),
                                    std::string("R."),
                                    std::string("))R."),
                                    std::string("}b."),
                                    std::string("}Nb."),
                                    std::string("NQ."),
                                    std::string(")Q."),
                                    std::string("cos\nsystem\n."),
                                    std::string("ccollections\nOrderedDict\n(K\x01tR."),
                                    std::string("X\xff\xff\xff\xff."),
                                    std::string("\x8a\x09"),
                                    std::string("i"),
                                    std::string("cbuiltins\neval\n(X\x01\x00\x00\x00"
                                                "1tR.",
                                                25)}) {
    const std::string message = error_of_pickle(pickle);
    EXPECT_TRUE(message.starts_with("some/file: ")) << quote(pickle) << message;
  }
  EXPECT_NE(error_of_pickle("cos\nsystem\n.").find("'os.system'"), std::string::npos);
  const std::string empty = "}.";
  EXPECT_TRUE(read_pickled_tensors(std::as_bytes(std::span(empty)), "some/file").empty());
}

TEST(Pickle, ADictionaryOfItselfEnds) {
  EXPECT_NE(error_of_pickle(std::string("}q\x00X\x01\x00\x00\x00"
                                        "ah\x00s.",
                                        13)),
            "");
}

TEST(Pickle, LongProgramsTakeLinearTime) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_NE(error_of_pickle(std::string(1'000'000, '(')), "");
  EXPECT_NE(error_of_pickle(std::string(1'000'000, '}') + "."), "");
  std::string nested = ")";
  for (int i = 0; i < 300'000; ++i) nested += "\x85";
  EXPECT_NE(error_of_pickle(nested + "."), "");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

class WeightsFolder : public FormatTest {};

TEST_F(WeightsFolder, ReadsWhatThereIs) {
  EXPECT_EQ(read_weights_folder(kGolden / "sharded").size(), 4u);
  for (const NamedTensor& entry : read_weights_folder(kGolden / "sharded")) {
    expect_pattern(entry.name, entry.tensor);
  }
  EXPECT_NE(error_of([&] { read_weights_folder(folder()); }).find("has no weights"),
            std::string::npos);
  fs::copy(kGolden / "module.pt", folder() / "model.pt");
  EXPECT_EQ(read_weights_folder(folder()).size(), 4u);
  fs::copy(kGolden / "plain.bin", folder() / "pytorch_model.bin");
  EXPECT_EQ(read_weights_folder(folder()).size(), 18u);
  const Tensor one = Tensor::from({1}, std::array{1.0f});
  write_safetensors(folder() / "model.safetensors", std::array{TensorSource("one", one)});
  EXPECT_EQ(read_weights_folder(folder()).size(), 1u);
}

TEST_F(WeightsFolder, AnIndexThatLiesIsRefused) {
  fs::copy(kGolden / "sharded", folder(), fs::copy_options::recursive);
  const fs::path index = folder() / "pytorch_model.bin.index.json";
  const std::string whole = read_file(index);
  auto with = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    text.replace(text.find(from), from.size(), to);
    write_file(index, text);
    return error_of([&] { read_weights_folder(folder()); });
  };
  EXPECT_NE(with("pytorch_model-00001-of-00002.bin", "../a.bin").find("plain name of a .bin file"),
            std::string::npos);
  EXPECT_NE(with("layers.0.weight", "layers.9.weight").find("as the index says"),
            std::string::npos);
}

}  // namespace
}  // namespace millrace
