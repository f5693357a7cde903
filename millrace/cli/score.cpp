// millrace score: how likely a model finds a text, or documents as the trainer scores them.
#include <fmt/format.h>

#include <cmath>
#include <memory>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/progress.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/evaluate/perplexity.h"
#include "millrace/train/inputs.h"

namespace millrace::cli {
namespace {

struct Arguments {
  ModelOptions model;
  std::string file;
  std::vector<std::string> documents;
  DataRecipe data;
  PerplexityOptions options;
  bool token_scores = false;
  bool json = false;
};

/// The token that begins each window, where the tokenizer begins texts with one.
int32_t window_bos(const Tokenizer& tokenizer) {
  std::vector<int32_t> empty = tokenizer.encode("");
  return empty.empty() ? -1 : empty.front();
}

/// One text, window by window.
void score_text(const Arguments& arguments) {
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
  progress.finish();
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

/// Documents, as the trainer scores what is held out.
void score_documents(const Arguments& arguments) {
  LanguageModel model = arguments.model.open();
  const int64_t context =
      std::min(arguments.options.context, model.model->config().max_position_embeddings);
  require(context > 0 && arguments.options.batch > 0, "--context and --batch must be positive");
  TokenDataset dataset = read_dataset(arguments.data, arguments.documents, model);
  std::vector<Piece> pieces = make_pieces(dataset, context, long_documents(arguments.data));
  require(!pieces.empty(), "{}: nothing to score; a document needs two tokens",
          arguments.documents.front());
  Workspace workspace;
  HeldoutLoss result =
      heldout_loss(*model.model, model.adapter_map(), dataset, pieces,
                   arguments.options.batch * context, token_lengths(model.tokenizer), workspace);
  const double nll = result.loss.mean();
  if (arguments.json) {
    return print_json({{"tokens", result.loss.tokens},
                       {"documents", dataset.num_documents()},
                       {"sequences", pieces.size()},
                       {"context", context},
                       {"nll", nll},
                       {"perplexity", std::exp(nll)},
                       {"bits_per_byte", result.bits_per_byte()},
                       {"bits_per_character", result.bits_per_character()}});
  }
  fmt::print(
      "{} tokens of {} documents scored, {:.6f} nats a token, perplexity {:.4f}, "
      "{:.4f} bits a byte, {:.4f} a character\n",
      result.loss.tokens, dataset.num_documents(), nll, std::exp(nll), result.bits_per_byte(),
      result.bits_per_character());
}

}  // namespace

void add_score(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb =
      add_verb(app, "score", "Perplexity and log-probabilities of a text",
               "millrace score model.gguf --file book.txt --context 512 --json\n"
               "  millrace score runs/demo/model --documents heldout.jsonl --context 256");
  arguments->model.add_to(verb);
  auto* input = verb.add_option_group("Input", "What to score, one of these");
  CLI::Option* file = input->add_option(
      "--file", arguments->file,
      "A text, cut into windows of --context tokens; the second half of each is scored");
  CLI::Option* documents = input->add_option(
      "--documents", arguments->documents,
      "A file of documents, scored whole, each alone, as training scores data.heldout; long ones "
      "are cut into sequences of at most --context tokens; may be repeated");
  documents->allow_extra_args(false);
  input->require_option(1);
  verb.add_option(
          "--format", arguments->data.format,
          "Of the documents: text (.txt, or .jsonl with a field \"text\"), or "
          "conversations, of which the assistant's part is scored: alpaca, sharegpt, messages")
      ->check(CLI::IsMember({"text", "alpaca", "sharegpt", "messages"}))
      ->needs(documents)
      ->capture_default_str();
  verb.add_option("--separator", arguments->data.separator,
                  "The line between two documents of a .txt file")
      ->needs(documents)
      ->capture_default_str();
  verb.add_option("--context", arguments->options.context, "Most tokens that are seen together")
      ->capture_default_str();
  verb.add_option("--batch", arguments->options.batch,
                  "Windows that run together; figures stay the same")
      ->capture_default_str();
  verb.add_flag("--token-scores", arguments->token_scores, "With --json: every scored token too")
      ->needs(file);
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] {
    arguments->file.empty() ? score_documents(*arguments) : score_text(*arguments);
  });
}

}  // namespace millrace::cli
