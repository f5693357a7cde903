// Tokenizers from the files that were before tokenizer.json: vocabularies without the steps around
// them, which are those of the classes that read them.
#pragma once

#include <string_view>

#include "millrace/base/json.h"
#include "millrace/text/tokenizer_definition.h"

namespace millrace {

/// vocab.txt: BERT's pieces, one a line. `config` is that of tokenizer_config.json, or null.
TokenizerDefinition word_piece_definition(std::string_view content, const Json& config,
                                          std::string_view source);

/// vocab.json and merges.txt: GPT-2's byte-level BPE, also of OPT, RoBERTa and GLM.
TokenizerDefinition merges_definition(const Json& vocab, std::string_view merges,
                                      const Json& config, std::string_view source);

}  // namespace millrace
