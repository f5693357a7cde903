#include "millrace/evaluate/prosody.h"

#include <algorithm>
#include <iterator>

#include "millrace/base/error.h"
#include "millrace/data/lines.h"
#include "millrace/data/poem_form.h"

namespace millrace {
namespace {

/// The parts of a line between tabs or spaces.
std::vector<std::string_view> split(std::string_view text, char mark) {
  std::vector<std::string_view> parts;
  while (true) {
    size_t end = text.find(mark);
    parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

Tone parse_tone(std::string_view name, std::string_view source) {
  if (name == "平") return Tone::kLevel;
  if (name == "仄") return Tone::kOblique;
  require(name == "两", "{}: the tone is '{}'; it must be 平, 仄 or 两", source, name);
  return Tone::kBoth;
}

bool may_differ(Tone a, Tone b) {
  return a == Tone::kBoth || b == Tone::kBoth || a != b;
}
bool may_agree(Tone a, Tone b) {
  return a == Tone::kBoth || b == Tone::kBoth || a == b;
}

}  // namespace

Prosody::Prosody(const std::filesystem::path& path) {
  std::unordered_map<std::string, int32_t> numbers;
  LineReader reader(path);
  while (reader.next()) {
    std::string source = fmt::format("{}:{}", path.string(), reader.number());
    std::vector<std::string_view> columns = split(reader.line(), '\t');
    require(columns.size() == 3 && characters_of(columns[0]).size() == 1,
            "{}: must be a character, its tone and its rhyme groups between tabs", source);
    Entry entry{parse_tone(columns[1], source), {}};
    for (std::string_view group : split(columns[2], ' ')) {
      if (group.empty()) continue;
      auto number = static_cast<int32_t>(numbers.size());
      entry.groups.push_back(numbers.emplace(group, number).first->second);
    }
    std::ranges::sort(entry.groups);
    entries_[std::string(columns[0])] = std::move(entry);
  }
  require(!entries_.empty(), "{}: has no tones", path.string());
}

Tone Prosody::tone(std::string_view character) const {
  auto found = entries_.find(std::string(character));
  return found == entries_.end() ? Tone::kBoth : found->second.tone;
}

std::span<const int32_t> Prosody::rhyme_groups(std::string_view character) const {
  auto found = entries_.find(std::string(character));
  return found == entries_.end() ? std::span<const int32_t>() : found->second.groups;
}

double tone_match(const Verse& verse, const Prosody& prosody) {
  int64_t rules = 0, held = 0;
  auto rule = [&](bool holds) {
    ++rules;
    held += holds ? 1 : 0;
  };
  auto tone = [&](size_t line, size_t place) { return prosody.tone(verse[line][place]); };
  for (size_t line = 0; line < verse.size(); ++line) {
    size_t length = verse[line].size();
    for (size_t place = 1; place + 2 < length; place += 2) {
      rule(may_differ(tone(line, place), tone(line, place + 2)));
    }
  }
  for (size_t line = 0; line + 1 < verse.size(); line += 2) {
    rule(may_differ(tone(line, 1), tone(line + 1, 1)));
    rule(tone(line + 1, verse[line + 1].size() - 1) != Tone::kOblique);
    if (line == 0) continue;  // the first line may rhyme too
    rule(may_agree(tone(line - 1, 1), tone(line, 1)));
    rule(tone(line, verse[line].size() - 1) != Tone::kLevel);
  }
  return rules == 0 ? 0.0 : static_cast<double>(held) / static_cast<double>(rules);
}

bool rhymes(const Verse& verse, const Prosody& prosody) {
  std::vector<int32_t> common;
  for (size_t line = 1; line < verse.size(); line += 2) {
    std::span<const int32_t> groups = prosody.rhyme_groups(verse[line].back());
    if (line == 1) {
      common.assign(groups.begin(), groups.end());
      continue;
    }
    std::vector<int32_t> both;
    std::ranges::set_intersection(common, groups, std::back_inserter(both));
    common = std::move(both);
  }
  return !common.empty();
}

}  // namespace millrace
