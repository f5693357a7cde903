// Any bytes as a SentencePiece model: an Error, or a tokenizer that encodes and can be written.
#include <algorithm>
#include <string_view>

#include "millrace/base/error.h"
#include "millrace/text/sentencepiece_tokenizer.h"
#include "millrace/text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    std::string_view bytes(reinterpret_cast<const char*>(data), size);
    auto model = millrace::SentencePieceModel::parse(bytes, "input");
    millrace::Tokenizer tokenizer(millrace::sentencepiece_definition(model, "input"), "input");
    tokenizer.to_json();
    tokenizer.decode(tokenizer.encode(bytes.substr(0, 2000)));
  } catch (const millrace::Error&) {
  }
  return 0;
}
