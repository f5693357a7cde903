// Muon (Jordan et al. 2024): momentum whose singular values are all made about 1.
// https://kellerjordan.github.io/posts/muon/
#pragma once

#include "millrace/kernels/matmul.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

struct Muon {
  float learning_rate = 0.02f;
  float momentum = 0.95f;
  float weight_decay = 0;  // decoupled: param -= learning_rate * weight_decay * param
  float grad_scale = 1;    // the gradient is multiplied by it first, e.g. to clip
  Arithmetic arithmetic = Arithmetic::bf16;  // of the products of the iteration
};

/// One step on a matrix [out, in]: buffer = momentum * buffer + (1 - momentum) * grad, Nesterov's
/// look ahead, orthogonalize, and a step of learning_rate * sqrt(max(1, out / in)), so that
/// what the layer puts out changes by as much at every shape.
void muon_step(const Muon& options, const Tensor& grad, Tensor& param, Tensor& buffer);

/// Replaces a matrix U S V^T by about U V^T: five steps of the quintic iteration whose coefficients
/// are those of Polar Express (Amsel et al. 2025, 2505.16932), which need not converge: singular
/// values end between about 0.7 and 1.2 unless they were below a thousandth of the norm.
void orthogonalize(Tensor& matrix, Arithmetic arithmetic);

}  // namespace millrace
