// Every chat template of the test data renders as transformers renders it
// (tests/golden/text/chat_templates.json, made by tools/make_template_goldens.py).
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/text/chat_template.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

fs::path template_folder() {
  const char* data = std::getenv("MILLRACE_TEST_DATA");
  fs::path root = MILLRACE_SOURCE_DIR;
  return (data != nullptr ? fs::path(data) : root / "../shared/data") / "chat-templates";
}

Json golden() {
  return read_json(fs::path(MILLRACE_SOURCE_DIR) / "tests/golden/text/chat_templates.json");
}

/// 64-bit FNV-1a, in hexadecimal.
std::string fnv1a(std::string_view text) {
  uint64_t value = 0xcbf29ce484222325;
  for (unsigned char byte : text) value = (value ^ byte) * 0x100000001b3;
  return fmt::format("{:016x}", value);
}

/// The time that the goldens were made at: 2024-07-04 09:05:03, a Thursday.
std::tm golden_time() {
  std::tm time = {};
  time.tm_year = 124;
  time.tm_mon = 6;
  time.tm_mday = 4;
  time.tm_hour = 9;
  time.tm_min = 5;
  time.tm_sec = 3;
  time.tm_wday = 4;
  time.tm_yday = 185;
  return time;
}

std::vector<std::pair<std::string, std::string>> special_tokens(const Json& object) {
  std::vector<std::pair<std::string, std::string>> tokens;
  for (const auto& [name, token] : object.items()) tokens.emplace_back(name, token);
  return tokens;
}

RenderedChat render_case(const ChatTemplate& chat_template, const Json& test_case) {
  ChatOptions options;
  options.add_generation_prompt = test_case["add_generation_prompt"];
  options.variables = test_case["variables"];
  options.documents = test_case["documents"];
  options.now = golden_time();
  return chat_template.render(test_case["messages"], test_case["tools"], options);
}

void check_case(const ChatTemplate& chat_template, const Json& test_case, const Json& expected) {
  std::string rendered;
  try {
    rendered = render_case(chat_template, test_case).text();
  } catch (const Error& error) {
    EXPECT_TRUE(expected.is_null()) << "transformers renders, we fail: " << error.what();
    return;
  }
  if (expected.is_null()) {
    ADD_FAILURE() << "transformers raises, we render:\n" << rendered;
  } else {
    EXPECT_EQ(fnv1a(rendered), expected.get<std::string>()) << rendered;
  }
}

TEST(ChatTemplateGolden, EveryTemplateRendersAsTransformersDoes) {
  if (!fs::exists(template_folder())) {
    GTEST_SKIP() << "no chat templates in " << template_folder() << ": set MILLRACE_TEST_DATA";
  }
  Json goldens = golden();
  const Json& cases = goldens["cases"];
  for (const auto& [name, hashes] : goldens["hashes"].items()) {
    std::string source = read_file(template_folder() / (name + ".jinja"));
    ChatTemplate chat_template(source, special_tokens(goldens["special_tokens"]), name);
    ASSERT_EQ(hashes.size(), cases.size());
    for (size_t i = 0; i < cases.size(); ++i) {
      SCOPED_TRACE(fmt::format("{}, case '{}'", name, cases[i]["name"].get<std::string>()));
      check_case(chat_template, cases[i], hashes[i]);
    }
  }
}

TEST(ChatTemplateGolden, SomeRenderingsInFull) {
  if (!fs::exists(template_folder())) {
    GTEST_SKIP() << "no chat templates in " << template_folder() << ": set MILLRACE_TEST_DATA";
  }
  Json goldens = golden();
  ASSERT_GE(goldens["texts"].size(), 3u);
  for (const auto& [key, expected] : goldens["texts"].items()) {
    std::string name = key.substr(0, key.find('/'));
    std::string case_name = key.substr(key.find('/') + 1);
    ChatTemplate chat_template(read_file(template_folder() / (name + ".jinja")),
                               special_tokens(goldens["special_tokens"]), name);
    for (const Json& test_case : goldens["cases"]) {
      if (test_case["name"] != case_name) continue;
      EXPECT_EQ(render_case(chat_template, test_case).text(), expected.get<std::string>()) << key;
    }
  }
}

TEST(ChatTemplateGolden, EveryTemplateOfTheFolderHasGoldens) {
  if (!fs::exists(template_folder())) {
    GTEST_SKIP() << "no chat templates in " << template_folder() << ": set MILLRACE_TEST_DATA";
  }
  Json goldens = golden();
  for (const auto& entry : fs::directory_iterator(template_folder())) {
    if (entry.path().extension() != ".jinja") continue;
    EXPECT_TRUE(goldens["hashes"].contains(entry.path().stem().string())) << entry.path();
  }
}

}  // namespace
}  // namespace millrace
