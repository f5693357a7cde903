#include "millrace/train/flops.h"

namespace millrace {
namespace {

/// Numbers of the model that take part in products: matrices within layers, and the head.
double multiplied_parameters(const Model& model) {
  double total = static_cast<double>(model.head().weight.shape.count());
  for (size_t i = model.specs().outer.size(); i < model.parameters().size(); ++i) {
    const Parameter& parameter = model.parameters()[i];
    if (!parameter.is_matrix()) continue;
    total += model.use(i) * static_cast<double>(parameter.shape.count());
  }
  return total;
}

double adapter_parameters(const Adapter& adapter) {
  double total = 0;
  for (const Parameter& parameter : adapter.parameters()) {
    total += static_cast<double>(parameter.shape.count());
  }
  return total;
}

}  // namespace

double step_flops(const Model& model, const Adapter* adapter, std::span<const Piece> step) {
  double tokens = 0, squares = 0;
  for (const Piece& piece : step) {
    const auto length = static_cast<double>(piece.length());
    tokens += length;
    squares += length * length;
  }
  const ModelConfig& config = model.config();
  double per_token = (adapter == nullptr ? 6 : 4) * multiplied_parameters(model);
  if (adapter != nullptr) per_token += 6 * adapter_parameters(*adapter);
  double attention = 0;
  for (int64_t layer = 0; layer < config.num_layers; ++layer) {
    if (config.is_linear(layer)) continue;  // its work does not grow with the text
    const LayerSizes sizes = config.sizes(layer);
    attention += static_cast<double>(12 * sizes.num_heads * sizes.head_dim);
  }
  return per_token * tokens + attention * squares;
}

}  // namespace millrace
