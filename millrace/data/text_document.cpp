#include "millrace/data/text_document.h"

namespace millrace {

Document text_document(std::string_view text, const Tokenizer& tokenizer) {
  Document document;
  document.tokens = tokenizer.encode(text, {.add_special = true, .parse_special = false});
  const int32_t eos = tokenizer.eos();
  if (eos >= 0 && (document.tokens.empty() || document.tokens.back() != eos)) {
    document.tokens.push_back(eos);
  }
  return document;
}

}  // namespace millrace
