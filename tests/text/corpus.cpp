#include "corpus.h"

#include "millrace/base/json.h"
#include "millrace/base/random.h"
#include "millrace/text/utf8.h"

namespace millrace {
namespace {

using Strings = std::vector<std::string>;

struct CorpusItems {
  std::vector<Strings> categories;
  Strings separators;
  std::vector<std::pair<uint64_t, uint64_t>> code_points;
};

CorpusItems read_items() {
  Json file =
      read_json(std::filesystem::path(MILLRACE_SOURCE_DIR) / "tests/golden/text/corpus.json");
  CorpusItems items;
  for (const Json& category : file["items"]) items.categories.push_back(category.get<Strings>());
  items.separators = file["separators"].get<Strings>();
  for (const Json& range : file["code_points"]) items.code_points.emplace_back(range[0], range[1]);
  return items;
}

template <typename T>
const T& choice(Random& random, const std::vector<T>& values) {
  return values[random.below(values.size())];
}

std::string document(const CorpusItems& items, uint64_t number) {
  Random random(number);
  const Strings& focus = choice(random, items.categories);
  std::string text;
  uint64_t pieces = 20 + random.below(300);
  for (uint64_t piece = 0; piece < pieces; ++piece) {
    uint64_t kind = random.below(32);
    if (kind < 28) {
      text += choice(random, kind < 14 ? focus : choice(random, items.categories));
    } else if (kind == 28) {
      const std::string& separator = choice(random, items.separators);
      for (uint64_t count = 1 + random.below(40); count > 0; --count) text += separator;
    } else if (kind == 29) {
      for (uint64_t count = 1 + random.below(8); count > 0; --count) {
        auto [low, high] = choice(random, items.code_points);
        append_utf8(text, static_cast<char32_t>(low + random.below(high - low + 1)));
      }
    } else {
      uint64_t bits = random.bits();
      text += std::to_string(bits >> random.below(60));
    }
    text += choice(random, items.separators);
  }
  if (number % 8 != 7) return text;
  for (uint64_t count = 1 + random.below(40); count > 0; --count) {
    auto at = static_cast<std::ptrdiff_t>(random.below(text.size()));
    switch (random.below(3)) {
      case 0:
        text[static_cast<size_t>(at)] = static_cast<char>(random.below(256));
        break;
      case 1:
        text.insert(text.begin() + at, static_cast<char>(random.below(256)));
        break;
      default:
        text.erase(text.begin() + at);
    }
  }
  return text;
}

}  // namespace

std::vector<std::string> corpus_documents(size_t count) {
  CorpusItems items = read_items();
  std::vector<std::string> documents;
  for (size_t i = 0; i < count; ++i) documents.push_back(document(items, i));
  return documents;
}

uint64_t hash_ids(std::span<const int32_t> ids, uint64_t hash) {
  for (int32_t id : ids) {
    for (int shift = 0; shift < 32; shift += 8) {
      hash = (hash ^ (static_cast<uint32_t>(id) >> shift & 0xff)) * 0x100000001b3;
    }
  }
  return hash;
}

}  // namespace millrace
