#include "millrace/hub/selection.h"

#include <fnmatch.h>

#include <algorithm>
#include <cctype>
#include <regex>
#include <set>

namespace millrace::hub {
namespace {

bool matches_one(const std::vector<std::string>& patterns, const std::string& path) {
  return std::ranges::any_of(patterns, [&](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), path.c_str(), 0) == 0;
  });
}

bool ends_with_one(const std::string& path, std::initializer_list<std::string_view> endings) {
  return std::ranges::any_of(endings,
                             [&](std::string_view ending) { return path.ends_with(ending); });
}

bool is_safetensors(const std::string& path) {
  return ends_with_one(path, {".safetensors", ".safetensors.index.json"});
}
bool is_gguf(const std::string& path) {
  return path.ends_with(".gguf");
}
bool is_pytorch(const std::string& path) {
  return ends_with_one(path, {".bin", ".bin.index.json", ".pt", ".pth"});
}
/// Formats that Millrace does not read.
bool is_foreign(const std::string& path) {
  return ends_with_one(path, {".h5", ".msgpack", ".onnx", ".onnx_data", ".ot", ".tflite", ".ckpt",
                              ".mlmodel", ".nemo", ".gitattributes"});
}

std::string upper_case(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return std::toupper(c); });
  return text;
}

/// Whether "Q4_K_M" is a word of "model-Q4_K_M" (and "Q4_K" is not).
bool has_word(const std::string& name, const std::string& word) {
  const std::string text = upper_case(name), wanted = upper_case(word);
  auto ends_word = [](char c) { return c == '-' || c == '.' || c == '/'; };
  for (size_t at = text.find(wanted); at != std::string::npos; at = text.find(wanted, at + 1)) {
    const size_t end = at + wanted.size();
    if ((at == 0 || ends_word(text[at - 1]) || text[at - 1] == '_') &&
        (end == text.size() || ends_word(text[end]))) {
      return true;
    }
  }
  return false;
}

std::set<std::string> gguf_models(const std::vector<RemoteFile>& files) {
  std::set<std::string> models;
  for (const RemoteFile& file : files) {
    if (is_gguf(file.path)) models.insert(gguf_model(file.path));
  }
  return models;
}

std::vector<RemoteFile> files_of_variant(const std::vector<RemoteFile>& files,
                                         const std::string& variant, const std::string& what) {
  std::vector<RemoteFile> chosen;
  for (const RemoteFile& file : files) {
    if (is_gguf(file.path) && has_word(gguf_model(file.path), variant)) chosen.push_back(file);
  }
  const std::set<std::string> all = gguf_models(files), models = gguf_models(chosen);
  require(!all.empty(), "{}: has no .gguf files, so it has no {}", what, quote(variant));
  require(!models.empty(), "{}: has no {}; there are {}", what, quote(variant),
          fmt::join(all, ", "));
  require(models.size() == 1, "{}: several models are {}: {}; choose by --include 'NAME*.gguf'",
          what, quote(variant), fmt::join(models, ", "));
  return chosen;
}

std::vector<RemoteFile> usual_files(const std::vector<RemoteFile>& files, const std::string& what) {
  auto any = [&](bool (*is_of)(const std::string&)) {
    return std::ranges::any_of(files, [&](const RemoteFile& file) { return is_of(file.path); });
  };
  const bool safetensors = any(is_safetensors), pytorch = any(is_pytorch);
  const std::set<std::string> models = gguf_models(files);
  require(safetensors || pytorch || models.size() <= 1,
          "{}: holds several models; name a quantisation, as {}:Q4_K_M, or take all by --include "
          "'*.gguf'; there are {}",
          what, what, fmt::join(models, ", "));
  std::vector<RemoteFile> chosen;
  for (const RemoteFile& file : files) {
    const bool superseded = (safetensors && (is_pytorch(file.path) || is_gguf(file.path))) ||
                            (pytorch && is_gguf(file.path));
    if (!superseded && !is_foreign(file.path)) chosen.push_back(file);
  }
  return chosen;
}

}  // namespace

std::string gguf_model(std::string_view path) {
  static const std::regex kEnding(R"((-\d{5}-of-\d{5})?\.gguf$)");
  return std::regex_replace(std::string(path), kEnding, "");
}

std::vector<RemoteFile> select_files(const std::vector<RemoteFile>& files, const Patterns& patterns,
                                     const std::string& what) {
  std::vector<RemoteFile> chosen;
  for (const RemoteFile& file : files) {
    if (matches_one(patterns.exclude, file.path)) continue;
    if (!patterns.include.empty() && !matches_one(patterns.include, file.path)) continue;
    chosen.push_back(file);
  }
  if (!patterns.variant.empty()) {
    chosen = files_of_variant(chosen, patterns.variant, what);
  } else if (patterns.include.empty()) {
    chosen = usual_files(chosen, what);
  }
  require(!chosen.empty(), "{}: none of its {} files is to be taken{}", what, files.size(),
          files.empty() ? "" : "; look at --include and --exclude");
  return chosen;
}

}  // namespace millrace::hub
