#include "millrace/data/corpus.h"

#include <algorithm>

#include "millrace/base/error.h"
#include "millrace/base/json.h"
#include "millrace/data/lines.h"

namespace millrace {
namespace {

constexpr size_t kMaxDocumentBytes = size_t{1} << 30;

bool is_blank(std::string_view line) {
  return line.find_first_not_of(" \t\r") == std::string_view::npos;
}

void for_each_json_document(const std::filesystem::path& path,
                            FunctionRef<void(std::string_view)> take) {
  LineReader reader(path);
  while (reader.next()) {
    if (is_blank(reader.line())) continue;
    std::string where = fmt::format("{}:{}", path.string(), reader.number());
    std::string text = json_field<std::string>(parse_json(reader.line(), where), "text", where);
    if (!text.empty()) take(text);
  }
}

void for_each_plain_document(const std::filesystem::path& path, std::string_view separator,
                             FunctionRef<void(std::string_view)> take) {
  LineReader reader(path);
  std::string text;
  auto finish = [&] {
    if (!text.empty()) text.pop_back();  // the last line's end belongs to the separator
    if (!text.empty()) take(text);
    text.clear();
  };
  while (reader.next()) {
    std::string_view line = reader.line();
    if (line == separator ||
        (line.ends_with('\r') && line.substr(0, line.size() - 1) == separator)) {
      finish();
      continue;
    }
    require(text.size() + line.size() < kMaxDocumentBytes,
            "{}:{}: the document has more than {} bytes; separate documents by lines '{}'",
            path.string(), reader.number(), kMaxDocumentBytes, separator);
    text.append(line);
    text += '\n';
  }
  finish();
}

}  // namespace

void for_each_document(const std::filesystem::path& path, std::string_view separator,
                       FunctionRef<void(std::string_view)> take) {
  if (inner_extension(path) == ".jsonl") return for_each_json_document(path, take);
  for_each_plain_document(path, separator, take);
}

std::vector<std::filesystem::path> corpus_files(const std::vector<std::string>& entries) {
  std::vector<std::filesystem::path> files;
  for (const std::string& entry : entries) {
    require(std::filesystem::exists(entry), "{}: there is no such file or folder", entry);
    if (!std::filesystem::is_directory(entry)) {
      files.emplace_back(entry);
      continue;
    }
    std::vector<std::filesystem::path> inside;
    std::error_code reason;
    for (const auto& item : std::filesystem::directory_iterator(entry, reason)) {
      std::string kind = inner_extension(item.path());
      if (kind == ".txt" || kind == ".jsonl") inside.push_back(item.path());
    }
    require(!reason, "{}: cannot read the folder: {}", entry, reason.message());
    require(!inside.empty(), "{}: the folder holds no .txt or .jsonl file", entry);
    std::ranges::sort(inside);
    files.insert(files.end(), inside.begin(), inside.end());
  }
  return files;
}

}  // namespace millrace
