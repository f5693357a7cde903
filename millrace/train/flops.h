// The floating-point operations that a step needs, for model FLOPs utilisation.
#pragma once

#include <span>

#include "millrace/data/packing.h"
#include "millrace/model/adapter.h"
#include "millrace/model/model.h"

namespace millrace {

/// Operations of one step as PaLM counts them (Chowdhery et al. 2022, appendix B): 6 N a token, N
/// being the parameters that are multiplied (the head, but not tables that are only looked up), and
/// 12 layers * heads * head_dim * length a token of a sequence of that length for attention. Where
/// only an adapter (not null) is trained the model's own matrices count 4 N, having no gradient.
/// What recomputation does twice counts once.
double step_flops(const Model& model, const Adapter* adapter, std::span<const Piece> step);

}  // namespace millrace
