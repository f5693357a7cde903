#include "millrace/kernels/embedding.h"

#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

std::vector<int32_t> random_ids(int64_t count, uint64_t vocab) {
  Random random(11);
  std::vector<int32_t> ids;
  for (int64_t i = 0; i < count; ++i) ids.push_back(static_cast<int32_t>(random.below(vocab)));
  return ids;
}

TEST(Embedding, GathersRows) {
  const std::vector<float> table = normal_values(20 * 7, 1);
  const std::vector<int32_t> ids = {3, 19, 0, 3};
  std::vector<float> out(4 * 7), expected(4 * 7);
  gather_rows(table.data(), ids.data(), 4, 7, out.data());
  reference::gather_rows(table.data(), ids.data(), 4, 7, expected.data());
  expect_same_bits(out, expected);
}

TEST(Embedding, ScatterHasTheReferencesBitsAtAnyNumberOfThreads) {
  // Few ids, so that one spans many parts; many ids; one id.
  const int before = num_threads();
  for (uint64_t vocab : {3, 500, 1}) {
    const int64_t count = 3000, width = 40;
    const std::vector<int32_t> ids = random_ids(count, vocab);
    const std::vector<float> dout = normal_values(count * width, 2);
    std::vector<float> expected = normal_values(500 * width, 3);
    const std::vector<float> start = expected;
    reference::scatter_add_rows(dout.data(), ids.data(), count, width, expected.data());
    for (int threads : {1, 2, 3}) {
      set_num_threads(threads);
      std::vector<float> dtable = start;
      scatter_add_rows(dout.data(), ids.data(), count, width, dtable.data());
      expect_same_bits(dtable, expected);
    }
  }
  set_num_threads(before);
}

}  // namespace
}  // namespace millrace
