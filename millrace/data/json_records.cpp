#include "millrace/data/json_records.h"

#include <string_view>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/data/lines.h"

namespace millrace {
namespace {

constexpr std::string_view kBlank = " \t\r\n";

void take_record(std::string_view text, std::string source, FunctionRef<void(JsonRecord&)> take) {
  JsonRecord record{parse_json(text, source), std::move(source)};
  require(record.fields.is_object(), "{}: must be an object", record.source);
  take(record);
}

void read_lines(const std::filesystem::path& path, FunctionRef<void(JsonRecord&)> take,
                size_t max_bytes) {
  LineReader reader(path, max_bytes);
  while (reader.next()) {
    if (reader.line().find_first_not_of(kBlank) == std::string_view::npos) continue;
    take_record(reader.line(), fmt::format("{}:{}", path.string(), reader.number()), take);
  }
}

/// Cuts an array into its elements by brackets and quotes alone; what an element holds is the
/// parser's affair.
class ArraySplitter {
 public:
  ArraySplitter(std::string name, FunctionRef<void(JsonRecord&)> take, size_t max_bytes)
      : name_(std::move(name)), take_(take), max_bytes_(max_bytes) {}

  void add_line(std::string_view line, int64_t number) {
    for (char c : line) add(c, number);
    if (depth_ >= 1 && !element_.empty()) element_ += '\n';
  }

  void finish(int64_t last_line) const {
    require(ended_, "{}:{}: the array does not end; the file is cut off", name_, last_line);
  }

 private:
  void add(char c, int64_t number) {
    if (!in_string_ && depth_ <= 1 && kBlank.find(c) != std::string_view::npos) return;
    require(!ended_, "{}:{}: there is text after the array", name_, number);
    if (depth_ == 0) {
      require(c == '[', "{}:{}: must be an array of objects", name_, number);
      depth_ = 1;
      return;
    }
    if (depth_ == 1 && !in_string_ && (c == ',' || c == ']')) {
      end_element(c == ']', number);
      return;
    }
    if (element_.empty()) first_line_ = number;
    require(element_.size() < max_bytes_, "{}:{}: the record has more than {} bytes", name_,
            first_line_, max_bytes_);
    element_ += c;
    follow(c);
  }

  void end_element(bool array_ends, int64_t number) {
    bool empty_array = array_ends && !any_;
    require(!element_.empty() || empty_array, "{}:{}: an element of the array is missing", name_,
            number);
    if (!element_.empty()) take_record(element_, fmt::format("{}:{}", name_, first_line_), take_);
    element_.clear();
    any_ = true;
    ended_ = array_ends;
  }

  void follow(char c) {
    if (escaped_) {
      escaped_ = false;
    } else if (in_string_) {
      escaped_ = c == '\\';
      in_string_ = c != '"';
    } else if (c == '"') {
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      ++depth_;
    } else if (c == '}' || c == ']') {
      --depth_;
    }
  }

  std::string name_;
  FunctionRef<void(JsonRecord&)> take_;
  size_t max_bytes_;
  std::string element_;
  int64_t first_line_ = 0;
  int64_t depth_ = 0;  // 1: between the elements of the array
  bool in_string_ = false, escaped_ = false;
  bool any_ = false, ended_ = false;
};

void read_array(const std::filesystem::path& path, FunctionRef<void(JsonRecord&)> take,
                size_t max_bytes) {
  LineReader reader(path, max_bytes);
  ArraySplitter splitter(path.string(), take, max_bytes);
  while (reader.next()) splitter.add_line(reader.line(), reader.number());
  splitter.finish(reader.number());
}

}  // namespace

void for_each_json_record(const std::filesystem::path& path, FunctionRef<void(JsonRecord&)> take,
                          size_t max_bytes) {
  require(std::filesystem::exists(path), "{}: there is no such file", path.string());
  std::string kind = inner_extension(path);
  require(kind == ".jsonl" || kind == ".json",
          "{}: records are read from .jsonl and .json files (and these compressed as .zst)",
          path.string());
  kind == ".jsonl" ? read_lines(path, take, max_bytes) : read_array(path, take, max_bytes);
}

}  // namespace millrace
