// Damaged and hostile model files: each is an Error that names the file, or a valid object; never
// a crash, a hang or memory out of proportion to the file.
#include <gtest/gtest.h>

#include <fstream>
#include <functional>

#include "millrace/formats/gguf.h"
#include "millrace/formats/pytorch.h"
#include "millrace/formats/safetensors.h"
#include "millrace/formats/safetensors_index.h"
#include "tests/allocation_count.h"
#include "tests/formats/format_test.h"
#include "tests/mutations.h"

namespace millrace {
namespace {

const std::filesystem::path kGolden =
    std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/formats";

using Parse = std::function<void(const std::string& bytes, const std::string& source)>;

/// Reads every byte of every tensor, so that a sanitizer sees one that lies outside.
void touch(const TensorTable& tensors) {
  unsigned sum = 0;
  for (const NamedTensor& entry : tensors) {
    for (size_t i = 0; i < entry.tensor.bytes(); ++i) {
      sum += std::to_integer<unsigned>(entry.tensor.data()[i]);
    }
  }
  volatile unsigned keep = sum;
  (void)keep;
}

/// The bytes in memory of exactly their size, aligned as a mapping would be.
std::pair<std::span<const std::byte>, std::shared_ptr<const void>> in_memory(
    const std::string& bytes) {
  auto storage = Storage::allocate(bytes.size());
  std::memcpy(storage->data(), bytes.data(), bytes.size());
  return {{storage->data(), storage->size()}, storage};
}

const Parse kSafetensors = [](const std::string& bytes, const std::string& source) {
  auto [span, owner] = in_memory(bytes);
  touch(parse_safetensors(span, source, owner).tensors);
};
const Parse kGguf = [](const std::string& bytes, const std::string& source) {
  auto [span, owner] = in_memory(bytes);
  touch(parse_gguf(span, source, owner).tensors);
};
const Parse kIndex = [](const std::string& bytes, const std::string& source) {
  parse_safetensors_index(bytes, source);
};

/// Parses; true when the file was accepted. An Error must begin with the source and say more.
bool accepts(const Parse& parse, const std::string& bytes) {
  const std::string source = "some/file";
  const size_t before = allocated_bytes();
  bool accepted = true;
  try {
    parse(bytes, source);
  } catch (const Error& error) {
    accepted = false;
    EXPECT_TRUE(std::string(error.what()).starts_with(source + ": ")) << error.what();
    EXPECT_LT(std::strlen(error.what()), 1000u) << error.what();
  }
  EXPECT_LT(allocated_bytes() - before, 100'000 + 100 * bytes.size());
  return accepted;
}

const Parse kPytorch = [](const std::string& bytes, const std::string& source) {
  auto [span, owner] = in_memory(bytes);
  touch(parse_pytorch(span, source, owner));
};

struct Target {
  const char* file;
  const Parse& parse;
};
const Target kTargets[] = {
    {"plain.safetensors", kSafetensors},  {"plain.gguf", kGguf},
    {"split-00002-of-00003.gguf", kGguf}, {"sharded/model.safetensors.index.json", kIndex},
    {"../pytorch/plain.bin", kPytorch},   {"../pytorch/protocol4.bin", kPytorch}};

TEST(HostileFiles, EveryTruncationIsRefused) {
  for (const Target& target : kTargets) {
    std::string whole = read_file(kGolden / target.file);
    ASSERT_TRUE(accepts(target.parse, whole)) << target.file;
    for (size_t size = 0; size < whole.size(); ++size) {
      bool accepted = accepts(target.parse, whole.substr(0, size));
      // What follows the last tensor of a GGUF file is padding.
      bool only_padding =
          whole.find_first_not_of('\0', size) == std::string::npos && whole.size() - size < 32;
      ASSERT_TRUE(!accepted || only_padding) << target.file << " of " << size << " bytes";
    }
  }
}

TEST(HostileFiles, RandomMutationsAreRefusedOrValid) {
  for (const Target& target : kTargets) {
    std::string whole = read_file(kGolden / target.file);
    int refused = 0;
    for (uint64_t seed = 0; seed < 5000; ++seed) {
      Random random(seed);
      SCOPED_TRACE(fmt::format("{} mutated with seed {}", target.file, seed));
      refused += accepts(target.parse, mutate_binary(whole, random)) ? 0 : 1;
      if (HasFailure()) return;
    }
    EXPECT_GT(refused, 1000) << target.file;
  }
}

class HostileFolder : public FormatTest {};

TEST_F(HostileFolder, AMutatedIndexNeverReadsOutsideOrCrashes) {
  std::filesystem::copy(kGolden / "sharded", folder(), std::filesystem::copy_options::recursive);
  const std::filesystem::path index = folder() / "model.safetensors.index.json";
  const std::string whole = read_file(index);
  for (uint64_t seed = 0; seed < 400; ++seed) {
    Random random(seed);
    std::ofstream(index, std::ios::binary) << mutate_binary(whole, random);
    try {
      touch(read_safetensors_folder(folder()).tensors);
    } catch (const Error& error) {
      ASSERT_TRUE(std::string(error.what()).starts_with(folder().string())) << error.what();
    }
  }
}

}  // namespace
}  // namespace millrace
