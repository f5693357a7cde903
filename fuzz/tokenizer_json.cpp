// Any bytes as a tokenizer.json, which is its own tokenizer_config.json too: an Error or a
// tokenizer that gives back the text that it encodes, as far as its definition lets it.
#include <string_view>

#include "millrace/base/error.h"
#include "millrace/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    millrace::Json json = millrace::parse_json(text, "input");
    auto tokenizer = millrace::Tokenizer::from_json(json, json, "input");
    tokenizer.to_json();
    std::string_view sample = text.substr(0, 2000);
    tokenizer.decode(tokenizer.encode(sample));
  } catch (const millrace::Error&) {
  }
  return 0;
}
