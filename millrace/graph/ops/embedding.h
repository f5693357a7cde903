// Rows of a table by id, rows of an activation by index, and columns of it, with gradients.
#pragma once

#include <cstdint>
#include <span>

#include "millrace/graph/parameter.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

/// y[i] = table[ids[i]], rounded as products round the table. Throws Error for an id that the table
/// does not have.
void embedding_forward(const Parameter& table, std::span<const int32_t> ids, Tensor& y);
/// dtable[ids[i]] += dy[i], in ascending order of i.
void embedding_backward(const Tensor& dy, std::span<const int32_t> ids, Parameter& table);

/// y[i] = x[rows[i]].
void gather_rows_forward(const Tensor& x, std::span<const int64_t> rows, Tensor& y);
/// dx[rows[i]] += dy[i].
void gather_rows_backward(const Tensor& dy, std::span<const int64_t> rows, Tensor& dx);

/// y = x but for y[rows[i]] = part[i].
void put_rows(const Tensor& x, std::span<const int64_t> rows, const Tensor& part, Tensor& y);
/// x[rows[i]] = 0.
void clear_rows(std::span<const int64_t> rows, Tensor& x);

/// y = x[:, begin : begin + y's width].
void columns_forward(const Tensor& x, int64_t begin, Tensor& y);
/// y[:, begin : begin + x's width] = x.
void put_columns(const Tensor& x, int64_t begin, Tensor& y);
/// dx[:, begin : begin + dy's width] += dy; without `accumulate` dx is zero before.
void columns_backward(const Tensor& dy, int64_t begin, bool accumulate, Tensor& dx);

}  // namespace millrace
