#include "millrace/text/normal_form.h"

#include <gtest/gtest.h>

#include "millrace/base/error.h"

namespace millrace {
namespace {

TEST(NormalForm, GivesEachForm) {
  EXPECT_EQ(normalize(NormalForm::kNfc, "e\u0301 \u1112\u1161\u11ab \u212b"),
            "\u00e9 \ud55c \u00c5");
  EXPECT_EQ(normalize(NormalForm::kNfd, "\u00e9 \ud55c"), "e\u0301 \u1112\u1161\u11ab");
  EXPECT_EQ(normalize(NormalForm::kNfkc, "ﬁ１\u2460"), "fi11");
  EXPECT_EQ(normalize(NormalForm::kNfkd, "ﬁ\u00e9"), "fie\u0301");
  // Marks are put in order before they combine.
  EXPECT_EQ(normalize(NormalForm::kNfc, "a\u0315\u0300"), "\u00e0\u0315");
}

TEST(NormalForm, KeepsBytesThatAreNotText) {
  EXPECT_EQ(normalize(NormalForm::kNfc, "e\xff\u0301\xe4\xb8 e\u0301"),
            "e\xff\u0301\xe4\xb8 \u00e9");
}

TEST(NormalForm, SortsLongRunsOfMarks) {
  std::string marks = "a";
  for (int i = 0; i < 300000; ++i) marks += i % 2 == 0 ? "\u0315" : "\u0323";
  std::string normal = normalize(NormalForm::kNfc, marks);
  EXPECT_EQ(normal.substr(0, 3), "\u1ea1");  // a with a dot below
  EXPECT_EQ(normal.size(), 3 + 2 * 299999u);
}

}  // namespace
}  // namespace millrace
