#include "millrace/generate/likeliest.h"

#include <algorithm>

namespace millrace {

void likeliest(std::span<const float> logits, float log_total, int32_t count,
               std::vector<TokenProbability>& top) {
  const auto wanted = std::min(static_cast<size_t>(count), logits.size());
  const auto before = [](const TokenProbability& a, const TokenProbability& b) {
    return a.log_probability != b.log_probability ? a.log_probability > b.log_probability
                                                  : a.id < b.id;
  };
  top.clear();
  if (wanted == 0) return;
  // A heap of the best so far, the worst of them on top. Ids rise, so an equal logit is no better.
  for (size_t id = 0; id < logits.size(); ++id) {
    if (top.size() == wanted) {
      if (!(logits[id] > top.front().log_probability)) continue;
      std::pop_heap(top.begin(), top.end(), before);
      top.pop_back();
    }
    top.push_back({static_cast<int32_t>(id), logits[id]});
    std::push_heap(top.begin(), top.end(), before);
  }
  std::sort_heap(top.begin(), top.end(), before);
  for (TokenProbability& token : top) token.log_probability -= log_total;
}

}  // namespace millrace
