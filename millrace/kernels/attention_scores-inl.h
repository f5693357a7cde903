// How a product of a query and a key becomes a score: scaled, capped, biased by their distance.
// Included once for each instruction set.
#include "millrace/kernels/attention.h"

#if defined(MILLRACE_ATTENTION_SCORES_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef MILLRACE_ATTENTION_SCORES_INL_H
#undef MILLRACE_ATTENTION_SCORES_INL_H
#else
#define MILLRACE_ATTENTION_SCORES_INL_H
#endif

#include "millrace/kernels/vector_math-inl.h"

HWY_BEFORE_NAMESPACE();
namespace millrace {
namespace HWY_NAMESPACE {

/// Whether scores are more than scaled products.
HWY_INLINE bool is_shaped(const AttentionShape& shape) {
  return shape.softcap > 0 || shape.alibi_max_bias > 0 || shape.distance_bias.values != nullptr;
}

/// The scores of one query and the keys of a block.
struct ScoreForm {
  float scale, softcap;
  float alibi;                  // the head's slope; 0: no bias
  float distance;               // from the query to the block's first key, in positions
  const float* bias = nullptr;  // of each key of the block; null: none

  struct Score {
    Floats value, slope;  // in the product
  };

  /// Those of the products with the keys from j on.
  HWY_INLINE Score at(Floats product, int64_t j) const {
    Score score{hn::Mul(product, set(scale)), set(scale)};
    if (softcap > 0) {
      const Floats t = tanh(hn::Div(score.value, set(softcap)));
      score.value = hn::Mul(t, set(softcap));
      score.slope = hn::Mul(score.slope, hn::NegMulAdd(t, t, set(1.0f)));
    }
    if (alibi > 0) {
      const Floats far = hn::Abs(hn::Iota(Tag(), distance + static_cast<float>(j)));
      score.value = hn::NegMulAdd(set(alibi), far, score.value);
    }
    if (bias) score.value = hn::Add(score.value, load(bias + j));
    return score;
  }
};

/// Products become scores, in place.
HWY_INLINE void shape_scores(const ScoreForm& form, float* products) {
  for (int64_t j = 0; j < kPageSize; j += lanes()) {
    store(form.at(load(products + j), j).value, products + j);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace millrace
HWY_AFTER_NAMESPACE();

#endif
