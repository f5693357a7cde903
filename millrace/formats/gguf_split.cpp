#include "millrace/formats/gguf_split.h"

#include <memory>
#include <system_error>
#include <utility>

#include "millrace/formats/gguf.h"

namespace millrace {
namespace {

GgufFile read_one(const std::filesystem::path& path) {
  auto mapping = std::make_shared<const MappedFile>(path);
  GgufFile file = parse_gguf(mapping->bytes(), path.string(), mapping);
  file.tensors.add_mapping(std::move(mapping));
  return file;
}

uint32_t split_key(const GgufFile& file, const char* key) {
  return file.metadata.get<uint32_t>(key);
}

}  // namespace

std::filesystem::path split_path(const std::string& prefix, uint32_t number, uint32_t count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, number + 1, count);
}

std::optional<std::string> split_prefix(const std::filesystem::path& path, uint32_t number,
                                        uint32_t count) {
  std::string text = path.string();
  std::string ending = split_path("", number, count).string();
  if (text.size() <= ending.size() || !text.ends_with(ending)) return std::nullopt;
  return text.substr(0, text.size() - ending.size());
}

GgufFile read_gguf(const std::filesystem::path& path) {
  GgufFile whole = read_one(path);
  const uint32_t count = whole.metadata.get_optional<uint32_t>(kSplitCount).value_or(1);
  if (count <= 1) return whole;

  const std::string where = path.string();
  const uint32_t number = split_key(whole, kSplitNo);
  std::optional<std::string> prefix = split_prefix(path, number, count);
  require(prefix.has_value(),
          "{}: is part {} of {} and must be named '…{}' for the others to be found", where,
          number + 1, count, split_path("", number, count).string());
  require(number == 0, "{}: is part {} of {}; open the first, {}", where, number + 1, count,
          split_path(*prefix, 0, count).string());
  for (uint32_t i = 1; i < count; ++i) {
    const std::filesystem::path part_path = split_path(*prefix, i, count);
    std::error_code ignored;
    require(std::filesystem::exists(part_path, ignored), "{}: part {} of {} is missing: {}", where,
            i + 1, count, part_path.string());
    GgufFile part = read_one(part_path);
    require(split_key(part, kSplitNo) == i && split_key(part, kSplitCount) == count,
            "{}: keys '{}' and '{}' say part {} of {}, the name says part {} of {}",
            part_path.string(), kSplitNo, kSplitCount, split_key(part, kSplitNo) + 1,
            split_key(part, kSplitCount), i + 1, count);
    whole.tensors.append(std::move(part.tensors));
  }
  const auto expected = whole.metadata.get<uint64_t>(kSplitTensorsCount);
  require(whole.tensors.size() == expected, "{}: key '{}' is {} and the parts have {} tensors",
          where, kSplitTensorsCount, expected, whole.tensors.size());
  return whole;
}

}  // namespace millrace
