// millrace score: how likely a model finds a text.
#include <fmt/format.h>

#include <memory>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/progress.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/evaluate/perplexity.h"

namespace millrace::cli {
namespace {

struct Arguments {
  ModelOptions model;
  std::string file;
  PerplexityOptions options;
  bool token_scores = false;
  bool json = false;
};

/// The token that begins each window, where the tokenizer begins texts with one.
int32_t window_bos(const Tokenizer& tokenizer) {
  std::vector<int32_t> empty = tokenizer.encode("");
  return empty.empty() ? -1 : empty.front();
}

void score(const Arguments& arguments) {
  const std::string text = read_file(arguments.file);
  LanguageModel model = arguments.model.open();
  std::vector<int32_t> ids =
      model.tokenizer.encode(text, {.add_special = true, .parse_special = false});
  PerplexityOptions options = arguments.options;
  options.bos = window_bos(model.tokenizer);
  options.context = std::min(options.context, model.model->config().max_position_embeddings);
  Progress progress("scoring", static_cast<int64_t>(ids.size()) / options.context);
  Perplexity result = perplexity(*model.model, ids, options, model.adapter_map(),
                                 [&](int64_t windows) { progress.update(windows); });
  if (!arguments.json) {
    fmt::print("{} tokens scored, {:.6f} nats a token, perplexity {:.4f}\n", result.tokens,
               result.nll, result.perplexity());
    return;
  }
  Json json = {{"tokens", result.tokens},
               {"text_tokens", ids.size()},
               {"context", options.context},
               {"nll", result.nll},
               {"perplexity", result.perplexity()}};
  if (arguments.token_scores) {
    std::vector<int32_t> scored;
    for (int64_t at : result.positions) scored.push_back(ids[static_cast<size_t>(at)]);
    json["positions"] = result.positions;
    json["ids"] = scored;
    json["log_probabilities"] = result.log_probabilities;
  }
  print_json(json);
}

}  // namespace

void add_score(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "score", "Perplexity and log-probabilities of a text",
                            "millrace score model.gguf --file book.txt --context 512 --json");
  arguments->model.add_to(verb);
  verb.add_option("--file", arguments->file, "The text")->required();
  verb.add_option("--context", arguments->options.context,
                  "Tokens in a window; the second half of each is scored")
      ->capture_default_str();
  verb.add_option("--batch", arguments->options.batch,
                  "Windows that run together; figures stay the same")
      ->capture_default_str();
  verb.add_flag("--token-scores", arguments->token_scores, "With --json: every scored token too");
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { score(*arguments); });
}

}  // namespace millrace::cli
