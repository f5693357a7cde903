#include "millrace/graph/context.h"

#include <algorithm>

#include "millrace/base/error.h"
#include "millrace/kernels/elementwise.h"

namespace millrace {
namespace {

const LowRank* addition_to(const Parameter& weight, const LowRankMap* adapter) {
  if (adapter == nullptr) return nullptr;
  auto found = adapter->find(&weight);
  return found == adapter->end() ? nullptr : &found->second;
}

}  // namespace

Context::Context(const RaggedBatch& batch) : batch_(batch) {
  if (std::all_of(batch.prefix.begin(), batch.prefix.end(), [](int32_t p) { return p == 0; })) {
    return;
  }
  for (Part part : {Part::prefix, Part::behind}) {
    parts_[static_cast<size_t>(part)] = batch.rows_of(part);
  }
}

void Context::set_adapters(std::span<const LowRankMap* const> adapters) {
  require(static_cast<int64_t>(adapters.size()) == batch_.num_sequences(),
          "{} adapters for a batch of {} sequences", adapters.size(), batch_.num_sequences());
  const bool any = std::any_of(adapters.begin(), adapters.end(), [](auto* a) { return a; });
  adapters_ = any ? adapters : std::span<const LowRankMap* const>();
}

Value Context::linear(const Value& x, const Parameter& weight, const Parameter* bias) {
  Value y = product(x, weight, bias);
  add_low_rank(x, weight, y);
  return y;
}

void Context::products(const Value& x, std::span<const Linear> parts, std::span<Value> ys) {
  for (size_t i = 0; i < parts.size(); ++i) ys[i] = product(x, parts[i].weight, parts[i].bias);
}

void Context::add_low_rank(const Value& x, const Parameter& weight, Value& y) {
  if (!adapters_.empty()) return add_low_rank_to_sequences(x, weight, y);
  const LowRank* addition = addition_to(weight, adapter_);
  if (addition == nullptr) return;
  Value inner = product(x, *addition->a, nullptr);
  y = add(y, scale(product(inner, *addition->b, nullptr), addition->scale));
}

int64_t Context::row_of(int64_t row, const Value& x, const Parameter& weight) const {
  const auto rows = static_cast<int64_t>(rows_.size());
  require(x.rows() == (rows_.empty() ? sequence_begin().back() : rows),
          "{}: adapters need a row for each token", weight.name);
  return rows_.empty() ? row : std::ranges::lower_bound(rows_, row) - rows_.begin();
}

void Context::add_low_rank_to_sequences(const Value& x, const Parameter& weight, Value& y) {
  const size_t count = adapters_.size();
  for (size_t begin = 0, end = 0; begin < count; begin = end) {
    // Neighbours with the same adapter share its products.
    while (end < count && adapters_[end] == adapters_[begin]) ++end;
    const LowRank* addition = addition_to(weight, adapters_[begin]);
    if (addition == nullptr) continue;
    const int64_t first = row_of(sequence_begin()[begin], x, weight);
    const int64_t last = row_of(sequence_begin()[end], x, weight);
    if (first == last) continue;
    Value inner = product({x.data.rows(first, last)}, *addition->a, nullptr);
    Value outer = scale(product(inner, *addition->b, nullptr), addition->scale);
    Tensor rows = y.data.rows(first, last);
    millrace::add(rows.f32().data(), outer.data.f32().data(), rows.count(), rows.f32().data());
  }
}

}  // namespace millrace
