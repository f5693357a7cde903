// What the tests of file formats share: a folder that is removed after each test, and comparisons.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <string>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/tensor/tensor.h"

namespace millrace {

class ScratchFolderTest : public testing::Test {
 protected:
  ScratchFolderTest()
      : folder_(std::filesystem::temp_directory_path() /
                fmt::format("millrace-test-{}", ::getpid())) {
    make_folder(folder_);
  }
  ~ScratchFolderTest() override { std::filesystem::remove_all(folder_); }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
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
