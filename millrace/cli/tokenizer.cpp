// millrace tokenizer train: learns a byte-pair vocabulary from text.
#include <fmt/format.h>

#include <chrono>
#include <filesystem>
#include <memory>

#include "millrace/base/error.h"
#include "millrace/base/progress.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/data/corpus.h"
#include "millrace/generate/export.h"
#include "millrace/text/bpe_train.h"

namespace millrace::cli {
namespace {

struct Arguments {
  std::vector<std::filesystem::path> files;
  std::string out;
  std::string separator = "<|endoftext|>";
  BpeTrainOptions options;
  bool json = false;
};

WordCounts count_words(const Arguments& arguments) {
  const PreTokenizer pre_tokenizer =
      PreTokenizer::named(arguments.options.pre_tokenizer, "--pre-tokenizer");
  WordCounts words;
  std::vector<std::string> texts;
  size_t bytes = 0;
  auto flush = [&] {
    words.add(std::vector<std::string_view>(texts.begin(), texts.end()), pre_tokenizer);
    texts.clear();
    bytes = 0;
  };
  for (const std::filesystem::path& file : arguments.files) {
    for_each_document(file, arguments.separator, [&](std::string_view text) {
      texts.emplace_back(text);
      bytes += text.size();
      if (bytes > (size_t{1} << 24)) flush();
    });
  }
  flush();
  return words;
}

void train(const Arguments& arguments) {
  const auto start = std::chrono::steady_clock::now();
  WordCounts words = count_words(arguments);
  require(words.size() > 0, "{}: there is no text to learn from", arguments.files.front().string());
  Progress progress("tokenizer", arguments.options.vocab_size);
  Tokenizer tokenizer =
      train_bpe(words, arguments.options, [&](int64_t done, int64_t) { progress.update(done); });
  progress.finish();
  save_tokenizer(tokenizer, std::string(built_in_template("chatml")), arguments.out);
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (arguments.json) {
    return print_json({{"folder", arguments.out},
                       {"vocab_size", tokenizer.vocab_size()},
                       {"words", words.size()},
                       {"seconds", seconds}});
  }
  fmt::print("{}: {} tokens from {} different words in {:.1f} s\n", arguments.out,
             tokenizer.vocab_size(), words.size(), seconds);
}

}  // namespace

void add_tokenizer(CLI::App& app) {
  CLI::App& tokenizer = *app.add_subcommand("tokenizer", "Work on tokenizers");
  tokenizer.require_subcommand(1);
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb =
      add_verb(tokenizer, "train", "Learn a byte-level BPE vocabulary from text",
               "millrace tokenizer train corpus/train.jsonl --vocab-size 8192 --out tokenizer");
  verb.add_option("FILES", arguments->files,
                  ".txt, or .jsonl or .json with a field \"text\"; each also .zst")
      ->required();
  verb.add_option("--out", arguments->out, "The folder to write")->required();
  verb.add_option("--vocab-size", arguments->options.vocab_size)->capture_default_str();
  verb.add_option("--pre-tokenizer", arguments->options.pre_tokenizer, "By llama.cpp's name")
      ->capture_default_str();
  verb.add_option("--min-frequency", arguments->options.min_frequency)->capture_default_str();
  verb.add_option("--max-token-chars", arguments->options.max_token_chars,
                  "Most characters of a token; 0: no limit")
      ->capture_default_str();
  verb.add_option("--separator", arguments->separator,
                  "The line between two documents of a .txt file")
      ->capture_default_str();
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { train(*arguments); });
}

}  // namespace millrace::cli
