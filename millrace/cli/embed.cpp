// millrace embed: texts as vectors.
#include <fmt/format.h>

#include <memory>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/progress.h"
#include "millrace/base/thread_pool.h"
#include "millrace/cli/options.h"
#include "millrace/cli/text_input.h"
#include "millrace/cli/verbs.h"
#include "millrace/formats/npy.h"
#include "millrace/generate/embedding.h"
#include "millrace/serve/answer.h"

namespace millrace::cli {
namespace {

struct Arguments {
  ModelOptions model;
  TextInput input;
  std::string prompt_name;
  std::string output;
  int64_t dimensions = 0;
  bool json = false;
};

std::vector<std::vector<int32_t>> encode(const LanguageModel& model, const Arguments& arguments,
                                         const std::vector<std::string>& texts) {
  const EmbeddingSettings& settings = model.embedding;
  const std::string& name =
      arguments.prompt_name.empty() ? settings.default_prompt : arguments.prompt_name;
  const std::string prompt = name.empty() ? "" : settings.prompt(name);
  std::vector<std::vector<int32_t>> ids(texts.size());
  parallel_for(static_cast<int64_t>(texts.size()), [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    ids[at] = embedding_ids(model, prompt, texts[at]);
  });
  return ids;
}

Json line(const std::string& text, const std::vector<float>& vector) {
  return {{"text", text}, {"embedding", serve::shortest(vector)}};
}

void write(const std::string& path, const std::vector<std::string>& texts,
           const std::vector<std::vector<float>>& vectors) {
  if (path.ends_with(".npy")) return write_npy(path, vectors);
  require(path.ends_with(".jsonl"), "--output {}: its name must end in .npy or .jsonl", path);
  FileWriter file(path);
  for (size_t i = 0; i < texts.size(); ++i) {
    file.write(to_json_text(line(texts[i], vectors[i])) + "\n");
  }
  file.commit();
}

void run(const Arguments& arguments) {
  const std::vector<std::string> texts = arguments.input.read();
  LanguageModel model = arguments.model.open();
  const int64_t hidden = model.model->config().hidden_size;
  require(arguments.dimensions >= 0 && arguments.dimensions <= hidden,
          "--dimensions is {}; the model's vectors have {}", arguments.dimensions, hidden);
  const auto ids = encode(model, arguments, texts);
  Progress progress("embedding", static_cast<int64_t>(texts.size()));
  auto vectors = embed_all(model, ids, [&](int64_t done) { progress.update(done); });
  progress.finish();
  const int64_t width = arguments.dimensions > 0 ? arguments.dimensions : hidden;
  for (auto& vector : vectors) shorten(vector, static_cast<size_t>(width));
  if (!arguments.output.empty()) write(arguments.output, texts, vectors);
  if (arguments.json) {
    size_t tokens = 0;
    for (const auto& one : ids) tokens += one.size();
    Json report = {{"texts", texts.size()}, {"tokens", tokens}, {"dimensions", width}};
    if (arguments.output.empty()) {
      report["embeddings"] = Json::array();
      for (const auto& vector : vectors) report["embeddings"].push_back(serve::shortest(vector));
    }
    return print_json(report);
  }
  if (!arguments.output.empty()) {
    return fmt::print("{} vectors of {} numbers in {}\n", texts.size(), width, arguments.output);
  }
  for (size_t i = 0; i < texts.size(); ++i) print_json(line(texts[i], vectors[i]));
}

}  // namespace

void add_embed(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "embed", "Texts as vectors, for search and comparison",
                            "millrace embed MODEL \"a cat\" \"a dog\"\n"
                            "  millrace embed MODEL --file passages.jsonl --output vectors.npy");
  arguments->model.add_to(verb);
  arguments->input.add_to(verb, "TEXT");
  verb.add_option("--prompt-name", arguments->prompt_name,
                  "Which of the model's prompts is put before each text: often query or passage");
  verb.add_option("--dimensions", arguments->dimensions,
                  "Keep the first numbers of each vector, brought to length 1; 0: all")
      ->capture_default_str();
  verb.add_option("--output", arguments->output,
                  "Where vectors go: NAME.npy, a matrix of f32, or NAME.jsonl, a line for each "
                  "text (default: such lines on standard output)");
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { run(*arguments); });
}

}  // namespace millrace::cli
