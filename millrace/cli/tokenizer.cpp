// millrace tokenizer: learns a vocabulary from text, measures how fast one encodes, and writes one
// as tokenizer.json.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <memory>

#include "millrace/base/error.h"
#include "millrace/base/progress.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/data/corpus.h"
#include "millrace/generate/export.h"
#include "millrace/generate/language_model.h"
#include "millrace/text/bpe_train.h"
#include "millrace/text/unigram_train.h"

namespace millrace::cli {
namespace {

struct Arguments {
  std::vector<std::filesystem::path> files;
  std::string out;
  std::string separator = "<|endoftext|>";
  std::string type = "bpe";
  BpeTrainOptions options;
  bool json = false;
};

WordCounts count_words(const Arguments& arguments) {
  const PreTokenizer pre_tokenizer =
      arguments.type == "unigram"
          ? unigram_training_words()
          : PreTokenizer::named(arguments.options.pre_tokenizer, "--pre-tokenizer");
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

Tokenizer learn(const WordCounts& words, const Arguments& arguments,
                const TrainProgress& progress) {
  if (arguments.type == "bpe") return train_bpe(words, arguments.options, progress);
  UnigramTrainOptions options;
  options.vocab_size = arguments.options.vocab_size;
  if (arguments.options.max_token_chars > 0) {
    options.max_piece_chars = arguments.options.max_token_chars;
  }
  return train_unigram(words, options, progress);
}

void train(const Arguments& arguments) {
  const auto start = std::chrono::steady_clock::now();
  WordCounts words = count_words(arguments);
  require(words.size() > 0, "{}: there is no text to learn from", arguments.files.front().string());
  Progress progress("tokenizer", arguments.options.vocab_size);
  Tokenizer tokenizer = learn(words, arguments, [&](int64_t done, int64_t total) {
    const double part =
        static_cast<double>(done) / static_cast<double>(std::max<int64_t>(1, total));
    progress.update(static_cast<int64_t>(part * arguments.options.vocab_size));
  });
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

struct BenchArguments {
  std::string model, separator = "<|endoftext|>";
  std::filesystem::path file;
  int repeat = 5;
  bool json = false;
};

void bench(const BenchArguments& arguments) {
  const Tokenizer tokenizer = load_tokenizer(arguments.model);
  std::vector<std::string> texts;
  size_t bytes = 0;
  for_each_document(arguments.file, arguments.separator, [&](std::string_view text) {
    texts.emplace_back(text);
    bytes += text.size();
  });
  require(bytes > 0, "{}: there is no text to encode", arguments.file.string());
  size_t tokens = 0;
  std::vector<double> seconds;
  for (int i = 0; i <= arguments.repeat; ++i) {
    const auto start = std::chrono::steady_clock::now();
    tokens = 0;
    for (const std::string& text : texts) {
      tokens += tokenizer.encode(text, {.add_special = false}).size();
    }
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    if (i > 0) seconds.push_back(taken.count());  // the first is to warm up
  }
  if (arguments.json) {
    return print_json(
        {{"documents", texts.size()}, {"bytes", bytes}, {"tokens", tokens}, {"seconds", seconds}});
  }
  std::sort(seconds.begin(), seconds.end());
  const double median = seconds[seconds.size() / 2];
  fmt::print("{} tokens of {} bytes: {:.1f} MB/s, {:.2f} million tokens/s\n", tokens, bytes,
             static_cast<double>(bytes) / median / 1e6, static_cast<double>(tokens) / median / 1e6);
}

void add_bench_verb(CLI::App& tokenizer) {
  auto arguments = std::make_shared<BenchArguments>();
  CLI::App& verb = add_verb(tokenizer, "bench", "Measure how fast texts become ids, on one thread",
                            "millrace tokenizer bench model.gguf book.txt");
  add_model(verb, "MODEL", arguments->model,
            "A model folder, a .gguf file, a tokenizer's own file, or a name that was pulled")
      .required();
  verb.add_option("FILE", arguments->file,
                  ".txt, or .jsonl or .json with a field \"text\"; each also .zst")
      ->required();
  verb.add_option("--repeat", arguments->repeat, "How often, after once to warm up")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  verb.add_option("--separator", arguments->separator,
                  "The line between two documents of a .txt file")
      ->capture_default_str();
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { bench(*arguments); });
}

void add_convert_verb(CLI::App& tokenizer) {
  struct ConvertArguments {
    std::string model, out;
    bool json = false;
  };
  auto arguments = std::make_shared<ConvertArguments>();
  CLI::App& verb = add_verb(tokenizer, "convert",
                            "Write any tokenizer as a tokenizer.json, for Hugging Face's tools",
                            "millrace tokenizer convert tokenizer.model --out tokenizer");
  verb.add_option("MODEL", arguments->model,
                  "A model folder, a .gguf file, or a tokenizer's own file")
      ->required();
  verb.add_option("--out", arguments->out, "The folder to write")->required();
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] {
    const Tokenizer read = load_tokenizer(arguments->model);
    save_tokenizer(read, load_chat_template(arguments->model), arguments->out);
    if (arguments->json) {
      return print_json({{"tokenizer", arguments->out}, {"vocab_size", read.vocab_size()}});
    }
    fmt::print("{}: {} tokens\n", arguments->out, read.vocab_size());
  });
}

}  // namespace

void add_tokenizer(CLI::App& app) {
  CLI::App& tokenizer = *app.add_subcommand("tokenizer", "Work on tokenizers");
  tokenizer.require_subcommand(1);
  add_bench_verb(tokenizer);
  add_convert_verb(tokenizer);
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb =
      add_verb(tokenizer, "train", "Learn a vocabulary from text: byte-level BPE, or unigram",
               "millrace tokenizer train corpus/train.jsonl --vocab-size 8192 --out tokenizer");
  verb.add_option("FILES", arguments->files,
                  ".txt, or .jsonl or .json with a field \"text\"; each also .zst")
      ->required();
  verb.add_option("--out", arguments->out, "The folder to write")->required();
  verb.add_option("--type", arguments->type, "bpe: byte-level BPE; unigram: as SentencePiece's")
      ->check(CLI::IsMember({"bpe", "unigram"}))
      ->capture_default_str();
  verb.add_option("--vocab-size", arguments->options.vocab_size)->capture_default_str();
  verb.add_option("--pre-tokenizer", arguments->options.pre_tokenizer, "By llama.cpp's name (bpe)")
      ->capture_default_str();
  verb.add_option("--min-frequency", arguments->options.min_frequency,
                  "Pairs that occur less often are not merged (bpe)")
      ->capture_default_str();
  verb.add_option("--max-token-chars", arguments->options.max_token_chars,
                  "Most characters of a token; 0: no limit (bpe) or 16 (unigram)")
      ->capture_default_str();
  verb.add_option("--separator", arguments->separator,
                  "The line between two documents of a .txt file")
      ->capture_default_str();
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { train(*arguments); });
}

}  // namespace millrace::cli
