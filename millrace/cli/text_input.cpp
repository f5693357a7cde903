#include "millrace/cli/text_input.h"

#include "millrace/base/error.h"
#include "millrace/data/json_records.h"
#include "millrace/data/lines.h"

namespace millrace::cli {

void TextInput::add_to(CLI::App& verb, const std::string& name) {
  verb.add_option(name, texts, "Texts");
  verb.add_option("--file", file,
                  "A file of texts: a line each, or a field of each record of a .jsonl; - is "
                  "standard input; .zst is unpacked");
  verb.add_option("--field", field, "Of records: which holds the text")->capture_default_str();
}

std::vector<std::string> TextInput::read() const {
  std::vector<std::string> all = texts;
  if (file.empty()) {
    require(!all.empty(), "there are no texts: give some, or --file");
    return all;
  }
  const std::string path = file == "-" ? "/dev/stdin" : file;
  const std::string kind = inner_extension(path);
  if (kind == ".jsonl" || kind == ".json") {
    for_each_json_record(path, [&](JsonRecord& record) {
      all.push_back(json_field<std::string>(record.fields, field.c_str(), record.source));
    });
  } else {
    LineReader reader(path);
    while (reader.next()) {
      if (!reader.line().empty()) all.emplace_back(reader.line());
    }
  }
  require(!all.empty(), "{}: there are no texts in it", file);
  return all;
}

}  // namespace millrace::cli
