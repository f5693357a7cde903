// Root-mean-square and layer normalisation of rows, with their gradients.
#pragma once

#include <cstdint>

namespace millrace {

/// RMSNorm (Zhang and Sennrich 2019): y = x / sqrt(mean(x^2) + eps) * weight, row by row.
/// x, y: [rows, width], may be the same memory; weight: [width]. `inv_rms` [rows] receives
/// 1 / sqrt(mean(x^2) + eps) for the backward pass unless it is null.
void rms_norm_forward(const float* x, const float* weight, int64_t rows, int64_t width, float eps,
                      float* y, float* inv_rms);

/// Gradient of rms_norm_forward. dx [rows, width] is written, or added to with `accumulate`; it may
/// be dy's memory when it is written. dweight [width] is added to, unless null: in chunks of 256
/// rows whose sums are added in ascending order, so the result depends on no thread.
void rms_norm_backward(const float* dy, const float* x, const float* weight, const float* inv_rms,
                       int64_t rows, int64_t width, float* dx, bool accumulate, float* dweight);

/// LayerNorm (Ba et al. 2016): y = (x - mean) / sqrt(variance + eps) * weight + bias, row by row.
/// `bias` may be null. `mean` and `inv_std` [rows] receive what the backward pass needs unless
/// null.
void layer_norm_forward(const float* x, const float* weight, const float* bias, int64_t rows,
                        int64_t width, float eps, float* y, float* mean, float* inv_std);

/// Gradient of layer_norm_forward; dx, dweight and dbias (each of the last two may be null) as in
/// rms_norm_backward.
void layer_norm_backward(const float* dy, const float* x, const float* weight, const float* mean,
                         const float* inv_std, int64_t rows, int64_t width, float* dx,
                         bool accumulate, float* dweight, float* dbias);

/// The same functions in the plainest C++; tests hold the ones above to them.
namespace reference {
void rms_norm_forward(const float* x, const float* weight, int64_t rows, int64_t width, float eps,
                      float* y, float* inv_rms);
void rms_norm_backward(const float* dy, const float* x, const float* weight, const float* inv_rms,
                       int64_t rows, int64_t width, float* dx, bool accumulate, float* dweight);
void layer_norm_forward(const float* x, const float* weight, const float* bias, int64_t rows,
                        int64_t width, float eps, float* y, float* mean, float* inv_std);
void layer_norm_backward(const float* dy, const float* x, const float* weight, const float* mean,
                         const float* inv_std, int64_t rows, int64_t width, float* dx,
                         bool accumulate, float* dweight, float* dbias);
}  // namespace reference

}  // namespace millrace
