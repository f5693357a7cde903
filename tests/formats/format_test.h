// What the tests of file formats share.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "millrace/base/error.h"
#include "millrace/tensor/tensor.h"
#include "tests/scratch.h"

namespace millrace {

class FormatTest : public testing::Test {
 protected:
  const std::filesystem::path& folder() const { return folder_.path(); }

 private:
  ScratchFolder folder_;
};

inline void expect_same(const Tensor& actual, const Tensor& expected) {
  ASSERT_EQ(actual.dtype(), expected.dtype());
  ASSERT_EQ(actual.shape(), expected.shape());
  ASSERT_EQ(std::memcmp(actual.data(), expected.data(), expected.bytes()), 0);
}

/// The message of the Error that `action` throws; a test failure and "" when it throws none.
template <typename Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error was thrown";
  return "";
}

}  // namespace millrace
