#include "millrace/kernels/isa.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>

#include "millrace/base/error.h"

namespace millrace {
namespace {

TEST(Isa, IsNoMoreThanTheMachineHas) {
  EXPECT_LE(isa(), best_isa());
  EXPECT_EQ(isa_name(Isa::avx512_bf16), "avx512_bf16");
}

TEST(Isa, CanBeLoweredAndRaisedAgain) {
  Isa before = isa();
  set_isa(Isa::scalar);
  EXPECT_EQ(isa(), Isa::scalar);
  set_isa(best_isa());
  EXPECT_EQ(isa(), best_isa());
  set_isa(before);
}

TEST(Isa, KnowsNoLevelOfAnotherProcessor) {
#if defined(__aarch64__)
  const Isa here = Isa::neon, elsewhere = Isa::avx2;
  EXPECT_EQ(best_isa(), here);
#else
  const Isa elsewhere = Isa::neon;
#endif
  EXPECT_FALSE(has_isa(elsewhere));
  EXPECT_THROW(set_isa(elsewhere), Error);
  EXPECT_TRUE(has_isa(Isa::scalar));
  EXPECT_EQ(choose_isa({.neon = true}, nullptr), Isa::neon);
}

TEST(Isa, AmxNeedsLeave) {
  static int asked;
  asked = 0;
  auto grant = [] { return ++asked > 0; };
  auto refuse = [] { return ++asked < 0; };
  CpuFeatures all{.avx2 = true, .avx512 = true, .bf16 = true, .amx = true};
  EXPECT_EQ(choose_isa(all, grant), Isa::amx);
  EXPECT_EQ(choose_isa(all, refuse), Isa::avx512_bf16);
  EXPECT_EQ(asked, 2);
}

TEST(Isa, NobodyIsAskedForAmxThatIsNotThere) {
  auto never = [] {
    ADD_FAILURE();
    return true;
  };
  EXPECT_EQ(choose_isa({.avx2 = true, .avx512 = true, .bf16 = true}, never), Isa::avx512_bf16);
  EXPECT_EQ(choose_isa({.avx2 = true, .avx512 = true, .amx = true}, never), Isa::avx512);
  EXPECT_EQ(choose_isa({.avx2 = true}, never), Isa::avx2);
  EXPECT_EQ(choose_isa({}, never), Isa::scalar);
}

/// Exits with 0 when isa() is `expected` under MILLRACE_ISA=`value`, with 1 and the message of the
/// error when there is one.
[[noreturn]] void read_environment(const char* value, Isa expected) {
  setenv("MILLRACE_ISA", value, 1);
  try {
    std::exit(isa() == expected ? 0 : 2);
  } catch (const Error& error) {
    std::fputs(error.what(), stderr);
    std::exit(1);
  }
}

TEST(IsaDeathTest, ObeysTheEnvironment) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a new process, whose level is not yet read
  EXPECT_EXIT(read_environment("scalar", Isa::scalar), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(read_environment("", best_isa()), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(read_environment("sse9", Isa::scalar), testing::ExitedWithCode(1),
              "MILLRACE_ISA=sse9: unknown; choose one of scalar");
}

}  // namespace
}  // namespace millrace
