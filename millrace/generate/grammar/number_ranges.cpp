#include "millrace/generate/grammar/number_ranges.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

constexpr uint32_t kMoreDigits = 15;  // after those of a bound

class Digits {
 public:
  explicit Digits(Grammar& grammar) : grammar_(grammar) {}

  Expression from_to(char low, char high) {
    if (low > high) return grammar_.nothing();
    ByteSet set;
    set.add(static_cast<uint8_t>(low), static_cast<uint8_t>(high));
    return grammar_.bytes(set);
  }
  Expression any(uint32_t min, uint32_t max) {
    return grammar_.repeat(from_to('0', '9'), min, max);
  }
  Expression text(std::string_view digits) { return grammar_.literal(digits); }
  Expression followed(Expression first, Expression rest) {
    return grammar_.sequence({first, rest});
  }

  /// Numbers of as many digits as both bounds have.
  Expression between(std::string_view low, std::string_view high) {
    if (low == high) return text(low);
    const auto rest = static_cast<uint32_t>(low.size() - 1);
    if (low.find_first_not_of('0') == std::string_view::npos &&
        high.find_first_not_of('9') == std::string_view::npos) {
      return any(rest + 1, rest + 1);
    }
    if (low[0] == high[0]) {
      return followed(text(low.substr(0, 1)), between(low.substr(1), high.substr(1)));
    }
    const std::string nines(rest, '9'), zeros(rest, '0');
    return grammar_.choice(
        {followed(text(low.substr(0, 1)), between(low.substr(1), nines)),
         followed(from_to(static_cast<char>(low[0] + 1), static_cast<char>(high[0] - 1)),
                  any(rest, rest)),
         followed(text(high.substr(0, 1)), between(zeros, high.substr(1)))});
  }

  /// Whole numbers without sign; bounds without zeros in front.
  Expression whole_between(const std::string& low, const std::string& high) {
    std::vector<Expression> ways;
    for (size_t length = low.size(); length <= high.size(); ++length) {
      const std::string smallest = length == 1 ? "0" : "1" + std::string(length - 1, '0');
      const std::string first = length == low.size() ? low : smallest;
      const std::string last = length == high.size() ? high : std::string(length, '9');
      if (first <= last) ways.push_back(between(first, last));
    }
    return grammar_.choice(ways);
  }

  /// Digits after a point: what they stand for is at least (more than, if strict) 0.`bound`.
  Expression at_least(std::string_view bound, bool strict, bool may_end) {
    if (bound.empty()) {
      if (!strict) return any(may_end ? 0 : 1, kMoreDigits);
      return followed(grammar_.repeat(text("0"), 0, kMoreDigits),
                      followed(from_to('1', '9'), any(0, kMoreDigits)));
    }
    return grammar_.choice(
        {followed(from_to(static_cast<char>(bound[0] + 1), '9'), any(0, kMoreDigits)),
         followed(text(bound.substr(0, 1)), at_least(bound.substr(1), strict, true))});
  }

  /// At most (less than, if strict) 0.`bound`, which does not end in zeros.
  Expression at_most(std::string_view bound, bool strict, bool may_end) {
    if (bound.empty()) {
      if (strict) return grammar_.nothing();
      return grammar_.repeat(text("0"), may_end ? 0 : 1, kMoreDigits);
    }
    std::vector<Expression> ways = {
        followed(from_to('0', static_cast<char>(bound[0] - 1)), any(0, kMoreDigits)),
        followed(text(bound.substr(0, 1)), at_most(bound.substr(1), strict, true))};
    if (may_end) ways.push_back(grammar_.empty());
    return grammar_.choice(ways);
  }

  Expression within(std::string_view low, bool low_strict, std::string_view high, bool high_strict,
                    bool may_end) {
    std::vector<Expression> ways;
    const bool may_be_zero =
        low.empty() && !low_strict && !(high.empty() && high_strict);  // all digits from here on
    if (low.empty() && high.empty()) {
      return may_be_zero ? grammar_.repeat(text("0"), may_end ? 0 : 1, kMoreDigits)
                         : grammar_.nothing();
    }
    if (may_end && may_be_zero) ways.push_back(grammar_.empty());
    const char a = low.empty() ? '0' : low[0], b = high.empty() ? '0' : high[0];
    const std::string_view low_rest = low.substr(low.empty() ? 0 : 1);
    const std::string_view high_rest = high.substr(high.empty() ? 0 : 1);
    if (a > b) return grammar_.choice(ways);
    if (a == b) {
      ways.push_back(
          followed(from_to(a, a), within(low_rest, low_strict, high_rest, high_strict, true)));
      return grammar_.choice(ways);
    }
    ways.push_back(followed(from_to(a, a), at_least(low_rest, low_strict, true)));
    ways.push_back(
        followed(from_to(static_cast<char>(a + 1), static_cast<char>(b - 1)), any(0, kMoreDigits)));
    ways.push_back(followed(from_to(b, b), at_most(high_rest, high_strict, true)));
    return grammar_.choice(ways);
  }

  Expression with_point(Expression digits, bool may_be_missing) {
    const Expression fraction = followed(text("."), digits);
    return may_be_missing ? grammar_.optional(fraction) : fraction;
  }

  /// Numbers without sign.
  Expression positive(const Decimal& low, bool low_strict, const Decimal& high, bool high_strict) {
    if (low.whole == high.whole) {
      const bool whole_fits =
          low.fraction.empty() && !low_strict && (!high.fraction.empty() || !high_strict);
      return followed(text(low.whole), with_point(within(low.fraction, low_strict, high.fraction,
                                                         high_strict, false),
                                                  whole_fits));
    }
    std::vector<Expression> ways = {
        followed(text(low.whole), with_point(at_least(low.fraction, low_strict, false),
                                             low.fraction.empty() && !low_strict))};
    const std::string after_low = std::to_string(std::stoll(low.whole) + 1);
    const std::string before_high = std::to_string(std::stoll(high.whole) - 1);
    if (std::stoll(after_low) <= std::stoll(before_high)) {
      ways.push_back(followed(whole_between(after_low, before_high),
                              with_point(any(1, kMoreDigits + 1), true)));
    }
    if (!high.fraction.empty() || !high_strict) {
      ways.push_back(
          followed(text(high.whole), with_point(at_most(high.fraction, high_strict, false), true)));
    }
    return grammar_.choice(ways);
  }

 private:
  Grammar& grammar_;
};

std::string magnitude(int64_t value) {
  return std::to_string(value < 0 ? uint64_t{0} - static_cast<uint64_t>(value)
                                  : static_cast<uint64_t>(value));
}

/// |a| < |b|, or with signs a < b where both are positive.
bool smaller(const Decimal& a, const Decimal& b) {
  if (a.whole.size() != b.whole.size()) return a.whole.size() < b.whole.size();
  return a.whole != b.whole ? a.whole < b.whole : a.fraction < b.fraction;
}

}  // namespace

std::optional<Decimal> to_decimal(double value) {
  if (!(std::abs(value) < 1e16)) return std::nullopt;
  std::string text = fmt::format("{}", std::abs(value));
  if (text.find('e') != std::string::npos) text = fmt::format("{:.20f}", std::abs(value));
  Decimal result;
  const size_t point = text.find('.');
  result.whole = text.substr(0, point);
  if (point != std::string::npos) result.fraction = text.substr(point + 1);
  while (result.fraction.ends_with('0')) result.fraction.pop_back();
  result.negative = value < 0 && !result.is_zero();
  return result;
}

Expression integers_between(int64_t low, int64_t high, Grammar& grammar) {
  Digits digits(grammar);
  std::vector<Expression> ways;
  if (low < 0 && low <= high) {
    ways.push_back(grammar.sequence(
        {grammar.literal("-"),
         digits.whole_between(magnitude(std::min<int64_t>(high, -1)), magnitude(low))}));
  }
  if (high >= 0 && low <= high) {
    ways.push_back(digits.whole_between(magnitude(std::max<int64_t>(low, 0)), magnitude(high)));
  }
  return grammar.choice(ways);
}

Expression numbers_in(const NumberRange& range, Grammar& grammar) {
  Digits digits(grammar);
  const std::string largest(kMaxWholeDigits, '9');
  const Decimal low = range.low.value_or(Decimal{true, largest, "9"});
  const Decimal high = range.high.value_or(Decimal{false, largest, "9"});
  std::vector<Expression> ways;
  if (low.negative) {
    // From just below zero, or the upper bound, down to the lower one; there is no -0.
    const Decimal near = high.negative ? high : Decimal{};
    const bool near_excluded = !high.negative || range.high_excluded;
    if (!smaller(low, near)) {
      ways.push_back(grammar.sequence(
          {grammar.literal("-"), digits.positive(near, near_excluded, low, range.low_excluded)}));
    }
  }
  if (!high.negative) {
    const Decimal near = low.negative ? Decimal{} : low;
    const bool near_excluded = !low.negative && range.low_excluded;
    if (!smaller(high, near)) {
      ways.push_back(digits.positive(near, near_excluded, high, range.high_excluded));
    }
  }
  return grammar.choice(ways);
}

}  // namespace millrace
