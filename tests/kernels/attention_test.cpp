#include "millrace/kernels/attention.h"

#include <hwy/aligned_allocator.h>

#include <cstring>
#include <numeric>

#include "millrace/base/error.h"
#include "millrace/kernels/elementwise.h"
#include "tests/kernels/kernel_test.h"

namespace millrace {
namespace {

AttentionShape shape_of(int64_t heads, int64_t kv_heads, int64_t dim) {
  AttentionShape shape;
  shape.num_heads = heads;
  shape.num_kv_heads = kv_heads;
  shape.head_dim = dim;
  shape.scale = 1 / std::sqrt(static_cast<float>(dim));
  return shape;
}

std::string text(const AttentionShape& s) {
  return std::to_string(s.num_heads) + "/" + std::to_string(s.num_kv_heads) + " heads of " +
         std::to_string(s.head_dim) + (s.causal ? "" : ", not causal") +
         (s.sliding_window ? ", window" : "") + (s.softcap > 0 ? ", capped" : "") +
         (s.alibi_max_bias > 0 ? ", biased" : "") + (s.sinks ? ", sinks" : "") +
         (s.distance_bias.values ? ", biased by distance" : "") +
         (s.selection.bits ? ", selected" : "");
}

/// Queries, keys and values of one whole sequence.
struct Sequence {
  int64_t length;
  std::vector<float> q, k, v;

  Sequence(const AttentionShape& shape, int64_t n, uint64_t seed)
      : length(n),
        q(normal_values(n * shape.num_heads * shape.head_dim, seed)),
        k(normal_values(n * shape.num_kv_heads * shape.head_dim, seed + 1000)),
        v(normal_values(n * shape.num_kv_heads * shape.head_dim, seed + 2000)) {}
};

/// Pages of one sequence, each an allocation of its own so that a sanitizer sees its edges.
class Pages {
 public:
  /// `fill` is what fresh pages hold: every page is overwritten where it is read, so anything does.
  Pages(const AttentionShape& shape, DType dtype, int64_t length, int fill = 0) {
    const size_t bytes = page_bytes(shape, dtype);
    for (int64_t p = 0; p < length; p += kPageSize) {
      owned_.push_back(hwy::AllocateAligned<std::byte>(bytes));
      std::memset(owned_.back().get(), fill, bytes);
      pages_.push_back(owned_.back().get());
    }
  }
  std::span<std::byte* const> span() const { return pages_; }

 private:
  std::vector<hwy::AlignedFreeUniquePtr<std::byte[]>> owned_;
  std::vector<std::byte*> pages_;
};

struct Output {
  std::vector<float> out, log_sum_exp;
};

using ForwardFunction = void (*)(const AttentionShape&, DType, std::span<const AttentionSegment>,
                                 const float*, float*, float*);

/// Runs a sequence in chunks of these lengths, storing each chunk's keys and values first.
Output run_in_chunks(const AttentionShape& shape, DType dtype, const Sequence& s,
                     const std::vector<int64_t>& chunks, ForwardFunction forward, int fill = 0) {
  const int64_t width = shape.num_heads * shape.head_dim;
  const int64_t kv_width = shape.num_kv_heads * shape.head_dim;
  Pages pages(shape, dtype, s.length, fill);
  Output result{std::vector<float>(s.q.size(), NAN),
                std::vector<float>(static_cast<size_t>(s.length * shape.num_heads), NAN)};
  int64_t begin = 0;
  for (int64_t count : chunks) {
    const AttentionSegment segment{0, count, begin, pages.span()};
    AttentionShape of_chunk = shape;
    KeySelection& selection = of_chunk.selection;
    if (selection.bits) selection.bits += begin * selection.sets * selection.words;
    store_keys_values(shape, dtype, {&segment, 1}, s.k.data() + begin * kv_width,
                      s.v.data() + begin * kv_width);
    forward(of_chunk, dtype, {&segment, 1}, s.q.data() + begin * width,
            result.out.data() + begin * width, result.log_sum_exp.data() + begin * shape.num_heads);
    begin += count;
  }
  EXPECT_EQ(begin, s.length);
  return result;
}

Output run_whole(const AttentionShape& shape, DType dtype, const Sequence& s) {
  return run_in_chunks(shape, dtype, s, {s.length}, attention_forward);
}

/// The values of a DistanceBias.
std::vector<float> some_biases(int64_t heads, int64_t max_distance) {
  const DistanceBias bias{nullptr, max_distance};
  std::vector<float> values = normal_values(heads * bias.width(), 5);
  for (int64_t i = 0; i < heads * bias.width(); ++i) {
    const int64_t distance = i % bias.width() - bias.reach();
    const int64_t same = std::clamp(distance, -max_distance, max_distance);
    values[static_cast<size_t>(i)] = values[static_cast<size_t>(bias.at(i / bias.width(), same))];
  }
  return values;
}

/// Half of the keys, but for pages without any, and the first for every row.
KeySelection some_keys(int64_t sets) {
  constexpr int64_t kRows = 300, kWords = 5;
  static std::vector<std::vector<uint64_t>> kept(8);
  std::vector<uint64_t>& bits = kept[static_cast<size_t>(sets)];
  if (bits.empty()) {
    Random random(11);
    for (int64_t i = 0; i < kRows * sets * kWords; ++i) {
      const uint64_t word = random.below(4) == 0 ? 0 : random.bits();
      bits.push_back(i % kWords == 0 ? word | 1 : word);
    }
  }
  return {bits.data(), sets, kWords};
}

std::vector<AttentionShape> shapes() {
  std::vector<AttentionShape> all = {shape_of(9, 3, 64), shape_of(4, 4, 32), shape_of(6, 2, 80),
                                     shape_of(5, 1, 20), shape_of(50, 1, 4), shape_of(2, 1, 7),
                                     shape_of(1, 1, 259)};
  AttentionShape windowed = shape_of(4, 2, 32);
  windowed.sliding_window = 37;
  all.push_back(windowed);
  AttentionShape capped = shape_of(4, 2, 32);
  capped.softcap = 1.5f;
  all.push_back(capped);
  AttentionShape biased = shape_of(6, 3, 20);  // heads that are no power of two
  biased.alibi_max_bias = 8;
  all.push_back(biased);
  static const float sinks[] = {1.5f, -2, 0.25f, 4};
  windowed.sinks = sinks;
  windowed.softcap = 3;
  windowed.alibi_max_bias = 4;
  all.push_back(windowed);
  AttentionShape distant = shape_of(4, 2, 20);
  static const std::vector<float> biases = some_biases(4, 12);
  distant.distance_bias = {biases.data(), 12};
  all.push_back(distant);
  distant.selection = some_keys(2);
  all.push_back(distant);
  AttentionShape latent = shape_of(20, 1, 20);
  latent.selection = some_keys(1);
  all.push_back(latent);
  return all;
}

constexpr DType kCacheTypes[] = {DType::f32, DType::bf16, DType::i8};

TEST(Attention, PagesHaveTheReferencesBytes) {
  for_each_isa([] {
    for (DType dtype : kCacheTypes) {
      for (const AttentionShape& shape : shapes()) {
        const Sequence s(shape, 150, 1);
        Pages pages(shape, dtype, 150), expected(shape, dtype, 150);
        int64_t begin = 0;
        for (int64_t count : {1, 62, 3, 70, 14}) {
          const int64_t offset = begin * shape.num_kv_heads * shape.head_dim;
          AttentionSegment segment{0, count, begin, pages.span()};
          store_keys_values(shape, dtype, {&segment, 1}, s.k.data() + offset, s.v.data() + offset);
          segment.pages = expected.span();
          reference::store_keys_values(shape, dtype, {&segment, 1}, s.k.data() + offset,
                                       s.v.data() + offset);
          begin += count;
        }
        for (size_t p = 0; p < pages.span().size(); ++p) {
          EXPECT_EQ(std::memcmp(pages.span()[p], expected.span()[p], page_bytes(shape, dtype)), 0);
        }
      }
    }
  });
  EXPECT_THROW(page_bytes(shape_of(1, 1, 8), DType::q4_0), Error);
}

TEST(Attention, ForwardAgreesWithReference) {
  for (DType dtype : kCacheTypes) {
    for (AttentionShape shape : shapes()) {
      for (bool causal : {true, false}) {
        shape.causal = causal;
        for (int64_t length : {1, 63, 64, 65, 130}) {
          const Sequence s(shape, length, 1);
          const Output expected =
              run_in_chunks(shape, dtype, s, {length}, reference::attention_forward);
          for_each_isa([&] {
            const Output actual = run_whole(shape, dtype, s);
            // A weight rounded to bf16 is off by up to 2^-9 of itself.
            expect_near(actual.out, expected.out, dtype == DType::f32 ? 3e-6 : 4e-3, text(shape));
            expect_near(actual.log_sum_exp, expected.log_sum_exp, 1e-6, text(shape));
          });
        }
      }
    }
  }
}

TEST(Attention, SlopesAreThoseOfThePaper) {
  AttentionShape shape = shape_of(8, 8, 4);
  shape.alibi_max_bias = 8;
  for (int64_t head = 0; head < 8; ++head) {
    EXPECT_EQ(alibi_slope(shape, head), std::exp2(-static_cast<float>(head + 1)));
  }
  shape.num_heads = 12;
  EXPECT_EQ(alibi_slope(shape, 7), std::exp2(-8.0f));
  EXPECT_EQ(alibi_slope(shape, 8), std::exp2(-0.5f));
  EXPECT_EQ(alibi_slope(shape, 11), std::exp2(-3.5f));
}

TEST(Attention, SinksHaveTheSlopeOfForward) {
  AttentionShape shape = shape_of(2, 1, 4);
  float sinks[] = {0.5f, -1};
  shape.sinks = sinks;
  const int64_t length = 5;
  const Sequence s(shape, length, 3);
  const std::vector<float> dout = normal_values(length * 8, 4);
  const auto loss = [&] {
    const Output o = run_in_chunks(shape, DType::f32, s, {length}, reference::attention_forward);
    return std::inner_product(dout.begin(), dout.end(), o.out.begin(), 0.0);
  };
  const Output o = run_whole(shape, DType::f32, s);
  float got[] = {1, 2};  // is added to
  attention_sinks_backward(shape, length, o.out.data(), dout.data(), o.log_sum_exp.data(), got);
  for (size_t h = 0; h < 2; ++h) {
    const float before = sinks[h], step = 1e-2f;
    sinks[h] = before + step;
    const double above = loss();
    sinks[h] = before - step;
    const double below = loss();
    sinks[h] = before;
    EXPECT_NEAR(got[h] - static_cast<float>(h + 1), (above - below) / (2 * step), 2e-4);
  }
}

TEST(Attention, AnyChunkingHasTheSameBits) {
  for_each_isa([] {
    for (DType dtype : kCacheTypes) {
      for (const AttentionShape& shape : shapes()) {
        const int64_t length = 200;
        const Sequence s(shape, length, 7);
        const Output whole = run_whole(shape, dtype, s);
        const std::vector<int64_t> steps(static_cast<size_t>(length), 1);
        for (const std::vector<int64_t>& chunks :
             {steps, std::vector<int64_t>{63, 1, 1, 135}, std::vector<int64_t>{64, 64, 72},
              std::vector<int64_t>{65, 2, 5, 128}, std::vector<int64_t>{199, 1}}) {
          // Fresh pages full of NaNs: no bit of what was not stored may show.
          const Output parts = run_in_chunks(shape, dtype, s, chunks, attention_forward, 0xff);
          expect_same_bits(parts.out, whole.out, text(shape));
          expect_same_bits(parts.log_sum_exp, whole.log_sum_exp, text(shape));
        }
      }
    }
  });
}

TEST(Attention, LaterInfinitiesDoNotMatter) {
  for_each_isa([] {
    for (DType dtype : kCacheTypes) {
      const AttentionShape shape = shape_of(4, 2, 32);
      Sequence s(shape, 70, 7);
      const Output clean = run_whole(shape, dtype, s);
      const int64_t seen = 67;
      std::fill(s.v.begin() + seen * 64, s.v.end(), INFINITY);
      std::fill(s.k.begin() + seen * 64, s.k.end(), NAN);
      const Output spoilt = run_whole(shape, dtype, s);
      expect_same_bits(spoilt.out.data(), clean.out.data(), seen * 128);
      EXPECT_TRUE(std::isnan(spoilt.out[seen * 128]));
    }
  });
}

/// Segments of sequences that begin at position 0 and stand in a batch one after the other.
struct Batch {
  std::vector<AttentionSegment> segments;
  std::vector<Pages> pages;
  std::vector<float> q, k, v;

  Batch(const AttentionShape& shape, DType dtype, const std::vector<int64_t>& lengths) {
    int64_t rows = 0;
    for (size_t i = 0; i < lengths.size(); ++i) {
      const Sequence s(shape, lengths[i], 50 + i);
      q.insert(q.end(), s.q.begin(), s.q.end());
      k.insert(k.end(), s.k.begin(), s.k.end());
      v.insert(v.end(), s.v.begin(), s.v.end());
      pages.emplace_back(shape, dtype, lengths[i]);
      segments.push_back({rows, lengths[i], 0, {}});
      rows += lengths[i];
    }
    for (size_t i = 0; i < lengths.size(); ++i) segments[i].pages = pages[i].span();
    store_keys_values(shape, dtype, segments, k.data(), v.data());
    if (dtype == DType::bf16) {
      for (std::vector<float>* x : {&q, &k, &v}) {
        round_to(dtype, x->data(), static_cast<int64_t>(x->size()), x->data());
      }
    }
  }
  Output run(const AttentionShape& shape, DType dtype, ForwardFunction forward) const {
    Output result{std::vector<float>(q.size(), NAN),
                  std::vector<float>(q.size() / static_cast<size_t>(shape.head_dim), NAN)};
    forward(shape, dtype, segments, q.data(), result.out.data(), result.log_sum_exp.data());
    return result;
  }
};

const std::vector<int64_t> kLengths = {70, 1, 0, 100, 33, 64};

TEST(Attention, StrangersDoNotMatter) {
  for_each_isa([] {
    for (DType dtype : kCacheTypes) {
      AttentionShape shape = shape_of(9, 3, 64);
      for (bool causal : {true, false}) {
        shape.causal = causal;
        const Output together = Batch(shape, dtype, kLengths).run(shape, dtype, attention_forward);
        int64_t row = 0;
        for (size_t i = 0; i < kLengths.size(); ++i) {
          const Output alone = run_whole(shape, dtype, Sequence(shape, kLengths[i], 50 + i));
          expect_same_bits(alone.out.data(), together.out.data() + row * 9 * 64,
                           kLengths[i] * 9 * 64);
          row += kLengths[i];
        }
      }
    }
  });
}

struct Gradients {
  std::vector<float> dq, dk, dv, dbias = {};
  std::vector<float> all() const {
    std::vector<float> joined = dq;
    for (const std::vector<float>* part : {&dk, &dv, &dbias}) {
      joined.insert(joined.end(), part->begin(), part->end());
    }
    return joined;
  }
};

using BackwardFunction = decltype(&attention_backward);

Gradients gradients(const Batch& batch, const AttentionShape& shape, DType dtype,
                    ForwardFunction forward, BackwardFunction backward) {
  const Output o = batch.run(shape, dtype, forward);
  const std::vector<float> dout = normal_values(static_cast<int64_t>(o.out.size()), 99);
  Gradients g{std::vector<float>(batch.q.size(), NAN), std::vector<float>(batch.k.size(), NAN),
              std::vector<float>(batch.v.size(), NAN)};
  const DistanceBias& bias = shape.distance_bias;
  const int64_t biases = bias.values ? shape.num_heads * bias.width() : 0;
  g.dbias.assign(static_cast<size_t>(biases), 0);
  backward(shape, batch.segments, batch.q.data(), batch.k.data(), batch.v.data(), o.out.data(),
           dout.data(), o.log_sum_exp.data(), g.dq.data(), g.dk.data(), g.dv.data(),
           bias.values ? g.dbias.data() : nullptr);
  for (int64_t i = 0; i < biases; ++i) {  // what lies beyond the greatest distance is one bias
    const int64_t distance = i % bias.width() - bias.reach();
    const int64_t same = std::clamp(distance, -bias.max_distance, bias.max_distance);
    if (same == distance) continue;
    g.dbias[static_cast<size_t>(bias.at(i / bias.width(), same))] +=
        std::exchange(g.dbias[static_cast<size_t>(i)], 0.0f);
  }
  return g;
}

Gradients gradients(const AttentionShape& shape, DType dtype, ForwardFunction forward,
                    BackwardFunction backward) {
  return gradients(Batch(shape, dtype, kLengths), shape, dtype, forward, backward);
}

TEST(Attention, BackwardAgreesWithReference) {
  for (DType dtype : {DType::f32, DType::bf16}) {
    for (AttentionShape shape : shapes()) {
      for (bool causal : {true, false}) {
        shape.causal = causal;
        if (dtype == DType::bf16 && !causal) continue;
        // Weights rounded to bf16 show in `out`, which the gradients read: both read the same one.
        for_each_isa([&] {
          const Gradients expected =
              gradients(shape, dtype, attention_forward, reference::attention_backward);
          const Gradients actual = gradients(shape, dtype, attention_forward, attention_backward);
          expect_near(actual.dq, expected.dq, 1e-5, "dq of " + text(shape));
          expect_near(actual.dk, expected.dk, 5e-5, "dk of " + text(shape));
          expect_near(actual.dv, expected.dv, 5e-5, "dv of " + text(shape));
          expect_near(actual.dbias, expected.dbias, 5e-5, "dbias of " + text(shape));
        });
      }
    }
  }
}

/// Which part of sequences a batch's segments are: the sequence with a prefix that all of it sees,
/// its tokens behind the prefix alone, or these as they see nothing but the prefix.
enum class Form { prefixed, behind, across };

/// The rows of a sequence that a form takes, of its prefix or of what is behind.
Batch batch_of(Form form, const AttentionShape& shape, DType dtype) {
  Batch batch(shape, dtype, kLengths);
  int64_t queries = 0, keys = 0;
  for (size_t i = 0; i < kLengths.size(); ++i) {
    const int64_t length = kLengths[i], prefix = (2 * length + 2) / 3;
    AttentionSegment& segment = batch.segments[i];
    segment.prefix = form == Form::behind ? 0 : prefix;
    if (form == Form::prefixed) continue;
    // The rows of all prefixes stand together, and those behind them.
    segment.query_begin = queries;
    segment.query_count = length - prefix;
    segment.first_position = prefix;
    segment.first_key = form == Form::behind ? prefix : 0;
    AttentionSegment stored = segment;
    if (form == Form::across) {
      segment.key_begin = keys;
      stored = {keys, prefix, 0, segment.pages};
    }
    // What is not stored again must not be seen.
    for (std::byte* page : segment.pages) std::memset(page, 0xff, page_bytes(shape, dtype));
    store_keys_values(shape, dtype, {&stored, 1}, batch.k.data(), batch.v.data());
    queries += segment.query_count;
    keys += stored.query_count;
  }
  if (form == Form::prefixed) return batch;
  const auto heads = static_cast<size_t>(shape.num_kv_heads * shape.head_dim);
  batch.q.resize(static_cast<size_t>(queries * shape.num_heads * shape.head_dim));
  const auto rows = static_cast<size_t>(form == Form::behind ? queries : keys);
  batch.k.resize(rows * heads);
  batch.v.resize(rows * heads);
  return batch;
}

TEST(Attention, OfPartsAgreesWithReference) {
  for (AttentionShape shape : shapes()) {
    for (Form form : {Form::prefixed, Form::behind, Form::across}) {
      shape.causal = form != Form::across;
      if (shape.selection.bits && form != Form::prefixed) continue;  // some rows would see none
      if (form != Form::behind) shape.sliding_window = 0;
      if (form == Form::across) {
        shape.alibi_max_bias = 0;
        shape.distance_bias = {};
      }
      const std::string what = text(shape) + ", form " + std::to_string(static_cast<int>(form));
      for (DType dtype : kCacheTypes) {
        const Batch batch = batch_of(form, shape, dtype);
        const Output expected = batch.run(shape, dtype, reference::attention_forward);
        for_each_isa([&] {
          const Output actual = batch.run(shape, dtype, attention_forward);
          expect_near(actual.out, expected.out, dtype == DType::f32 ? 3e-6 : 4e-3, what);
        });
      }
      const Batch batch = batch_of(form, shape, DType::f32);
      const Gradients expected =
          gradients(batch, shape, DType::f32, attention_forward, reference::attention_backward);
      for_each_isa([&] {
        const Gradients actual =
            gradients(batch, shape, DType::f32, attention_forward, attention_backward);
        expect_near(actual.dq, expected.dq, 1e-5, "dq of " + what);
        expect_near(actual.dk, expected.dk, 5e-5, "dk of " + what);
        expect_near(actual.dv, expected.dv, 5e-5, "dv of " + what);
        expect_near(actual.dbias, expected.dbias, 5e-5, "dbias of " + what);
      });
    }
  }
}

TEST(Attention, StoringLeavesTheOtherPositionsOfAPageAlone) {
  const AttentionShape shape = shape_of(2, 2, 20);
  for (DType dtype : kCacheTypes) {
    for (const int64_t middle : {1, 2, 31, 32, 33, 45, 63, 64, 65}) {
      const int64_t length = 100, width = 40;
      const Sequence s(shape, length, 3);
      const Pages once(shape, dtype, length), parts(shape, dtype, length);
      const AttentionSegment whole{0, length, 0, once.span()};
      store_keys_values(shape, dtype, {&whole, 1}, s.k.data(), s.v.data());
      const AttentionSegment first{0, middle, 0, parts.span()};
      const AttentionSegment last{0, length - middle, middle, parts.span()};
      store_keys_values(shape, dtype, {&last, 1}, s.k.data() + middle * width,
                        s.v.data() + middle * width);
      store_keys_values(shape, dtype, {&first, 1}, s.k.data(), s.v.data());
      for (size_t page = 0; page < once.span().size(); ++page) {
        EXPECT_EQ(std::memcmp(once.span()[page], parts.span()[page], page_bytes(shape, dtype)), 0)
            << info(dtype).name << ", " << middle;
      }
    }
  }
}

TEST(Attention, APrefixSeesItselfBothWays) {
  AttentionShape shape = shape_of(2, 1, 8);
  const int64_t length = 70, prefix = 66, width = 16;
  const Sequence s(shape, length, 3);
  Pages pages(shape, DType::f32, length);
  AttentionSegment segment{0, length, 0, pages.span()};
  store_keys_values(shape, DType::f32, {&segment, 1}, s.k.data(), s.v.data());
  std::vector<float> whole(s.q.size()), causal(s.q.size()), parted(s.q.size());
  attention_forward(shape, DType::f32, {&segment, 1}, s.q.data(), causal.data(), nullptr);
  segment.prefix = prefix;
  attention_forward(shape, DType::f32, {&segment, 1}, s.q.data(), parted.data(), nullptr);
  shape.causal = false;
  attention_forward(shape, DType::f32, {&segment, 1}, s.q.data(), whole.data(), nullptr);
  expect_same_bits(parted.data(), whole.data(), prefix * width);
  expect_same_bits(parted.data() + prefix * width, causal.data() + prefix * width,
                   (length - prefix) * width);
  EXPECT_NE(std::memcmp(parted.data(), causal.data(), sizeof(float) * 16), 0);
}

TEST(Attention, OfLevelsIsThatOfRoundedKeysAndValues) {
  const AttentionShape shape = shape_of(6, 2, 80);
  const Sequence s(shape, 150, 3);
  const Output exact = run_whole(shape, DType::f32, s), rounded = run_whole(shape, DType::i8, s);
  // Levels are off by up to half of a 127th of the greatest, some 2.5 here.
  expect_near(rounded.out, exact.out, 3e-2);
  EXPECT_NE(rounded.out, run_whole(shape, DType::bf16, s).out);
  EXPECT_LT(page_bytes(shape, DType::i8), page_bytes(shape, DType::bf16) * 9 / 16);
}

TEST(Attention, ZerosAndDenormalsAreKeptAsZeros) {
  for_each_isa([] {
    const AttentionShape shape = shape_of(2, 1, 8);
    Sequence s(shape, 70, 3);
    std::fill(s.k.begin(), s.k.end(), 1e-40f);
    std::fill(s.v.begin(), s.v.end(), 0.0f);
    const Output got = run_whole(shape, DType::i8, s);
    for (float value : got.out) EXPECT_EQ(value, 0.0f);
    EXPECT_NEAR(got.log_sum_exp.back(), std::log(70.0), 1e-5);
  });
}

TEST(Attention, ThreadsDoNotMatter) {
  const AttentionShape shape = shape_of(6, 3, 32);
  for (DType dtype : {DType::bf16, DType::i8}) {
    expect_threads_do_not_matter(
        [&] { return Batch(shape, dtype, kLengths).run(shape, dtype, attention_forward).out; });
  }
  expect_threads_do_not_matter(
      [&] { return gradients(shape, DType::f32, attention_forward, attention_backward).all(); });
}

TEST(Attention, BackwardIsTheSlopeOfForward) {
  AttentionShape shape = shape_of(2, 1, 4);
  std::vector<float> bias = normal_values(2 * DistanceBias{nullptr, 2}.width(), 9);
  shape.distance_bias = {bias.data(), 2};
  const int64_t length = 5;
  Sequence s(shape, length, 3);
  const std::vector<float> dout = normal_values(length * 8, 4);
  const auto loss = [&] {
    const Output o = run_in_chunks(shape, DType::f32, s, {length}, reference::attention_forward);
    return std::inner_product(dout.begin(), dout.end(), o.out.begin(), 0.0);
  };
  const Output o = run_whole(shape, DType::f32, s);
  const AttentionSegment segment{0, length, 0, {}};
  std::vector<float> dq(s.q.size()), dk(s.k.size()), dv(s.v.size()), dbias(bias.size());
  attention_backward(shape, {&segment, 1}, s.q.data(), s.k.data(), s.v.data(), o.out.data(),
                     dout.data(), o.log_sum_exp.data(), dq.data(), dk.data(), dv.data(),
                     dbias.data());
  const auto check = [&](std::vector<float>& x, const std::vector<float>& gradient) {
    for (size_t i = 0; i < x.size(); ++i) {
      const float before = x[i], h = 1e-2f;
      x[i] = before + h;
      const double above = loss();
      x[i] = before - h;
      const double below = loss();
      x[i] = before;
      EXPECT_NEAR(gradient[i], (above - below) / (2 * h), 2e-4);
    }
  };
  check(s.q, dq);
  check(s.k, dk);
  check(s.v, dv);
  check(bias, dbias);
}

}  // namespace
}  // namespace millrace
