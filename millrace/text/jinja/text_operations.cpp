#include "millrace/text/jinja/text_operations.h"

#include <algorithm>

#include "millrace/text/jinja/characters.h"

namespace millrace::jinja {
namespace {

/// Appends the case mapping of one character. `word_begins`: no cased character stands before it.
void append_case(std::string& out, uint32_t code, Case to, bool word_begins) {
  bool swaps_up = to == Case::kSwap && !is_upper(code);
  bool titles = (to == Case::kTitle || to == Case::kCapitalize) && word_begins;
  if (to == Case::kUpper || swaps_up) {
    append_upper(out, code);
  } else if (titles) {
    append_title(out, code);
  } else {
    append_lower(out, code);
  }
}

std::vector<uint32_t> sorted_codes(std::string_view text) {
  std::vector<uint32_t> codes;
  for_each_character(text, [&](uint32_t code, std::string_view) { codes.push_back(code); });
  std::sort(codes.begin(), codes.end());
  return codes;
}

ByteRange strip_set(std::string_view text, std::string_view set, bool left, bool right) {
  std::vector<uint32_t> codes = sorted_codes(set);
  auto in_set = [&](size_t at) {
    return std::binary_search(codes.begin(), codes.end(), character_at(text, at).code);
  };
  size_t begin = 0;
  size_t end = text.size();
  while (left && begin < end && in_set(begin)) begin += character_at(text, begin).length;
  while (right && begin < end && in_set(character_before(text, end))) {
    end = character_before(text, end);
  }
  return {begin, end};
}

/// The words between white space, as byte ranges; after `max` splits the rest stays whole.
std::vector<ByteRange> words(Budget& budget, std::string_view text, int64_t max) {
  std::vector<ByteRange> ranges;
  size_t at = strip_space(text, true, false).begin;
  while (at < text.size()) {
    budget.spend(1);
    size_t end = at;
    if (max >= 0 && static_cast<int64_t>(ranges.size()) == max) {
      end = text.size();
    } else {
      while (end < text.size() && !is_space(character_at(text, end).code)) {
        end += character_at(text, end).length;
      }
    }
    ranges.push_back({at, end});
    at = end + strip_space(text.substr(end), true, false).begin;
  }
  return ranges;
}

/// As words, with the splits made from the right.
std::vector<ByteRange> words_from_right(Budget& budget, std::string_view text, int64_t max) {
  std::vector<ByteRange> all = words(budget, text, -1);
  if (max < 0 || static_cast<int64_t>(all.size()) <= max + 1) return all;
  auto last_joined = all.end() - max - 1;
  ByteRange joined{0, last_joined->end};
  std::vector<ByteRange> ranges = {joined};
  ranges.insert(ranges.end(), last_joined + 1, all.end());
  return ranges;
}

/// Where `part` stands, without overlaps, from the left; the last `max` of these when from_right
/// (which differs from Python only for separators that overlap themselves).
std::vector<size_t> places(Budget& budget, std::string_view text, std::string_view part,
                           int64_t max, bool from_right) {
  std::vector<size_t> found;
  for (size_t at = find_bytes(text, part); at != std::string_view::npos;
       at = find_bytes(text, part, at + part.size())) {
    if (!from_right && max >= 0 && static_cast<int64_t>(found.size()) == max) break;
    budget.spend(1);
    found.push_back(at);
  }
  if (from_right && max >= 0 && static_cast<int64_t>(found.size()) > max) {
    found.erase(found.begin(), found.end() - max);
  }
  return found;
}

}  // namespace

Text cut(Budget& budget, const Text& text, size_t begin, size_t end) {
  TextBuilder out(budget);
  out.append(text, begin, end);
  Text result = out.finish();
  result.markup = text.markup;
  return result;
}

Text strip(Budget& budget, const Text& text, const Text* set, bool left, bool right) {
  ByteRange range = set == nullptr ? strip_space(text.bytes(), left, right)
                                   : strip_set(text.bytes(), set->bytes(), left, right);
  return cut(budget, text, range.begin, range.end);
}

Text change_case(Budget& budget, const Text& text, Case to) {
  TextBuilder out(budget);
  bool word_begins = true;
  size_t begin = 0;
  for (const Text::Run& run : text.runs()) {
    std::string piece;
    std::string_view bytes = std::string_view(text.bytes()).substr(begin, run.end - begin);
    for_each_character(bytes, [&](uint32_t code, std::string_view) {
      append_case(piece, code, to, word_begins);
      word_begins = to == Case::kTitle && !is_upper(code) && !is_lower(code);
    });
    out.append(piece, run.origin);
    begin = run.end;
  }
  Text result = out.finish();
  result.markup = text.markup;
  return result;
}

Text replace(Budget& budget, const Text& text, const Text& old, const Text& replacement,
             int64_t count) {
  budget.spend_bytes(text.size());
  std::string_view bytes = text.bytes();
  TextBuilder out(budget);
  size_t copied = 0;
  size_t at = find_bytes(bytes, old.bytes());
  while (at != std::string_view::npos && count != 0) {
    out.append(text, copied, at);
    out.append(replacement);
    copied = at;
    if (old.size() > 0) {
      copied += old.size();
      at = find_bytes(bytes, old.bytes(), copied);
    } else {
      at = at < bytes.size() ? at + character_at(bytes, at).length : std::string_view::npos;
    }
    if (count > 0) --count;
  }
  out.append(text, copied, text.size());
  Text result = out.finish();
  result.markup = text.markup;
  return result;
}

std::vector<Text> split(Budget& budget, const Text& text, const Text* separator, int64_t max,
                        bool from_right) {
  budget.spend_bytes(text.size());
  std::vector<ByteRange> ranges;
  if (separator == nullptr) {
    ranges =
        from_right ? words_from_right(budget, text.bytes(), max) : words(budget, text.bytes(), max);
  } else {
    require(separator->size() > 0, "split() needs a separator that is not empty");
    size_t begin = 0;
    for (size_t at : places(budget, text.bytes(), separator->bytes(), max, from_right)) {
      ranges.push_back({begin, at});
      begin = at + separator->size();
    }
    ranges.push_back({begin, text.size()});
  }
  std::vector<Text> parts;
  parts.reserve(ranges.size());
  for (const ByteRange& range : ranges) parts.push_back(cut(budget, text, range.begin, range.end));
  return parts;
}

std::vector<Text> split_lines(Budget& budget, const Text& text, bool keep_ends) {
  std::string_view bytes = text.bytes();
  std::vector<Text> lines;
  size_t begin = 0;
  for (size_t at = 0; at < bytes.size();) {
    Character character = character_at(bytes, at);
    size_t end = at + character.length;
    if (is_line_end(character.code)) {
      if (character.code == '\r' && bytes.substr(end, 1) == "\n") ++end;
      lines.push_back(cut(budget, text, begin, keep_ends ? end : at));
      begin = end;
    }
    at = end;
  }
  if (begin < bytes.size()) lines.push_back(cut(budget, text, begin, bytes.size()));
  return lines;
}

size_t find_last(Budget& budget, const Text& text, const Text& part) {
  if (part.size() == 0) return text.size();
  size_t last = std::string_view::npos;
  for (size_t at = find_bytes(text.bytes(), part.bytes()); at != std::string_view::npos;
       at = find_bytes(text.bytes(), part.bytes(), at + 1)) {
    budget.spend_bytes(part.size());
    last = at;
  }
  budget.spend_bytes(text.size());
  return last;
}

}  // namespace millrace::jinja
