// Decimal numbers between bounds, as expressions over their digits.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "millrace/generate/grammar/grammar.h"

namespace millrace {

/// A number as JSON writes it without an exponent.
struct Decimal {
  bool negative = false;
  std::string whole = "0";  // no zeros in front but for "0"
  std::string fraction;     // no zeros at its end

  bool is_zero() const { return whole == "0" && fraction.empty(); }
};

/// Numbers of more digits before the point are never written, so that no text of digits is endless.
inline constexpr int kMaxWholeDigits = 16;

/// nullopt for what has more digits than are written.
std::optional<Decimal> to_decimal(double value);

struct NumberRange {
  std::optional<Decimal> low, high;
  bool low_excluded = false, high_excluded = false;
};

/// Whole numbers from low to high. nothing() when there are none.
Expression integers_between(int64_t low, int64_t high, Grammar& grammar);

/// Numbers in the range, with up to 16 digits before and about as many after the point.
Expression numbers_in(const NumberRange& range, Grammar& grammar);

}  // namespace millrace
