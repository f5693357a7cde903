#include "millrace/graph/context.h"

namespace millrace {

Value Context::linear(const Value& x, const Parameter& weight, const Parameter* bias) {
  Value y = product(x, weight, bias);
  if (adapter_ == nullptr) return y;
  auto found = adapter_->find(&weight);
  if (found == adapter_->end()) return y;
  const LowRank& addition = found->second;
  Value inner = product(x, *addition.a, nullptr);
  return add(y, scale(product(inner, *addition.b, nullptr), addition.scale));
}

}  // namespace millrace
