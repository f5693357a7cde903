#include "millrace/graph/context.h"

namespace millrace {

Value Context::linear(const Value& x, const Parameter& weight, const Parameter* bias) {
  Value y = product(x, weight, bias);
  add_low_rank(x, weight, y);
  return y;
}

void Context::products(const Value& x, std::span<const Linear> parts, std::span<Value> ys) {
  for (size_t i = 0; i < parts.size(); ++i) ys[i] = product(x, parts[i].weight, parts[i].bias);
}

void Context::add_low_rank(const Value& x, const Parameter& weight, Value& y) {
  if (adapter_ == nullptr) return;
  auto found = adapter_->find(&weight);
  if (found == adapter_->end()) return;
  const LowRank& addition = found->second;
  Value inner = product(x, *addition.a, nullptr);
  y = add(y, scale(product(inner, *addition.b, nullptr), addition.scale));
}

}  // namespace millrace
