// Names of what GGUF files say of tokenizers.
#pragma once

namespace millrace::gguf_keys {

inline constexpr const char* kModelKey = "tokenizer.ggml.model";
inline constexpr const char* kPreKey = "tokenizer.ggml.pre";
inline constexpr const char* kTokensKey = "tokenizer.ggml.tokens";
inline constexpr const char* kTypesKey = "tokenizer.ggml.token_type";
inline constexpr const char* kMergesKey = "tokenizer.ggml.merges";
inline constexpr const char* kBosKey = "tokenizer.ggml.bos_token_id";
inline constexpr const char* kEosKey = "tokenizer.ggml.eos_token_id";
inline constexpr const char* kEotKey = "tokenizer.ggml.eot_token_id";
inline constexpr const char* kEomKey = "tokenizer.ggml.eom_token_id";
inline constexpr const char* kUnkKey = "tokenizer.ggml.unknown_token_id";
inline constexpr const char* kPadKey = "tokenizer.ggml.padding_token_id";
inline constexpr const char* kAddBosKey = "tokenizer.ggml.add_bos_token";
inline constexpr const char* kAddEosKey = "tokenizer.ggml.add_eos_token";
inline constexpr const char* kScoresKey = "tokenizer.ggml.scores";
inline constexpr const char* kAddSpaceKey = "tokenizer.ggml.add_space_prefix";
inline constexpr const char* kRemoveSpacesKey = "tokenizer.ggml.remove_extra_whitespaces";
inline constexpr const char* kCharacterMapKey = "tokenizer.ggml.precompiled_charsmap";
inline constexpr const char* kClsKey = "tokenizer.ggml.cls_token_id";
// So spelled in every file.
inline constexpr const char* kSepKey = "tokenizer.ggml.seperator_token_id";

}  // namespace millrace::gguf_keys
