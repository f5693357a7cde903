// How good are poems written on request? Their form, tones and rhymes; how many are alike; how many
// of their lines are copied from the training text. Text only: no model is needed here.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/evaluate/prosody.h"

namespace millrace {

struct PoemScore {
  bool form_right = false;
  std::string reason;                 // why the form is not right: "has 5 lines, not 4"
  std::vector<int64_t> line_lengths;  // characters of each line
  // Both only where the form is right and there is a tone table.
  double tone_match = 0;  // share of the rules of regulated verse that hold
  bool rhymes = false;    // whether the even lines end in one rhyme group
};

/// Scores a text as a poem of a form (poem_form.h). The form is right when there are exactly its
/// lines of exactly its length, and nothing but Han characters, the marks ，。？！；：、 and white
/// space. `prosody` may be null. Throws Error for a form that does not exist.
PoemScore score_poem(std::string_view text, std::string_view form, const Prosody* prosody);

/// The lines of a training text, kept as 64-bit hashes.
class LineSet {
 public:
  /// Adds the lines of a text: of five characters and more, as shorter ones are common speech.
  void add(std::string_view text);
  /// Adds all lines of a corpus: poems with a field "lines" or records with a field "text" (.jsonl,
  /// .json) or plain text, each also .zst.
  void add_file(const std::filesystem::path& path);
  bool contains(std::string_view line) const;
  size_t size() const { return hashes_.size(); }

 private:
  std::unordered_set<uint64_t> hashes_;
};

/// What a model answered to a request for a poem of a form.
struct PoemAnswer {
  std::string request, form, answer;
};

/// Scores answers together: {"poems", "form_right" (share), "by_form": {form: {"poems",
/// "form_right", "tone_match", "rhymes"}}, "tone_match", "rhymes" (of those with the right form),
/// "distinct" (number of different texts), "lines", "copied_lines" (share of all lines that occur
/// in the training text), "wrong": [{"request", "form", "answer", "reason"}, …]}. `prosody` and
/// `training_lines` may be null: their figures are then null too.
Json score_poems(std::span<const PoemAnswer> answers, const Prosody* prosody,
                 const LineSet* training_lines);

/// The figures of score_poems as a table for people.
std::string poem_table(const Json& scores);

}  // namespace millrace
