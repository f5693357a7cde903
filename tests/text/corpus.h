// A mixed corpus, generated as tools/make_tokenizer_goldens.py does it.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace millrace {

/// Chinese, English, code, emoji, Arabic and other scripts, control characters and any code points.
/// Every eighth document is broken UTF-8.
std::vector<std::string> corpus_documents(size_t count);

/// 64-bit FNV-1a, continued from `hash`.
inline constexpr uint64_t kEmptyHash = 0xcbf29ce484222325;
uint64_t hash_ids(std::span<const int32_t> ids, uint64_t hash);

}  // namespace millrace
