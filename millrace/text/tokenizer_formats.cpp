#include "millrace/text/tokenizer_formats.h"

#include "millrace/text/byte_symbols.h"

namespace millrace {

std::string token_text(const TokenizerDefinition& definition, int32_t id) {
  const Token& token = definition.tokens[static_cast<size_t>(id)];
  bool is_bytes = token.in_model && definition.kind == ModelKind::kByteLevelBpe;
  return is_bytes ? bytes_to_symbols(token.bytes) : token.bytes;
}

}  // namespace millrace
