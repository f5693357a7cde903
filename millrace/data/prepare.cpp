#include "millrace/data/prepare.h"

#include <xxhash.h>

#include <string_view>
#include <unordered_set>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/data/corpus.h"
#include "millrace/data/json_records.h"
#include "millrace/data/lines.h"
#include "millrace/text/normal_form.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

constexpr int64_t kDocumentsPerReport = 1000;

struct Hash128 {
  uint64_t low, high;
  bool operator==(const Hash128&) const = default;
};
struct LowHalf {
  size_t operator()(const Hash128& hash) const { return hash.low; }
};

int64_t count_characters(std::string_view text) {
  int64_t count = 0;
  for (char byte : text) count += (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
  return count;
}

/// C0 and C1 controls but newline and tab, delete, and the byte order mark.
bool is_dropped(char32_t c) {
  return (c < 0x20 && c != '\n' && c != '\t') || (c >= 0x7F && c < 0xA0) || c == 0xFEFF;
}

std::string without_controls(std::string_view text) {
  std::string clean;
  clean.reserve(text.size());
  while (!text.empty()) {
    size_t length = utf8_length(text);
    if (length == 0) {
      text.remove_prefix(utf8_invalid_length(text));
      continue;
    }
    std::string_view character = text.substr(0, length);
    if (!is_dropped(decode_utf8(character))) clean += character;
    text.remove_prefix(length);
  }
  return clean;
}

/// Cuts white space off the ends of lines, and blank lines off both ends of the text.
std::string without_loose_ends(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    size_t last = line.find_last_not_of(" \t");
    line = last == std::string_view::npos ? std::string_view() : line.substr(0, last + 1);
    if (out.empty() && line.empty()) continue;
    out.append(line);
    out += '\n';
  }
  out.resize(out.find_last_not_of('\n') + 1);  // npos + 1 is 0
  return out;
}

struct Counts {
  int64_t documents = 0, characters = 0;
  void add(int64_t size) {
    ++documents;
    characters += size;
  }
  Json json() const { return {{"documents", documents}, {"characters", characters}}; }
};

class Preparation {
 public:
  Preparation(const std::filesystem::path& folder, const PrepareOptions& options)
      : options_(options), train_(folder / "train.jsonl"), heldout_(folder / "heldout.jsonl") {}

  void add(Json fields, std::string_view text) {
    read_.add(count_characters(text));
    std::string clean = clean_text(text, options_.normalize);
    if (clean != text) ++changed_;
    int64_t size = count_characters(clean);
    if (clean.empty()) return empty_.add(size);
    if (size < options_.min_characters) return too_short_.add(size);
    if (options_.max_characters > 0 && size > options_.max_characters) return too_long_.add(size);
    XXH128_hash_t hash = XXH3_128bits(clean.data(), clean.size());
    if (options_.deduplicate && !seen_.insert({hash.low64, hash.high64}).second) {
      return repeated_.add(size);
    }
    bool held = is_held_out(clean);
    (held ? heldout_counts_ : train_counts_).add(size);
    Json record = {{"text", std::move(clean)}};  // first, and under the name that readers expect
    for (auto& [name, value] : fields.items()) {
      if (name != options_.text_field && name != "text") record[name] = std::move(value);
    }
    (held ? heldout_ : train_).write(to_json_text(record) + "\n");
  }

  int64_t documents() const { return read_.documents; }

  /// Puts the files into place and gives the report.
  Json finish() {
    train_.commit();
    heldout_.commit();
    return {{"read", read_.json()},
            {"train", train_counts_.json()},
            {"heldout", heldout_counts_.json()},
            {"dropped",
             {{"empty", empty_.json()},
              {"too_short", too_short_.json()},
              {"too_long", too_long_.json()},
              {"repeated", repeated_.json()}}},
            {"changed_by_cleaning", changed_}};
  }

 private:
  bool is_held_out(std::string_view text) const {
    uint64_t hash = XXH3_64bits_withSeed(text.data(), text.size(), options_.seed);
    return static_cast<double>(hash >> 11) * 0x1p-53 < options_.heldout_fraction;
  }

  const PrepareOptions& options_;
  FileWriter train_, heldout_;
  std::unordered_set<Hash128, LowHalf> seen_;
  Counts read_, train_counts_, heldout_counts_, empty_, too_short_, too_long_, repeated_;
  int64_t changed_ = 0;
};

void read_file_into(const std::filesystem::path& path, const PrepareOptions& options,
                    const std::function<void(Json, std::string_view)>& add) {
  if (inner_extension(path) == ".txt") {
    for_each_document(path, options.separator,
                      [&](std::string_view text) { add(Json::object(), text); });
    return;
  }
  for_each_json_record(path, [&](JsonRecord& record) {
    std::string text =
        json_field<std::string>(record.fields, options.text_field.c_str(), record.source);
    add(std::move(record.fields), text);
  });
}

void check(const PrepareOptions& options, const std::vector<std::filesystem::path>& inputs) {
  require(!inputs.empty(), "data prepare: there is no input file");
  require(options.heldout_fraction >= 0 && options.heldout_fraction < 1,
          "data prepare: heldout_fraction is {}; it must be from 0 to below 1",
          options.heldout_fraction);
  require(options.max_characters == 0 || options.max_characters >= options.min_characters,
          "data prepare: max_characters is {}, less than min_characters {}", options.max_characters,
          options.min_characters);
}

Json options_json(const PrepareOptions& options) {
  return {{"separator", options.separator},
          {"text_field", options.text_field},
          {"normalize", options.normalize},
          {"deduplicate", options.deduplicate},
          {"min_characters", options.min_characters},
          {"max_characters", options.max_characters},
          {"heldout_fraction", options.heldout_fraction},
          {"seed", options.seed}};
}

}  // namespace

std::string clean_text(std::string_view text, bool normalize_text) {
  std::string clean = without_controls(text);
  if (normalize_text) clean = normalize(NormalForm::kNfc, clean);
  return without_loose_ends(clean);
}

Json prepare_corpus(const std::vector<std::filesystem::path>& inputs,
                    const std::filesystem::path& folder, const PrepareOptions& options,
                    const PrepareCallback& progress) {
  check(options, inputs);
  make_folder(folder);
  Preparation preparation(folder, options);
  PrepareProgress state;
  state.num_files = inputs.size();
  Json files = Json::array();
  for (const std::filesystem::path& input : inputs) {
    state.file = input;
    int64_t before = preparation.documents();
    read_file_into(input, options, [&](Json fields, std::string_view text) {
      preparation.add(std::move(fields), text);
      state.documents = preparation.documents();
      if (progress && state.documents % kDocumentsPerReport == 0) progress(state);
    });
    files.push_back(
        {{"file", input.filename().string()}, {"documents", preparation.documents() - before}});
    ++state.files_done;
    if (progress) progress(state);
  }
  require(preparation.documents() > 0, "{}: there is no document to prepare",
          inputs.front().string());
  Json report = {{"inputs", std::move(files)}, {"options", options_json(options)}};
  report.update(preparation.finish());
  write_file(folder / "report.json", to_json_text(report, 2) + "\n");
  return report;
}

}  // namespace millrace
