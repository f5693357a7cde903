#include "millrace/generate/grammar/grammar_cache.h"

#include <fmt/format.h>

#include "millrace/base/indexed_map.h"
#include "millrace/base/json.h"
#include "millrace/generate/grammar/gbnf.h"
#include "millrace/generate/grammar/json_parts.h"
#include "millrace/generate/grammar/json_schema.h"
#include "millrace/generate/grammar/regex.h"

namespace millrace {

Grammar read_grammar(const GrammarSource& source) {
  switch (source.kind) {
    case GrammarSource::Kind::json_schema:
      return grammar_from_json_schema(parse_json(source.text, "JSON Schema"));
    case GrammarSource::Kind::regex:
      return grammar_from_regex(source.text);
    case GrammarSource::Kind::gbnf:
      return grammar_from_gbnf(source.text);
    case GrammarSource::Kind::json_object:
      break;
  }
  return grammar_of_json_objects();
}

size_t GrammarCache::HashKey::operator()(std::string_view key) const {
  return seeded_hash(key);
}

std::shared_ptr<const CompiledGrammar> GrammarCache::get(const GrammarSource& source) {
  return get(fmt::format("{}:{}", static_cast<int>(source.kind), source.text),
             [&] { return read_grammar(source); });
}

std::shared_ptr<const CompiledGrammar> GrammarCache::get(const std::string& key,
                                                         const std::function<Grammar()>& make) {
  if (auto found = find(key)) return found;
  // Without the lock: others need not wait. Who compiles the same at the same time does so twice.
  auto compiled = CompiledGrammar::compile(make(), trie_);
  std::lock_guard lock(mutex_);
  if (by_key_.contains(key)) return compiled;
  entries_.push_front({key, compiled});
  by_key_.emplace(entries_.front().key, entries_.begin());
  drop_oldest();
  return compiled;
}

std::shared_ptr<const CompiledGrammar> GrammarCache::find(const std::string& key) {
  std::lock_guard lock(mutex_);
  auto found = by_key_.find(key);
  if (found == by_key_.end()) return nullptr;
  entries_.splice(entries_.begin(), entries_, found->second);
  return found->second->grammar;
}

void GrammarCache::drop_oldest() {
  size_t bytes = 0, kept = 0;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    bytes += entry->key.size() + entry->grammar->bytes();
    if (kept < 1 || (kept < max_grammars_ && bytes <= max_bytes_)) {
      ++kept;
      ++entry;
    } else {
      by_key_.erase(entry->key);
      entry = entries_.erase(entry);
    }
  }
}

}  // namespace millrace
