#include "millrace/data/prepare_poetry.h"

#include <xxhash.h>

#include <algorithm>
#include <map>
#include <unordered_set>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/data/json_records.h"
#include "millrace/data/poem_form.h"
#include "millrace/data/poetry.h"

namespace millrace {
namespace {

constexpr int64_t kPoemsPerReport = 1000;

/// Kinds of requests, each as often as it stands here. Titles are what people ask for most.
constexpr RequestKind kKinds[] = {
    RequestKind::kTitle,  RequestKind::kTitle,     RequestKind::kTitle,
    RequestKind::kTitle,  RequestKind::kTitle,     RequestKind::kTitleAndAuthor,
    RequestKind::kAuthor, RequestKind::kFirstLine, RequestKind::kContinuation,
    RequestKind::kTheme,
};

uint64_t hash_of(std::string_view text, uint64_t seed) {
  return XXH3_64bits_withSeed(text.data(), text.size(), seed);
}

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

struct FormCounts {
  int64_t poems = 0, characters = 0, requests = 0;
};

/// What is written of one set of poems, training or held out.
class PoetryFiles {
 public:
  PoetryFiles(const std::filesystem::path& pages, const std::filesystem::path& instructions,
              const PoetryOptions& options)
      : options_(options), pages_(pages), instructions_(instructions) {}

  void add(const Poem& poem) {
    std::string body = poem_body(poem);
    FormCounts& counts = counts_[poem.form];
    if (options_.forms.empty() || contains(options_.forms, poem.form)) {
      pages_.write(to_json_text({{"text", poem_page(poem)}}) + "\n");
      ++counts.poems;
      for (std::string_view line : poem_lines(body)) {
        counts.characters += static_cast<int64_t>(characters_of(line).size());
      }
    }
    if (!contains(options_.request_forms, poem.form)) return;
    Random random(hash_of(body, options_.seed));
    for (int64_t i = 0; i < options_.requests_per_poem; ++i) {
      RequestKind kind = kKinds[random.below(std::size(kKinds))];
      std::string request = poem_request(poem, kind, random);
      if (request.empty()) request = poem_request(poem, RequestKind::kTitle, random);
      Json user = {{"role", "user"}, {"content", request}};
      Json assistant = {{"role", "assistant"}, {"content", body}};
      Json messages = Json::array({std::move(user), std::move(assistant)});
      instructions_.write(to_json_text({{"messages", std::move(messages)}}) + "\n");
      ++counts.requests;
    }
  }

  Json finish() {
    pages_.commit();
    instructions_.commit();
    Json forms = Json::object();
    for (const auto& [form, counts] : counts_) {
      forms[form] = {{"poems", counts.poems},
                     {"characters", counts.characters},
                     {"requests", counts.requests}};
    }
    return forms;
  }

 private:
  const PoetryOptions& options_;
  FileWriter pages_, instructions_;
  std::map<std::string, FormCounts> counts_;
};

/// A held-out poem that may be asked for by its title.
struct Candidate {
  uint64_t hash;
  std::string line;  // of requests.jsonl
};

Candidate make_candidate(const Poem& poem, uint64_t seed) {
  Random random(hash_of(poem_body(poem), seed));
  Json request = {{"request", poem_request(poem, RequestKind::kTitle, random)},
                  {"form", poem.form},
                  {"title", poem.title}};
  return {hash_of(poem.title, seed), to_json_text(request) + "\n"};
}

/// Equally many of each form as far as they go, those with the smallest hashes; the forms take
/// turns, so that the first n requests are balanced too.
std::vector<std::string> choose(std::map<std::string, std::vector<Candidate>> by_form,
                                int64_t count) {
  std::vector<std::string> lines;
  for (auto& entry : by_form) std::ranges::sort(entry.second, {}, &Candidate::hash);
  for (size_t turn = 0; static_cast<int64_t>(lines.size()) < count; ++turn) {
    size_t before = lines.size();
    for (const auto& entry : by_form) {
      if (turn < entry.second.size() && static_cast<int64_t>(lines.size()) < count) {
        lines.push_back(entry.second[turn].line);
      }
    }
    if (lines.size() == before) break;
  }
  return lines;
}

class Progress {
 public:
  Progress(const PrepareCallback& callback, size_t num_files) : callback_(callback) {
    state_.num_files = num_files;
  }
  void poem() {
    if (++state_.documents % kPoemsPerReport == 0) report();
  }
  void file(const std::filesystem::path& path) { state_.file = path; }
  void file_done() {
    ++state_.files_done;
    report();
  }

 private:
  void report() const {
    if (callback_) callback_(state_);
  }
  const PrepareCallback& callback_;
  PrepareProgress state_;
};

void for_each_poem(const std::vector<std::filesystem::path>& files, Progress& progress,
                   FunctionRef<void(const Poem&)> take) {
  for (const std::filesystem::path& file : files) {
    progress.file(file);
    for_each_json_record(file, [&](JsonRecord& record) {
      take(parse_poem(record.fields, record.source));
      progress.poem();
    });
    progress.file_done();
  }
}

}  // namespace

Json prepare_poetry(const std::vector<std::filesystem::path>& train,
                    const std::vector<std::filesystem::path>& heldout,
                    const std::filesystem::path& folder, const PoetryOptions& options,
                    const PrepareCallback& callback) {
  require(!train.empty(), "data prepare: there is no file of poems");
  make_folder(folder);
  Progress progress(callback, train.size() + heldout.size());

  PoetryFiles train_files(folder / "pretrain.jsonl", folder / "instructions.jsonl", options);
  std::unordered_set<uint64_t> train_titles;
  for_each_poem(train, progress, [&](const Poem& poem) {
    train_files.add(poem);
    train_titles.insert(hash_of(poem.title, 0));
  });
  require(!train_titles.empty(), "{}: there is no poem in it", train.front().string());

  PoetryFiles heldout_files(folder / "heldout.jsonl", folder / "heldout-instructions.jsonl",
                            options);
  std::map<std::string, std::vector<Candidate>> candidates;
  std::unordered_set<std::string> asked;
  for_each_poem(heldout, progress, [&](const Poem& poem) {
    heldout_files.add(poem);
    const PoemForm* form = find_poem_form(poem.form);
    bool quatrain = form != nullptr && form->num_lines == 4;
    bool known = train_titles.count(hash_of(poem.title, 0)) > 0;
    if (quatrain && !known && asked.insert(poem.title).second) {
      candidates[poem.form].push_back(make_candidate(poem, options.seed));
    }
  });
  std::vector<std::string> requests = choose(std::move(candidates), options.num_eval_requests);

  Json report = {{"train", train_files.finish()},
                 {"heldout", heldout_files.finish()},
                 {"eval_requests", requests.size()},
                 {"seed", options.seed}};
  write_file(folder / "requests.jsonl", fmt::format("{}", fmt::join(requests, "")));
  write_file(folder / "report.json", to_json_text(report, 2) + "\n");
  return report;
}

}  // namespace millrace
