// The logits of a sequence have the same bits alone and in any company, prefilled whole, in chunks
// or step by step, on one thread or two: for every type of weights, at every instruction set.
#include <gtest/gtest.h>

#include <cstring>
#include <tuple>

#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/generate/key_value_cache.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/kernels/isa.h"
#include "tests/tiny_model.h"

namespace millrace {
namespace {

using Ids = std::vector<int32_t>;

constexpr size_t kLength = 140;  // two pages of 64 and some
constexpr size_t kVocabulary = kTinyVocabulary;

Ids random_ids(size_t length, uint64_t seed) {
  Random random(seed);
  Ids ids(length);
  for (int32_t& id : ids) id = static_cast<int32_t>(random.below(kVocabulary));
  return ids;
}

/// Logits of all tokens of a sequence, alone, whole and without a cache: what scoring does.
std::vector<float> whole_and_alone(const Model& model, const Ids& ids) {
  RaggedBatch batch;
  batch.add_sequence(ids);
  std::vector<int64_t> rows;
  for (size_t i = 0; i < ids.size(); ++i) rows.push_back(static_cast<int64_t>(i));
  Workspace workspace;
  EvaluatingContext context(batch, model.cache_dtype(), workspace);
  Value out = logits(context, model, rows);
  return {out.data.f32().begin(), out.data.f32().end()};
}

/// The same through a cache, in chunks of these lengths, beside strangers.
class Chunked {
 public:
  Chunked(const Model& model, const Ids& ids, uint64_t seed)
      : model_(model),
        ids_(ids),
        random_(seed),
        layout_(cache_layout(model.config().attention_shape(), model.cache_dtype(),
                             model.config().num_layers)),
        cache_(layout_, 64) {
    cache_.extend(sequence_, static_cast<int64_t>(ids.size()));
  }

  std::vector<float> run(const std::vector<size_t>& chunks) {
    for (size_t chunk : chunks) step(chunk);
    EXPECT_EQ(processed_, ids_.size());
    return std::move(logits_);
  }

 private:
  /// A sequence of 0 to 33 tokens that has nothing to do with ours.
  void add_stranger() {
    constexpr size_t kRows[] = {0, 1, 2, 15, 16, 17, 33};
    const Ids ids = random_ids(kRows[random_.below(std::size(kRows))], random_.bits());
    if (ids.empty()) return;
    CachedSequence& stranger = strangers_.emplace_back();
    cache_.extend(stranger, static_cast<int64_t>(ids.size()));
    batch_.add_sequence(ids);
  }

  void step(size_t chunk) {
    batch_.clear();
    add_stranger();
    const size_t before = strangers_.size();
    std::vector<int64_t> rows;
    for (size_t i = 0; i < chunk; ++i) {
      rows.push_back(batch_.num_tokens() + static_cast<int64_t>(i));
    }
    batch_.add_sequence(std::span(ids_).subspan(processed_, chunk),
                        static_cast<int32_t>(processed_));
    add_stranger();
    std::vector<const SequenceBlocks*> sequences;
    for (size_t i = 0; i < before; ++i) sequences.push_back(&strangers_[i].blocks);
    sequences.push_back(&sequence_.blocks);
    for (size_t i = before; i < strangers_.size(); ++i) sequences.push_back(&strangers_[i].blocks);
    EvaluatingContext context(batch_, layout_, sequences, workspace_);
    Value out = logits(context, model_, rows);
    logits_.insert(logits_.end(), out.data.f32().begin(), out.data.f32().end());
    processed_ += chunk;
    for (CachedSequence& stranger : strangers_) cache_.release(stranger);
    strangers_.clear();
  }

  const Model& model_;
  const Ids& ids_;
  Random random_;
  CacheLayout layout_;
  KeyValueCache cache_;
  CachedSequence sequence_;
  std::vector<CachedSequence> strangers_;
  Workspace workspace_;
  RaggedBatch batch_;
  size_t processed_ = 0;
  std::vector<float> logits_;
};

/// Where a prompt is cut.
const std::vector<std::vector<size_t>> kCuts = {
    {1, 2, 15, 16, 17, 33, 56},            // as many rows as tiles have, one more, one less
    {63, 1, 1, 63, 1, 1, 10},              // around pages' edges, at 64 and 128
    {64, 64, 12},                          // at their edges
    {31, 33, 47, 17, 12},                  // around the edges of tiles
    {61, 1, 1, 1, 1, 1, 60, 1, 1, 1, 11},  // step by step over both edges
};

void expect_same_bits_in_any_company(DType dtype, int64_t width, const char* family = "llama") {
  const int before = num_threads();
  auto model = tiny_model(dtype, width, family);
  const Ids ids = random_ids(kLength, 1);
  set_num_threads(1);
  const std::vector<float> expected = whole_and_alone(*model, ids);
  ASSERT_EQ(expected.size(), kLength * kVocabulary);
  set_num_threads(2);
  for (size_t i = 0; i <= kCuts.size(); ++i) {
    if (i > 0) set_num_threads(1 + static_cast<int>(i) % 2);
    const std::vector<float> got =
        i == 0 ? whole_and_alone(*model, ids) : Chunked(*model, ids, i).run(kCuts[i - 1]);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t row = 0; row < kLength; ++row) {
      const size_t at = row * kVocabulary;
      ASSERT_EQ(std::memcmp(&got[at], &expected[at], kVocabulary * sizeof(float)), 0)
          << info(dtype).name << ", row " << row << ", cut " << i;
    }
  }
  set_num_threads(before);
}

const DType kTypes[] = {DType::f32,  DType::bf16, DType::f16,  DType::q8_0,   DType::q4_0,
                        DType::q4_1, DType::q5_0, DType::q5_1, DType::q2_k,   DType::q3_k,
                        DType::q4_k, DType::q5_k, DType::q6_k, DType::iq4_nl, DType::iq4_xs};

class LogitsInCompany : public testing::TestWithParam<DType> {};

TEST_P(LogitsInCompany, AreTheSameBits) {
  expect_same_bits_in_any_company(GetParam(), 256);
}

std::string type_name(const testing::TestParamInfo<DType>& type) {
  return std::string(info(type.param).name);
}

INSTANTIATE_TEST_SUITE_P(Types, LogitsInCompany, testing::ValuesIn(kTypes), type_name);

TEST(InCompany, LogitsOfGpt2AreTheSameBits) {
  for (DType dtype : {DType::f32, DType::bf16, DType::q5_k}) {
    expect_same_bits_in_any_company(dtype, 256, "gpt2");
  }
}

TEST(InCompany, LogitsAreTheSameBitsAtEveryLowerInstructionSet) {
  const Isa best = isa();
  for (Isa level : {Isa::scalar, Isa::avx2, Isa::avx512}) {
    if (level >= best) continue;
    set_isa(level);
    SCOPED_TRACE(isa_name(level));
    for (DType dtype : {DType::f32, DType::bf16, DType::f16, DType::q8_0, DType::q4_1}) {
      expect_same_bits_in_any_company(dtype, 64);
    }
    if (level > Isa::scalar) expect_same_bits_in_any_company(DType::q4_k, 256);
  }
  set_isa(best);
}

}  // namespace
}  // namespace millrace
