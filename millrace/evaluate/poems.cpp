#include "millrace/evaluate/poems.h"

#include <xxhash.h>

#include <algorithm>
#include <map>

#include "millrace/base/error.h"
#include "millrace/data/corpus.h"
#include "millrace/data/json_records.h"
#include "millrace/data/lines.h"
#include "millrace/data/poem_form.h"

namespace millrace {
namespace {

constexpr size_t kMinLineCharacters = 5;
constexpr size_t kMaxWrong = 20;  // examples of wrong forms that a report carries

Verse verse_of(std::string_view text) {
  Verse verse;
  for (std::string_view line : poem_lines(text)) verse.push_back(characters_of(line));
  return verse;
}

/// What keeps the verse from having the form, or "".
std::string fault(const Verse& verse, const PoemForm& form) {
  for (size_t i = 0; i < verse.size(); ++i) {
    for (std::string_view character : verse[i]) {
      if (!is_han(character)) return fmt::format("line {} has '{}'", i + 1, character);
    }
  }
  if (verse.size() != static_cast<size_t>(form.num_lines)) {
    return fmt::format("has {} lines, not {}", verse.size(), form.num_lines);
  }
  for (size_t i = 0; i < verse.size(); ++i) {
    if (verse[i].size() != static_cast<size_t>(form.line_length)) {
      return fmt::format("line {} has {} characters, not {}", i + 1, verse[i].size(),
                         form.line_length);
    }
  }
  return "";
}

uint64_t hash_of(std::string_view text) {
  return XXH3_64bits(text.data(), text.size());
}

/// The poem's lines alone: texts that differ in white space and marks are the same poem.
std::string bare(std::string_view text) {
  return fmt::format("{}", fmt::join(poem_lines(text), "/"));
}

struct Totals {
  int64_t poems = 0, right = 0, rhymed = 0;
  double tone_match = 0;

  void add(const PoemScore& score) {
    ++poems;
    if (!score.form_right) return;
    ++right;
    rhymed += score.rhymes ? 1 : 0;
    tone_match += score.tone_match;
  }

  Json json(bool with_prosody) const {
    Json json = {{"poems", poems}, {"form_right", share(static_cast<double>(right), poems)}};
    json["tone_match"] = with_prosody ? share(tone_match, right) : Json();
    json["rhymes"] = with_prosody ? share(static_cast<double>(rhymed), right) : Json();
    return json;
  }

  static Json share(double part, int64_t whole) {
    return whole == 0 ? Json() : Json(part / static_cast<double>(whole));
  }
};

std::string percent(const Json& share) {
  return share.is_null() ? "-" : fmt::format("{:.1f} %", 100 * share.get<double>());
}

/// Han characters are two columns wide in a terminal.
std::string padded(std::string_view name, size_t columns) {
  size_t width = 0;
  for (std::string_view character : characters_of(name)) width += character.size() > 1 ? 2 : 1;
  return std::string(name) + std::string(columns > width ? columns - width : 0, ' ');
}

std::string table_row(std::string_view name, const Json& totals) {
  return fmt::format("{} {:>6} {:>11} {:>11} {:>8}\n", padded(name, 10),
                     totals.at("poems").get<int64_t>(), percent(totals.at("form_right")),
                     percent(totals.at("tone_match")), percent(totals.at("rhymes")));
}

}  // namespace

PoemScore score_poem(std::string_view text, std::string_view form_name, const Prosody* prosody) {
  const PoemForm* form = find_poem_form(form_name);
  require(form != nullptr,
          "the form '{}' is unknown; the forms are 五言绝句, 七言绝句, 五言律诗, "
          "七言律诗",
          form_name);
  Verse verse = verse_of(text);
  PoemScore score;
  for (const auto& line : verse) score.line_lengths.push_back(static_cast<int64_t>(line.size()));
  score.reason = fault(verse, *form);
  score.form_right = score.reason.empty();
  if (score.form_right && prosody != nullptr) {
    score.tone_match = tone_match(verse, *prosody);
    score.rhymes = rhymes(verse, *prosody);
  }
  return score;
}

void LineSet::add(std::string_view text) {
  for (std::string_view line : poem_lines(text)) {
    if (characters_of(line).size() >= kMinLineCharacters) hashes_.insert(hash_of(line));
  }
}

void LineSet::add_file(const std::filesystem::path& path) {
  if (inner_extension(path) == ".txt") {
    for_each_document(path, "", [&](std::string_view text) { add(text); });
    return;
  }
  for_each_json_record(path, [&](JsonRecord& record) {
    auto lines = record.fields.find("lines");
    if (lines == record.fields.end()) {
      return add(json_field<std::string>(record.fields, "text", record.source));
    }
    require(lines->is_array(), "{}: field 'lines' must be an array of strings", record.source);
    for (const Json& line : *lines) {
      require(line.is_string(), "{}: field 'lines' must be an array of strings", record.source);
      add(line.get_ref<const std::string&>());
    }
  });
}

bool LineSet::contains(std::string_view line) const {
  return hashes_.count(hash_of(line)) > 0;
}

Json score_poems(std::span<const PoemAnswer> answers, const Prosody* prosody,
                 const LineSet* training_lines) {
  Totals all;
  std::map<std::string, Totals> by_form;
  std::unordered_set<std::string> distinct;
  int64_t lines = 0, copied = 0;
  Json wrong = Json::array();
  for (const PoemAnswer& answer : answers) {
    PoemScore score = score_poem(answer.answer, answer.form, prosody);
    all.add(score);
    by_form[answer.form].add(score);
    distinct.insert(bare(answer.answer));
    for (std::string_view line : poem_lines(answer.answer)) {
      ++lines;
      if (training_lines != nullptr && training_lines->contains(line)) ++copied;
    }
    if (!score.form_right && wrong.size() < kMaxWrong) {
      wrong.push_back({{"request", answer.request},
                       {"form", answer.form},
                       {"answer", answer.answer},
                       {"reason", score.reason}});
    }
  }
  Json scores = all.json(prosody != nullptr);
  scores["distinct"] = distinct.size();
  scores["lines"] = lines;
  scores["copied_lines"] =
      training_lines == nullptr ? Json() : Totals::share(static_cast<double>(copied), lines);
  scores["by_form"] = Json::object();
  for (const auto& [form, totals] : by_form)
    scores["by_form"][form] = totals.json(prosody != nullptr);
  scores["wrong"] = std::move(wrong);
  return scores;
}

std::string poem_table(const Json& scores) {
  std::string table = fmt::format("{} {:>6} {:>11} {:>11} {:>8}\n", padded("form", 10), "poems",
                                  "form right", "tone rules", "rhymes");
  for (const auto& [form, totals] : scores.at("by_form").items()) table += table_row(form, totals);
  table += table_row("all", scores);
  table += fmt::format("distinct poems: {} of {}; lines found in the training text: {}\n",
                       scores.at("distinct").get<int64_t>(), scores.at("poems").get<int64_t>(),
                       percent(scores.at("copied_lines")));
  return table;
}

}  // namespace millrace
