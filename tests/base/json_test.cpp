#include "millrace/base/json.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "millrace/base/error.h"
#include "millrace/base/random.h"

namespace millrace {
namespace {

TEST(Json, ReadsAnObjectOfManyMembersInOrder) {
  std::string text = "{";
  for (int i = 0; i < 200000; ++i) {
    if (i > 0) text += ',';
    text += fmt::format("\"k{}\":{}", (i * 7919) % 200000, i);
  }
  text += '}';
  Json object = parse_json(text, "test");
  ASSERT_EQ(object.size(), 200000u);
  EXPECT_EQ(object.begin().key(), "k0");
  EXPECT_EQ(std::next(object.begin()).key(), "k7919");
  EXPECT_EQ(object.at("k7919"), 1);
  EXPECT_FALSE(object.contains("k200000"));
  EXPECT_EQ(object.dump(), text);
}

TEST(Json, LaterMemberOfTheSameNameWins) {
  Json object = parse_json(R"({"a":1,"b":2,"a":3})", "test");
  EXPECT_EQ(object.size(), 2u);
  EXPECT_EQ(object.at("a"), 3);
}

// Random operations on an object and on a plain map must leave the same members.
TEST(Json, ObjectBehavesAsAMap) {
  Json object = Json::object();
  std::map<std::string, int> model;
  Random random(1);
  for (int step = 0; step < 20000; ++step) {
    std::string key = fmt::format("k{}", random.below(300));
    int value = static_cast<int>(random.below(1000));
    switch (random.below(6)) {
      case 0:
        EXPECT_EQ(object.erase(key), model.erase(key));
        break;
      case 1:
        EXPECT_EQ(object.emplace(key, value).second, model.emplace(key, value).second);
        break;
      case 2:
        if (random.below(400) == 0) {
          object.clear();
          model.clear();
        } else if (auto found = object.find(key); found != object.end()) {
          object.erase(found);
          model.erase(key);
        }
        break;
      default:
        object[key] = value;
        model[key] = value;
    }
    ASSERT_EQ(object.size(), model.size());
    ASSERT_EQ(object.contains(key), model.count(key) == 1);
    if (object.contains(key)) {
      ASSERT_EQ(object.at(key), model.at(key));
    }
  }
  Json copy = object;
  for (const auto& [key, value] : model) EXPECT_EQ(copy.at(key), value);
}

TEST(Json, ErrorsNameSourceAndField) {
  Json object = parse_json(R"({"a":1.5,"b":300})", "file.json");
  EXPECT_EQ(json_field<double>(object, "a", "file.json"), 1.5);
  for (const char* name : {"a", "missing"}) {
    try {
      json_field<int32_t>(object, name, "file.json");
      FAIL();
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("file.json"), std::string::npos);
      EXPECT_NE(std::string(error.what()).find(name), std::string::npos);
    }
  }
  EXPECT_THROW(parse_json("{\"a\":", "file.json"), Error);
}

}  // namespace
}  // namespace millrace
