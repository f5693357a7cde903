// Tones and rhymes of classical Chinese verse, by the rules of regulated poems.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace millrace {

/// Level 平, oblique 仄, or read both ways (also: unknown).
enum class Tone : uint8_t { kBoth, kLevel, kOblique };

/// Tones and rhyme groups of characters, from data/tones.tsv: a character, its tone (平, 仄, 两)
/// and its groups in the 平水韵, separated by spaces, a line.
class Prosody {
 public:
  /// Throws Error naming file and line.
  explicit Prosody(const std::filesystem::path& path);

  /// kBoth where the character is not in the table.
  Tone tone(std::string_view character) const;
  /// Numbers of the character's rhyme groups, in ascending order; none where it is not in the
  /// table.
  std::span<const int32_t> rhyme_groups(std::string_view character) const;

 private:
  struct Entry {
    Tone tone;
    std::vector<int32_t> groups;
  };
  std::unordered_map<std::string, Entry> entries_;
};

/// A poem as its lines, each as its characters.
using Verse = std::vector<std::vector<std::string_view>>;

/// The share of the rules of regulated verse that hold, 0 to 1; characters of both tones fit any:
/// - the second, fourth and sixth characters of a line alternate;
/// - the second characters of a couplet's two lines differ (对), and the second characters of the
///   lines between two couplets agree (粘);
/// - even lines end level, odd lines from the third on end oblique.
/// The lines must be an even number, of 5 or 7 characters each.
double tone_match(const Verse& verse, const Prosody& prosody);

/// Whether the even lines all end in one rhyme group.
bool rhymes(const Verse& verse, const Prosody& prosody);

}  // namespace millrace
