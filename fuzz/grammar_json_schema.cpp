// Any bytes as a source of constraints (json_schema): an Error, or a grammar that can be walked.
#include "fuzz/compile_grammar.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using millrace::GrammarSource;
  const std::string text(reinterpret_cast<const char*>(data), size);
  millrace::compile_and_walk({GrammarSource::Kind::json_schema, text});
  return 0;
}
