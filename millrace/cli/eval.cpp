// millrace eval: asks a model for poems and scores what it writes.
#include <fmt/format.h>

#include <filesystem>
#include <memory>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/progress.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/data/json_records.h"
#include "millrace/evaluate/poems.h"

namespace millrace::cli {
namespace {

struct Arguments {
  ModelOptions model;
  SamplingArguments sampling;
  std::string suite = "poems", requests, tones, answers;
  std::vector<std::filesystem::path> train;
  int64_t limit = 0, batch = 64;
  bool json = false;
};

struct PoemRequest {
  std::string request, form;
};

std::vector<PoemRequest> read_requests(const Arguments& arguments) {
  std::vector<PoemRequest> requests;
  for_each_json_record(arguments.requests, [&](JsonRecord& record) {
    requests.push_back({json_field<std::string>(record.fields, "request", record.source),
                        json_field<std::string>(record.fields, "form", record.source)});
  });
  require(!requests.empty(), "{}: has no requests", arguments.requests);
  if (arguments.limit > 0 && static_cast<int64_t>(requests.size()) > arguments.limit) {
    requests.resize(static_cast<size_t>(arguments.limit));
  }
  return requests;
}

std::vector<PoemAnswer> ask(const Arguments& arguments, const std::vector<PoemRequest>& requests) {
  LanguageModel model = arguments.model.open();
  std::vector<std::vector<int32_t>> prompts;
  std::vector<GenerationOptions> options(requests.size(), arguments.sampling.parsed());
  for (size_t i = 0; i < requests.size(); ++i) {
    prompts.push_back(
        chat_prompt(model, Json::array({{{"role", "user"}, {"content", requests[i].request}}})));
    options[i].sampling.seed += i;
  }
  Progress progress("writing poems", static_cast<int64_t>(requests.size()));
  std::vector<Generation> results =
      generate_all(model, std::move(prompts), options, [&](int64_t done) { progress.update(done); },
                   {.max_sequences = arguments.batch});
  std::vector<PoemAnswer> answers;
  for (size_t i = 0; i < requests.size(); ++i) {
    answers.push_back({requests[i].request, requests[i].form, results[i].text});
  }
  return answers;
}

void write_answers(const std::string& path, const std::vector<PoemAnswer>& answers) {
  std::string lines;
  for (const PoemAnswer& a : answers) {
    lines += to_json_text({{"request", a.request}, {"form", a.form}, {"text", a.answer}}) + "\n";
  }
  write_file(path, lines);
}

void eval(const Arguments& arguments) {
  require(arguments.suite == "poems", "--suite {}: there is only 'poems'", arguments.suite);
  std::vector<PoemRequest> requests = read_requests(arguments);
  std::unique_ptr<Prosody> prosody;
  if (!arguments.tones.empty()) prosody = std::make_unique<Prosody>(arguments.tones);
  LineSet lines;
  for (const std::filesystem::path& file : arguments.train) lines.add_file(file);
  std::vector<PoemAnswer> answers = ask(arguments, requests);
  if (!arguments.answers.empty()) write_answers(arguments.answers, answers);
  Json scores = score_poems(answers, prosody.get(), arguments.train.empty() ? nullptr : &lines);
  if (arguments.json) return print_json(scores);
  fmt::print("{}", poem_table(scores));
}

}  // namespace

void add_eval(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  arguments->sampling.options.sampling.top_p = 0.95f;
  arguments->sampling.options.max_tokens = 128;
  CLI::App& verb =
      add_verb(app, "eval", "Score the poems that a model writes on request",
               "millrace eval runs/demo/model --requests runs/demo/data/requests.jsonl "
               "--tones data/tones.tsv --train data/poems-train.jsonl.zst");
  arguments->model.add_to(verb);
  verb.add_option("--suite", arguments->suite, "What to evaluate")->capture_default_str();
  verb.add_option("--requests", arguments->requests, "JSONL of {\"request\", \"form\"}")
      ->required();
  verb.add_option("--tones", arguments->tones, "Score tones and rhymes by this table");
  verb.add_option("--train", arguments->train, "Count lines that occur in these training files");
  verb.add_option("--limit", arguments->limit, "Ask only so many; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  verb.add_option("--batch", arguments->batch, "Answers that are written together; changes none")
      ->check(CLI::Range(int64_t{1}, int64_t{4096}))
      ->capture_default_str();
  verb.add_option("--answers", arguments->answers,
                  "Write the answers here, one JSON object a line");
  arguments->sampling.add_to(verb);
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { eval(*arguments); });
}

}  // namespace millrace::cli
