// The logits of a sequence have the same bits alone and in any company, prefilled whole, in chunks
// or step by step, on one thread or two: for every type of weights, at every instruction set, with
// an adapter and without.
#include <gtest/gtest.h>

#include <cstring>
#include <tuple>

#include "millrace/base/random.h"
#include "millrace/base/thread_pool.h"
#include "millrace/generate/key_value_cache.h"
#include "millrace/graph/evaluating_context.h"
#include "millrace/kernels/isa.h"
#include "millrace/kernels/isa_emulation.h"
#include "millrace/model/adapter.h"
#include "tests/kernels/emulated_amx.h"
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
std::vector<float> whole_and_alone(const Model& model, const Ids& ids, const LowRankMap* adapter) {
  RaggedBatch batch;
  batch.add_sequence(ids);
  std::vector<int64_t> rows;
  for (size_t i = 0; i < ids.size(); ++i) rows.push_back(static_cast<int64_t>(i));
  Workspace workspace;
  EvaluatingContext context(batch, model.cache_dtype(), workspace);
  context.set_adapter(adapter);
  Value out = logits(context, model, rows);
  return {out.data.f32().begin(), out.data.f32().end()};
}

/// The same through a cache, in chunks of these lengths, beside strangers.
class Chunked {
 public:
  Chunked(const Model& model, const Ids& ids, const LowRankMap* adapter, uint64_t seed)
      : model_(model),
        ids_(ids),
        adapter_(adapter),
        random_(seed),
        layout_(model.cache_layout()),
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
    std::vector<float*> states;
    auto add = [&](const CachedSequence& sequence) {
      sequences.push_back(&sequence.blocks);
      states.push_back(sequence.states);
    };
    for (size_t i = 0; i < before; ++i) add(strangers_[i]);
    add(sequence_);
    for (size_t i = before; i < strangers_.size(); ++i) add(strangers_[i]);
    EvaluatingContext context(batch_, layout_, sequences, workspace_, states);
    context.set_adapter(adapter_);
    Value out = logits(context, model_, rows);
    logits_.insert(logits_.end(), out.data.f32().begin(), out.data.f32().end());
    processed_ += chunk;
    for (CachedSequence& stranger : strangers_) cache_.release(stranger);
    strangers_.clear();
  }

  const Model& model_;
  const Ids& ids_;
  const LowRankMap* adapter_;
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

/// `cuts`: how many of kCuts.
void expect_same_bits_in_any_company(const Model& model, const LowRankMap* adapter = nullptr,
                                     size_t cuts = kCuts.size()) {
  const int before = num_threads();
  const Ids ids = random_ids(kLength, 1);
  set_num_threads(1);
  const std::vector<float> expected = whole_and_alone(model, ids, adapter);
  ASSERT_EQ(expected.size(), kLength * kVocabulary);
  set_num_threads(2);
  for (size_t i = 0; i <= cuts; ++i) {
    if (i > 0) set_num_threads(1 + static_cast<int>(i) % 2);
    const std::vector<float> got = i == 0 ? whole_and_alone(model, ids, adapter)
                                          : Chunked(model, ids, adapter, i).run(kCuts[i - 1]);
    ASSERT_EQ(got.size(), expected.size());
    for (size_t row = 0; row < kLength; ++row) {
      const size_t at = row * kVocabulary;
      ASSERT_EQ(std::memcmp(&got[at], &expected[at], kVocabulary * sizeof(float)), 0)
          << "row " << row << ", cut " << i;
    }
  }
  set_num_threads(before);
}

/// The narrowest model of a type.
std::unique_ptr<Model> narrow_model(DType dtype) {
  return tiny_model(dtype, info(dtype).block_size == 256 ? 256 : 64);
}

const DType kTypes[] = {DType::f32,  DType::bf16,   DType::f16,    DType::q8_0,
                        DType::q4_0, DType::q4_1,   DType::q5_0,   DType::q5_1,
                        DType::q2_k, DType::q3_k,   DType::q4_k,   DType::q5_k,
                        DType::q6_k, DType::iq4_nl, DType::iq4_xs, DType::mxfp4};

class LogitsInCompany : public testing::TestWithParam<DType> {
 protected:
  void TearDown() override { set_isa(best_); }

  const Isa best_ = isa();
};

TEST_P(LogitsInCompany, AreTheSameBits) {
  expect_same_bits_in_any_company(*tiny_model(GetParam(), 256));
}

TEST_P(LogitsInCompany, AreTheSameBitsAtEveryLowerInstructionSet) {
  auto model = narrow_model(GetParam());
  for (Isa level : {Isa::scalar, Isa::neon, Isa::avx2, Isa::avx512, Isa::avx512_bf16}) {
    if (level >= best_ || !has_isa(level)) continue;
    set_isa(level);
    SCOPED_TRACE(isa_name(level));
    // The plain loops are slow, and know no tiles.
    expect_same_bits_in_any_company(*model, nullptr, level == Isa::scalar ? 1 : kCuts.size());
  }
}

// Wide models take long here; tests/kernels/amx_test.cpp holds every type's products to the plain
// loops.
TEST_P(LogitsInCompany, AreTheSameBitsWithAmx) {
  if (best_ != Isa::avx512_bf16) return;  // has AMX, or not what surrounds its tiles
  const bool wide = info(GetParam()).block_size == 256;
  if (wide && GetParam() != DType::q4_k) return;
  emulate_amx();
  emulate_isa(Isa::amx);
  expect_same_bits_in_any_company(*narrow_model(GetParam()), nullptr, 1);
}

TEST_P(LogitsInCompany, AreTheSameBitsWithAnAdapter) {
  auto model = narrow_model(GetParam());
  Adapter adapter(*model, 5, 8, {}, 1);
  Random random(2);
  for (Parameter& parameter : adapter.parameters()) {
    for (float& value : parameter.value.f32()) value = static_cast<float>(0.1 * random.normal());
    pack_for_running(parameter, model->arithmetic());
  }
  const Ids ids = random_ids(kLength, 1);
  EXPECT_NE(whole_and_alone(*model, ids, &adapter.map()), whole_and_alone(*model, ids, nullptr));
  expect_same_bits_in_any_company(*model, &adapter.map());
}

TEST_P(LogitsInCompany, AreTheSameBitsWithACacheOf8Bits) {
  auto model = narrow_model(GetParam());
  const std::vector<float> before = whole_and_alone(*model, random_ids(kLength, 1), nullptr);
  model->set_cache_dtype(DType::i8);
  EXPECT_NE(whole_and_alone(*model, random_ids(kLength, 1), nullptr), before);
  expect_same_bits_in_any_company(*model);
}

std::string type_name(const testing::TestParamInfo<DType>& type) {
  return std::string(info(type.param).name);
}

INSTANTIATE_TEST_SUITE_P(Types, LogitsInCompany, testing::ValuesIn(kTypes), type_name);

TEST(InCompany, LogitsOfOtherFamiliesAreTheSameBits) {
  for (const char* family :
       {"gpt2", "minimax", "llama-uneven", "minimax_m3_vl_text", "qwen3_5_text"}) {
    for (DType dtype : {DType::f32, DType::bf16, DType::q5_k}) {
      SCOPED_TRACE(fmt::format("{} {}", family, info(dtype).name));
      expect_same_bits_in_any_company(*tiny_model(dtype, 256, family));
    }
  }
}

}  // namespace
}  // namespace millrace
