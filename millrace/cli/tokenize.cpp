// millrace tokenize: text to token ids and back.
#include <fmt/format.h>

#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <memory>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"

namespace millrace::cli {
namespace {

struct Arguments {
  std::string model, file, text;
  bool decode = false, special = true, json = false;
};

std::string input(const Arguments& arguments) {
  if (!arguments.text.empty()) return arguments.text;
  if (!arguments.file.empty() && arguments.file != "-") return read_file(arguments.file);
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

/// Ids as `tokenize` prints them: a JSON array, an object with "ids", or numbers between spaces.
std::vector<int32_t> parse_ids(const std::string& text) {
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && (text[first] == '{' || text[first] == '[')) {
    Json json = parse_json(text, "the ids");
    const Json& array = json.is_object() && json.contains("ids") ? json["ids"] : json;
    require(array.is_array(), "the ids: expected an array, or an object with the array 'ids'");
    std::vector<int32_t> ids;
    for (const Json& id : array)
      ids.push_back(json_field<int32_t>(Json{{"ids", id}}, "ids", "the ids"));
    return ids;
  }
  std::vector<int32_t> ids;
  const char* at = text.c_str();
  for (;;) {
    char* end = nullptr;
    const long id = std::strtol(at, &end, 10);
    if (end == at) break;
    require(0 <= id && id <= INT32_MAX, "the ids: {} is no token's", std::string_view(at, end));
    ids.push_back(static_cast<int32_t>(id));
    at = end;
  }
  require(std::string_view(at).find_first_not_of(" \t\r\n,") == std::string_view::npos,
          "the ids: '{}' is not a number", std::string_view(at).substr(0, 20));
  return ids;
}

void tokenize(const Arguments& arguments) {
  Tokenizer tokenizer = load_tokenizer(arguments.model);
  const std::string text = input(arguments);
  if (arguments.decode) {
    const std::vector<int32_t> ids = parse_ids(text);
    for (int32_t id : ids) {
      require(0 <= id && id < tokenizer.vocab_size(), "the ids: {} is no token's; ids are 0 to {}",
              id, tokenizer.vocab_size() - 1);
    }
    std::string decoded = tokenizer.decode(ids);
    if (arguments.json) return print_json({{"text", decoded}});
    std::cout << decoded;
    return;
  }
  std::vector<int32_t> ids = tokenizer.encode(
      text, {.add_special = arguments.special, .parse_special = arguments.special});
  if (arguments.json) return print_json({{"tokens", ids.size()}, {"ids", ids}});
  fmt::print("{}\n", fmt::join(ids, " "));
}

}  // namespace

void add_tokenize(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "tokenize", "Text to token ids, and back with --decode",
                            "millrace tokenize model.gguf --file book.txt --json");
  add_model(verb, "MODEL", arguments->model,
            "A model folder, a .gguf file, a tokenizer's own file, or a name that was pulled")
      .required();
  verb.add_option("--file", arguments->file, "The text (default: standard input)");
  verb.add_option("--text", arguments->text, "The text itself");
  verb.add_flag("--decode", arguments->decode, "The input is ids; print their text");
  verb.add_flag("!--plain", arguments->special, "Add no special tokens and find none in the text");
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { tokenize(*arguments); });
}

}  // namespace millrace::cli
