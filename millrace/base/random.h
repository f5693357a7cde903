// Random numbers whose whole state can be saved, and drawn by position where order must not matter.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace millrace {

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): a good 64-bit mixing function.
constexpr uint64_t mix_bits(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/// A counter-based generator: number n of stream `seed` is a pure function of both, so its state
/// is two integers and any position can be reached at once.
class Random {
 public:
  explicit Random(uint64_t seed = 0, uint64_t position = 0) : seed_(seed), position_(position) {}

  /// 64 uniform bits.
  uint64_t bits() { return mix_bits(mix_bits(seed_) ^ mix_bits(~position_++)); }
  /// Uniform in [0, 1).
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  /// Uniform in [0, n), n > 0, without bias worth speaking of (multiply-shift on 64 bits).
  uint64_t below(uint64_t n) {
    return static_cast<uint64_t>((static_cast<Wide>(bits()) * n) >> 64);
  }
  /// Standard normal (Box–Muller; two draws a number, so position stays simple).
  double normal() {
    double u = 1.0 - uniform();
    return std::sqrt(-2.0 * std::log(u)) * std::cos(6.283185307179586 * uniform());
  }

  uint64_t seed() const { return seed_; }
  uint64_t position() const { return position_; }

 private:
  __extension__ using Wide = unsigned __int128;

  uint64_t seed_;
  uint64_t position_;
};

/// Puts items into a random order (Fisher and Yates).
template <typename Items>
void shuffle(Items& items, Random& random) {
  for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[random.below(i)]);
}

}  // namespace millrace
