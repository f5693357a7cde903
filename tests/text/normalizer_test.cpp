#include "millrace/text/normalizer.h"

#include <gtest/gtest.h>

#include "millrace/base/error.h"

namespace millrace {
namespace {

TEST(Normalizer, GivesEachForm) {
  EXPECT_EQ(normalize(Normalizer::kNfc, "e\u0301 \u1112\u1161\u11ab \u212b"),
            "\u00e9 \ud55c \u00c5");
  EXPECT_EQ(normalize(Normalizer::kNfd, "\u00e9 \ud55c"), "e\u0301 \u1112\u1161\u11ab");
  EXPECT_EQ(normalize(Normalizer::kNfkc, "ﬁ１\u2460"), "fi11");
  EXPECT_EQ(normalize(Normalizer::kNfkd, "ﬁ\u00e9"), "fie\u0301");
  EXPECT_EQ(normalize(Normalizer::kNone, "e\u0301"), "e\u0301");
  // Marks are put in order before they combine.
  EXPECT_EQ(normalize(Normalizer::kNfc, "a\u0315\u0300"), "\u00e0\u0315");
}

TEST(Normalizer, KeepsBytesThatAreNotText) {
  EXPECT_EQ(normalize(Normalizer::kNfc, "e\xff\u0301\xe4\xb8 e\u0301"),
            "e\xff\u0301\xe4\xb8 \u00e9");
}

TEST(Normalizer, SortsLongRunsOfMarks) {
  std::string marks = "a";
  for (int i = 0; i < 300000; ++i) marks += i % 2 == 0 ? "\u0315" : "\u0323";
  std::string normal = normalize(Normalizer::kNfc, marks);
  EXPECT_EQ(normal.substr(0, 3), "\u1ea1");  // a with a dot below
  EXPECT_EQ(normal.size(), 3 + 2 * 299999u);
}

TEST(Normalizer, ReadsAndWritesTokenizerJson) {
  for (const char* name : {"NFC", "NFD", "NFKC", "NFKD"}) {
    Json json = {{"type", name}};
    EXPECT_EQ(to_json(normalizer_from_json(json, "test")), json);
    Json sequence = {{"type", "Sequence"}, {"normalizers", {json}}};
    EXPECT_EQ(to_json(normalizer_from_json(sequence, "test")), json);
  }
  EXPECT_EQ(normalizer_from_json(Json(), "test"), Normalizer::kNone);
  for (const Json& json :
       {Json("NFC"), Json{{"type", "Lowercase"}}, Json{{"type", "Sequence"}},
        Json{{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}, {{"type", "NFC"}}}}}}) {
    EXPECT_THROW(normalizer_from_json(json, "test"), Error) << json;
  }
}

}  // namespace
}  // namespace millrace
