// Text to token ids and back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/formats/gguf_metadata.h"
#include "millrace/text/tokenizer_definition.h"

namespace millrace {

struct EncodeOptions {
  /// Put the tokens that begin and end a text around it, where the model wants them.
  bool add_special = true;
  /// Find special tokens in the text. Not for text of users, who would speak for the system.
  bool parse_special = true;
};

/// A part of a text, and whether special tokens are to be found in it.
struct TextSegment {
  std::string_view text;
  bool parse_special = false;
};

/// Byte-level BPE, BPE of characters, unigram or WordPiece. Cheap to copy and immutable: any number
/// of threads may use it.
///
/// Ids equal those of Hugging Face's tokenizers for the same tokenizer.json, SentencePiece's for
/// the same .model, tiktoken's for the same ranks and llama.cpp's for the same GGUF file. Where
/// text is not UTF-8, which those replace, its bytes are kept: words are found as if U+FFFD stood
/// there, and then made of the bytes themselves, if there are tokens of bytes. With those and
/// without a normalizer, any bytes come back from decode(encode(bytes)).
class Tokenizer {
 public:
  /// Checks the definition and builds what is needed to run it. Errors begin with `source`.
  Tokenizer(TokenizerDefinition definition, std::string_view source);

  /// Reads a tokenizer.json (its content, or null) and the tokenizer_config.json beside it (null
  /// when there is none). Throws Error that names `source` and the field for anything malformed
  /// or not supported.
  static Tokenizer from_json(const Json& tokenizer, const Json& config, std::string_view source);
  /// Reads the keys tokenizer.ggml.*. Throws Error that names the file and the key.
  static Tokenizer from_gguf(const GgufMetadata& metadata);

  /// A tokenizer.json and a tokenizer_config.json for Hugging Face's tools, with the same ids.
  Json to_json() const;
  Json config_json() const;
  /// Sets the keys tokenizer.ggml.*. Throws Error for a pre-tokenizer or a normalizer that GGUF has
  /// no name for.
  void to_gguf(GgufMetadata& metadata) const;

  std::vector<int32_t> encode(std::string_view text, EncodeOptions options = {}) const;
  /// Encodes the segments as one text: words go on from one to the next, but a special token is
  /// found only where it lies in segments that allow it.
  std::vector<int32_t> encode(std::span<const TextSegment> segments, bool add_special) const;

  /// The text of tokens, as its own bytes where tokens are a part of a character. With
  /// `skip_special`, special tokens are left out. Ids that the tokenizer does not have (rows that
  /// pad an embedding) give nothing.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  /// What one token writes behind others; empty for ids that it does not have.
  std::string_view token_bytes(int32_t id) const;
  /// What it writes at the beginning of a text, before Decoder::strip is taken off.
  std::string_view first_token_bytes(int32_t id) const;
  /// Whether the space at the end of what it writes is none at the end of a text.
  bool ends_with_word_end(int32_t id) const;
  /// The token with this content; kNoToken when there is none. Added tokens come first.
  int32_t token_id(std::string_view text) const;
  /// Whether decode leaves it out.
  bool is_special(int32_t id) const;

  int32_t vocab_size() const;
  int32_t bos() const { return definition().bos; }
  int32_t eos() const { return definition().eos; }
  int32_t eot() const { return definition().eot; }
  int32_t unk() const { return definition().unk; }
  int32_t pad() const { return definition().pad; }
  /// Tokens that end a generation, ascending: eos, the end of a turn, and others known by name.
  const std::vector<int32_t>& end_ids() const;
  bool is_end(int32_t id) const;

  const TokenizerDefinition& definition() const;

 private:
  struct State;
  std::shared_ptr<const State> state_;
};

/// Loads the tokenizer of a model: a folder with tokenizer.json (and, if there, the
/// tokenizer_config.json, config.json and generation_config.json beside it), that tokenizer.json
/// itself, or a GGUF file. Throws Error that names the file.
Tokenizer load_tokenizer(const std::filesystem::path& model);

}  // namespace millrace
