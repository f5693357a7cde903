#include "millrace/data/poetry.h"

#include <fmt/args.h>

#include <algorithm>
#include <array>
#include <span>

#include "millrace/base/error.h"
#include "millrace/data/poem_form.h"

namespace millrace {
namespace {

/// Common nouns of verse: what a poem may be asked to be about.
constexpr std::string_view kThemes =
    "月风花雪山水云江春秋酒柳梅雁雨竹松夜日烟舟琴剑灯霜露草鸟鹤莺燕蝉桃李杏菊荷莲兰桂"
    "溪湖海河泉石楼台亭桥寺钟僧书诗茶笛马泪梦心人家门窗帘城关塞田村樵渔鱼鸥鸿猿虫萤星天";

constexpr std::array<std::string_view, 7> kTitlePhrases = {
    "以《{title}》为题写一首{form}",
    "写一首{form}，题目是《{title}》",
    "请作一首{form}，题为《{title}》",
    "请以《{title}》为题，作一首{form}",
    "作{form}一首，题《{title}》",
    "来一首题为《{title}》的{form}",
    "{form}：《{title}》",
};
constexpr std::array<std::string_view, 3> kTitleAndAuthorPhrases = {
    "模仿{author}写一首{form}，题目是《{title}》",
    "请仿{author}，以《{title}》为题作一首{form}",
    "如果{author}以《{title}》为题写{form}，会怎么写",
};
constexpr std::array<std::string_view, 3> kAuthorPhrases = {
    "模仿{author}写一首{form}",
    "写一首{author}风格的{form}",
    "请仿{author}作{form}一首",
};
constexpr std::array<std::string_view, 3> kFirstLinePhrases = {
    "以「{first}」开头写一首{form}",
    "写一首{form}，第一句是「{first}」",
    "请用「{first}」作首句，写一首{form}",
};
constexpr std::array<std::string_view, 4> kContinuationPhrases = {
    "续写：{first}，",
    "续写{form}：{first}，",
    "续写：{couplet}",
    "请把这首{form}写完：{couplet}",
};
constexpr std::array<std::string_view, 4> kThemePhrases = {
    "用「{theme}」字作一首{form}",
    "写一首{form}，其中要有「{theme}」字",
    "以「{theme}」字入诗，写一首{form}",
    "写一首写到{theme}的{form}",
};

std::span<const std::string_view> phrases_of(RequestKind kind) {
  switch (kind) {
    case RequestKind::kTitle:
      return kTitlePhrases;
    case RequestKind::kTitleAndAuthor:
      return kTitleAndAuthorPhrases;
    case RequestKind::kAuthor:
      return kAuthorPhrases;
    case RequestKind::kFirstLine:
      return kFirstLinePhrases;
    case RequestKind::kContinuation:
      return kContinuationPhrases;
    case RequestKind::kTheme:
      return kThemePhrases;
  }
  return {};
}

/// One of the common nouns that occur in the poem, or "".
std::string theme_of(const std::string& body, Random& random) {
  std::vector<std::string_view> found;
  for (std::string_view noun : characters_of(kThemes)) {
    if (body.find(noun) != std::string::npos) found.push_back(noun);
  }
  return found.empty() ? "" : std::string(found[random.below(found.size())]);
}

}  // namespace

Poem parse_poem(const Json& record, std::string_view source) {
  Poem poem;
  poem.title = json_field<std::string>(record, "title", source);
  poem.author = json_field<std::string>(record, "author", source);
  poem.form = json_field<std::string>(record, "form", source);
  poem.dynasty = optional_json_field<std::string>(record, "dynasty", source).value_or("");
  auto lines = record.find("lines");
  require(lines != record.end() && lines->is_array() && !lines->empty(),
          "{}: field 'lines' must be an array of strings", source);
  for (const Json& line : *lines) {
    require(line.is_string() && !poem_lines(line.get_ref<const std::string&>()).empty(),
            "{}: field 'lines' must hold lines of verse", source);
    poem.lines.push_back(line.get<std::string>());
  }
  return poem;
}

std::string poem_body(const Poem& poem) {
  return fmt::format("{}", fmt::join(poem.lines, "\n"));
}

std::string poem_page(const Poem& poem) {
  return fmt::format("{}《{}》{}\n{}", poem.form, poem.title, poem.author, poem_body(poem));
}

std::string poem_request(const Poem& poem, RequestKind kind, Random& random) {
  std::span<const std::string_view> phrases = phrases_of(kind);
  std::string_view phrase = phrases[random.below(phrases.size())];
  std::string theme;
  if (kind == RequestKind::kTheme) {
    theme = theme_of(poem_body(poem), random);
    if (theme.empty()) return "";
  }
  std::string_view first = poem_lines(poem.lines.front()).front();
  return fmt::format(fmt::runtime(phrase), fmt::arg("title", poem.title),
                     fmt::arg("author", poem.author), fmt::arg("form", poem.form),
                     fmt::arg("first", first), fmt::arg("couplet", poem.lines.front()),
                     fmt::arg("theme", theme));
}

}  // namespace millrace
