#include "millrace/model/weight_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>

#include "millrace/base/file.h"
#include "millrace/model/load.h"
#include "millrace/model/settle_weights.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

class WeightCacheTest : public testing::Test {
 protected:
  void SetUp() override {
    model_ = load_model(kFolder);
    fs::create_directory(copy_);
    for (const fs::directory_entry& file : fs::directory_iterator(kFolder)) {
      fs::copy(file.path(), copy_ / file.path().filename());
    }
  }

  WeightCache cache() const { return WeightCache(folder_, copy_, std::nullopt); }
  void keep() const { cache().save(*model_, 0); }
  fs::path entry() const { return fs::directory_iterator(folder_)->path(); }
  int64_t num_entries() const {
    return fs::exists(folder_) ? std::distance(fs::directory_iterator(folder_), {}) : 0;
  }

  /// A model with vectors but no matrices yet.
  static std::unique_ptr<Model> empty_model() {
    auto model = load_model(kFolder);
    for (Parameter& parameter : model->parameters()) parameter.packed = {};
    return model;
  }

  void expect_same_weights(const Model& model) const {
    for (size_t i = 0; i < model.parameters().size(); ++i) {
      const PackedMatrix &a = model.parameters()[i].packed, &b = model_->parameters()[i].packed;
      ASSERT_EQ(a.bytes == nullptr, b.bytes == nullptr);
      if (a.bytes == nullptr) continue;
      EXPECT_EQ(a.type, b.type);
      ASSERT_EQ(a.bytes->size(), b.bytes->size());
      EXPECT_EQ(std::memcmp(a.bytes->data(), b.bytes->data(), a.bytes->size()), 0);
    }
  }

  static inline const fs::path kFolder =
      fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/models/llama";
  ScratchFolder scratch_;
  fs::path folder_ = scratch_.path() / "cache", copy_ = scratch_.path() / "model";
  std::unique_ptr<Model> model_;
};

TEST_F(WeightCacheTest, GivesBackWhatWasKept) {
  auto model = empty_model();
  EXPECT_FALSE(cache().load(*model));
  keep();
  EXPECT_TRUE(cache().load(*model));
  EXPECT_NE(model->mapped_weights(), nullptr);
  expect_same_weights(*model);
}

TEST_F(WeightCacheTest, KeepsBehindAModelThatRuns) {
  cache().save_behind(*model_, 0);
  while (settle_weights(*model_, 4096)) {  // takes each matrix when it is written
  }
  WeightCache::finish_saving();
  EXPECT_EQ(num_entries(), 1);
  auto model = empty_model();
  ASSERT_TRUE(cache().load(*model));
  expect_same_weights(*model);
}

TEST_F(WeightCacheTest, WhatIsBeingWrittenIsNotMoved) {
  const std::shared_ptr<Storage> held = model_->parameters().front().packed.bytes;
  ASSERT_NE(held, nullptr);
  for (int step = 0; step < 100; ++step) EXPECT_TRUE(settle_weights(*model_, 4096));
  EXPECT_EQ(model_->parameters().front().packed.bytes, held);
}

TEST_F(WeightCacheTest, IsWrittenEvenWhenTheModelIsGone) {
  cache().save_behind(*model_, 0);
  model_.reset();
  WeightCache::finish_saving();
  ASSERT_EQ(num_entries(), 1);
  EXPECT_EQ(entry().extension(), ".packed");
  model_ = load_model(kFolder);
  auto model = empty_model();
  ASSERT_TRUE(cache().load(*model));
  expect_same_weights(*model);
}

TEST_F(WeightCacheTest, DeletesWhatWasLeftHalfWritten) {
  keep();
  const fs::path old = folder_ / "1.packed.7.tmp", fresh = folder_ / "2.packed.8.tmp";
  write_file(old, "half");
  write_file(fresh, "half");
  fs::last_write_time(old, fs::last_write_time(old) - std::chrono::hours(2));
  keep();
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(fresh));
}

TEST_F(WeightCacheTest, SettledWeightsAreTheSameAndTheFileIsLetGo) {
  keep();
  auto model = empty_model();
  ASSERT_TRUE(cache().load(*model));
  int steps = 0;
  while (settle_weights(*model, 4096)) ++steps;
  EXPECT_GT(steps, 1);
  EXPECT_EQ(model->mapped_weights(), nullptr);
  expect_same_weights(*model);
  while (settle_weights(*model_, 4096)) {  // weights in memory of their own, too
  }
  expect_same_weights(*model);
}

TEST_F(WeightCacheTest, LoadingUsesIt) {
  keep();
  // An entry that says something else shows that it is read.
  auto other = initialized_model(model_->config(), 9);
  for (size_t i = 0; i < other->parameters().size(); ++i) {
    Parameter& parameter = other->parameters()[i];
    if (parameter.is_matrix() && !parameter.name.empty()) {
      pack(view(parameter.value), other->arithmetic(), parameter.packed);
    }
  }
  cache().save(*other, 0);
  auto model = load_model(copy_, {.weight_cache = folder_});
  model_ = std::move(other);
  expect_same_weights(*model);
}

TEST_F(WeightCacheTest, AModelTooLargeForMemoryIsReadFromDiskFromItsFirstStartOn) {
  std::vector<std::string> said;
  LoadOptions options{.weight_cache = folder_, .memory = 1000};
  options.notice = [&](const std::string& text) { said.push_back(text); };
  for (int start = 0; start < 2; ++start) {
    auto model = load_model(copy_, options);
    expect_same_weights(*model);
    ASSERT_NE(model->mapped_weights(), nullptr);
    const std::span<const std::byte> file = model->mapped_weights()->bytes();
    for (const Parameter& parameter : model->parameters()) {
      if (parameter.packed.bytes == nullptr) continue;
      EXPECT_GE(parameter.packed.bytes->data(), file.data());
      EXPECT_LT(parameter.packed.bytes->data(), file.data() + file.size());
    }
  }
  ASSERT_EQ(said.size(), 2u);
  EXPECT_NE(said[0].find("they stay on disk"), std::string::npos) << said[0];
  EXPECT_EQ(num_entries(), 1);
  options.memory = 1 << 30;
  load_model(copy_, options);
  EXPECT_EQ(said.size(), 2u);
  options.memory = 1000;
  options.weight_cache.clear();  // --no-cache
  load_model(copy_, options);
  ASSERT_EQ(said.size(), 3u);
  EXPECT_NE(said[2].find("may not fit"), std::string::npos) << said[2];
}

TEST_F(WeightCacheTest, AChangedModelOrAnotherTypeIsAnotherEntry) {
  keep();
  auto model = empty_model();
  EXPECT_FALSE(WeightCache(folder_, copy_, DType::bf16).load(*model));
  fs::last_write_time(copy_ / "config.json", fs::file_time_type::clock::now());
  EXPECT_FALSE(cache().load(*model));
  for (const Parameter& parameter : model->parameters()) EXPECT_EQ(parameter.packed.bytes, nullptr);
}

TEST_F(WeightCacheTest, DamagedEntriesAreNotBelieved) {
  keep();
  const std::string good = read_file(entry());
  for (size_t length : {size_t{0}, size_t{7}, good.size() / 2, good.size() - 1}) {
    write_file(entry(), good.substr(0, length));
    auto model = empty_model();
    EXPECT_FALSE(cache().load(*model)) << length;
    EXPECT_EQ(model->mapped_weights(), nullptr);
  }
  uint64_t table = 0;
  std::memcpy(&table, good.data() + good.size() - 16, 8);
  for (size_t at = good.size() - 16 - table; at < good.size(); at += 3) {  // what describes it
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x15);
    write_file(entry(), bad);
    auto model = empty_model();
    if (cache().load(*model)) {
      for (const Parameter& parameter : model->parameters()) {
        if (parameter.packed.bytes == nullptr) continue;
        const PackedMatrix& packed = parameter.packed;
        EXPECT_EQ(packed.bytes->size(), packed_bytes(packed.type, packed.n, packed.k));
      }
    }
  }
}

TEST_F(WeightCacheTest, KeepsNothingOfSmallModelsAndNothingInVain) {
  cache().save(*model_);
  EXPECT_EQ(num_entries(), 0);
  WeightCache("", copy_, std::nullopt).save(*model_, 0);
  EXPECT_EQ(num_entries(), 0);
  write_file(scratch_.path() / "file", "");
  WeightCache(scratch_.path() / "file", copy_, std::nullopt).save(*model_, 0);  // no folder
}

TEST_F(WeightCacheTest, DeletesWhatWasUsedLongestAgo) {
  keep();
  const fs::path first = entry();
  const uint64_t bytes = fs::file_size(first);
  fs::last_write_time(first, fs::last_write_time(first) - std::chrono::hours(1));
  WeightCache second(folder_, copy_, DType::f32);
  second.save(*model_, 0, 2 * bytes + 100);
  EXPECT_EQ(num_entries(), 2);
  WeightCache third(folder_, copy_, DType::bf16);
  third.save(*model_, 0, 2 * bytes + 100);
  EXPECT_EQ(num_entries(), 2);
  EXPECT_FALSE(fs::exists(first));
}

}  // namespace
}  // namespace millrace
