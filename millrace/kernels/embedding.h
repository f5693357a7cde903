// Rows looked up in a table by id, and the gradient of that.
#pragma once

#include <cstdint>

namespace millrace {

/// out[i] = table[ids[i]]. table: [any, width]; out: [count, width]. Ids must be valid.
void gather_rows(const float* table, const int32_t* ids, int64_t count, int64_t width, float* out);

/// dtable[ids[i]] += dout[i], rows of one id in ascending order of i: the same bits on any number
/// of threads. dtable: [any, width]; dout: [count, width].
void scatter_add_rows(const float* dout, const int32_t* ids, int64_t count, int64_t width,
                      float* dtable);

/// The same functions in the plainest C++; tests hold the ones above to them.
namespace reference {
void gather_rows(const float* table, const int32_t* ids, int64_t count, int64_t width, float* out);
void scatter_add_rows(const float* dout, const int32_t* ids, int64_t count, int64_t width,
                      float* dtable);
}  // namespace reference

}  // namespace millrace
