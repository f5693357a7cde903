#include "millrace/kernels/loss.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "millrace/base/thread_pool.h"
#include "millrace/kernels/row_chunks.h"
#include "millrace/kernels/vector.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "millrace/kernels/loss.cpp"
#include <hwy/foreach_target.h>
#include "millrace/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

/// Greatest value of a row, NaNs passed over; -infinity when there is none.
float row_max(const float* row, int64_t count) {
  const Tag tag;
  const Floats none = set(-std::numeric_limits<float>::infinity());
  const auto greater = [](Floats a, Floats b)
                           HWY_ATTR { return hn::IfThenElse(hn::Gt(a, b), a, b); };
  const int64_t step = lanes();
  Floats best[4] = {none, none, none, none};
  int64_t i = 0;
  for (; i + 4 * step <= count; i += 4 * step) {
    for (int64_t j = 0; j < 4; ++j) best[j] = greater(load(row + i + j * step), best[j]);
  }
  for (; i + step <= count; i += step) best[0] = greater(load(row + i), best[0]);
  if (i < count) {
    const auto valid = hn::FirstN(tag, static_cast<size_t>(count - i));
    const Floats tail = hn::IfThenElse(valid, load_first(row + i, count - i), none);
    best[0] = greater(tail, best[0]);
  }
  const Floats all = greater(greater(best[0], best[1]), greater(best[2], best[3]));
  return hn::GetLane(hn::MaxOfLanes(tag, all));
}

/// Sum of exp(row - greatest); the exponentials are kept in `exponentials` unless it is null.
float sum_of_exponentials(const float* row, int64_t count, float greatest, float* exponentials) {
  const Floats top = set(greatest);
  return sum_terms(count, [=](auto at, auto put) HWY_ATTR {
    const Floats y = exp_nonpositive(hn::Sub(at(row), top));
    if (exponentials) put(y, exponentials);
    return y;
  });
}

/// Sum of exp((row - greatest) * factor), which are kept in `y`.
float scaled_exponentials(const float* row, int64_t count, float greatest, float factor, float* y) {
  const Floats top = set(greatest), f = set(factor);
  return sum_terms(count, [=](auto at, auto put) HWY_ATTR {
    const Floats e = exp_nonpositive(hn::Mul(hn::Sub(at(row), top), f));
    put(e, y);
    return e;
  });
}

void multiply_row(const float* row, int64_t count, float factor, float* y) {
  const Floats f = set(factor);
  for_vectors(count, [=](auto at, auto put) HWY_ATTR { put(hn::Mul(at(row), f), y); });
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace millrace {
namespace {

HWY_EXPORT(row_max);
HWY_EXPORT(sum_of_exponentials);
HWY_EXPORT(scaled_exponentials);
HWY_EXPORT(multiply_row);

struct Normaliser {
  float sum;  // of the exponentials of what is left after the greatest
  float log_sum_exp;
};

Normaliser normaliser(const float* row, int64_t count, float* exponentials) {
  const float greatest = MILLRACE_DISPATCH(row_max)(row, count);
  const float sum = MILLRACE_DISPATCH(sum_of_exponentials)(row, count, greatest, exponentials);
  return {sum, greatest + static_cast<float>(std::log(double{sum}))};
}

}  // namespace

float log_sum_exp(const float* logits, int64_t vocab) {
  return normaliser(logits, vocab, nullptr).log_sum_exp;
}

float log_softmax_at(const float* logits, int64_t vocab, int32_t target) {
  return logits[target] - log_sum_exp(logits, vocab);
}

void softmax(const float* logits, int64_t vocab, float* probabilities) {
  const float sum = normaliser(logits, vocab, probabilities).sum;
  MILLRACE_DISPATCH(multiply_row)(probabilities, vocab, 1 / sum, probabilities);
}

float relative_probabilities(const float* logits, int64_t vocab, float temperature,
                             float* relative) {
  // Times infinity the greatest's zero would be NaN.
  const float factor = std::min(1 / temperature, std::numeric_limits<float>::max());
  return MILLRACE_DISPATCH(scaled_exponentials)(
      logits, vocab, MILLRACE_DISPATCH(row_max)(logits, vocab), factor, relative);
}

int32_t argmax(const float* logits, int64_t vocab) {
  const float greatest = MILLRACE_DISPATCH(row_max)(logits, vocab);
  const float* found = std::find(logits, logits + vocab, greatest);
  return found == logits + vocab ? 0 : static_cast<int32_t>(found - logits);
}

void cross_entropy_forward(const float* logits, const int32_t* targets, int64_t rows, int64_t vocab,
                           float* losses) {
  parallel_ranges(rows, rows_a_part(vocab), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const bool scored = targets[r] != kNotScored;
      losses[r] = scored ? -log_softmax_at(logits + r * vocab, vocab, targets[r]) : 0.0f;
    }
  });
}

void cross_entropy_forward_backward(float* logits, const int32_t* targets, int64_t rows,
                                    int64_t vocab, float scale, float* losses) {
  parallel_ranges(rows, rows_a_part(vocab), [=](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* row = logits + r * vocab;
      if (targets[r] == kNotScored) {
        losses[r] = 0;
        std::fill_n(row, vocab, 0.0f);
        continue;
      }
      const float target = row[targets[r]];
      const Normaliser n = normaliser(row, vocab, row);
      losses[r] = -(target - n.log_sum_exp);
      MILLRACE_DISPATCH(multiply_row)(row, vocab, scale / n.sum, row);
      row[targets[r]] -= scale;
    }
  });
}

}  // namespace millrace
#endif  // HWY_ONCE
