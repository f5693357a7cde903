// millrace rerank: documents in the order in which they answer a query.
#include <fmt/format.h>

#include <memory>

#include "millrace/base/error.h"
#include "millrace/base/progress.h"
#include "millrace/cli/options.h"
#include "millrace/cli/text_input.h"
#include "millrace/cli/verbs.h"
#include "millrace/generate/rerank.h"
#include "millrace/serve/answer.h"

namespace millrace::cli {
namespace {

struct Arguments {
  ModelOptions model;
  std::string query;
  TextInput documents;
  int64_t top = 0;
  bool json = false;
};

void run(const Arguments& arguments) {
  const std::vector<std::string> documents = arguments.documents.read();
  require(arguments.top >= 0, "--top-n is {}; it must be positive", arguments.top);
  LanguageModel model = arguments.model.open();
  Progress progress("scoring", static_cast<int64_t>(documents.size()));
  const std::vector<float> scores =
      rerank(model, arguments.query, documents, [&](int64_t done) { progress.update(done); });
  progress.finish();
  std::vector<size_t> order = ranking(scores);
  if (arguments.top > 0) order.resize(std::min(order.size(), static_cast<size_t>(arguments.top)));
  Json results = Json::array();
  for (size_t i : order) {
    results.push_back({{"index", i},
                       {"relevance_score", serve::shortest(scores[i])},
                       {"document", documents[i]}});
    if (!arguments.json) fmt::print("{:8.5f}  {}\n", scores[i], documents[i]);
  }
  if (arguments.json) print_json({{"query", arguments.query}, {"results", std::move(results)}});
}

}  // namespace

void add_rerank(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "rerank", "Documents in the order in which they answer a query",
                            "millrace rerank MODEL \"who wrote Faust?\" --file passages.txt");
  arguments->model.add_to(verb);
  verb.add_option("QUERY", arguments->query, "What is asked")->required();
  arguments->documents.add_to(verb, "DOCUMENT");
  verb.add_option("--top-n", arguments->top, "Print only the best; 0: all")->capture_default_str();
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { run(*arguments); });
}

}  // namespace millrace::cli
