// The loss of a language model: cross entropy of the head's logits, in chunks of rows, so that
// [tokens, vocabulary] is never held.
#pragma once

#include <cstdint>
#include <span>

#include "millrace/graph/activations.h"
#include "millrace/graph/parameter.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// losses[i] = −log softmax(hidden[i] · headᵀ + bias)[targets[i]] in nats, 0 where the target is
/// −1. hidden [rows, width]. With a softcap logits x become softcap · tanh(x / softcap).
void head_loss_forward(const Tensor& hidden, const Head& head, std::span<const int32_t> targets,
                       Activations& activations, std::span<float> losses);

/// As head_loss_forward, and at once the gradients of scale · Σ losses: dhidden is written (empty:
/// not wanted), those of the head's parameters are added to where they are trained.
void head_loss_forward_backward(const Tensor& hidden, const Head& head,
                                std::span<const int32_t> targets, float scale,
                                Activations& activations, std::span<float> losses, Tensor& dhidden);

}  // namespace millrace
