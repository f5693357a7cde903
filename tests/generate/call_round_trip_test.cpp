// What each published template writes for a turn of reasoning and calls is read back as the same.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "millrace/base/error.h"
#include "millrace/generate/chat_request.h"
#include "tests/generate/published_templates.h"
#include "tests/mutations.h"

namespace millrace {
namespace {

Json planning_tools() {
  return Json::parse(R"([
    {"type": "function", "function": {"name": "plan", "description": "Plans a journey",
      "parameters": {"type": "object", "properties": {
        "title": {"type": "string", "description": "what"},
        "count": {"type": "integer", "description": "how many"},
        "ratio": {"type": "number", "description": "how much"},
        "fast": {"type": "boolean", "description": "hurry"},
        "tags": {"type": "array", "description": "kinds", "items": {"type": "string"}},
        "deep": {"type": "object", "description": "more", "additionalProperties": {}}},
        "required": ["title"]}}},
    {"type": "function", "function": {"name": "搜索_1", "description": "查找",
      "parameters": {"type": "object", "properties": {
        "关键词": {"type": "string", "description": "词"}}}}}])");
}

struct Turn {
  const char* name;
  std::vector<std::pair<const char*, const char*>> calls;  // function and arguments
};

const std::vector<Turn>& turns() {
  static const std::vector<Turn> kTurns = {
      {"values of every type",
       {{"plan",
         R"({"title": "去 \"北京\" {\n} <b> 🌧", "count": 3, "ratio": -0.5, "fast": false,
                     "tags": ["甲", "b, c", "]"], "deep": {"x": {"y": [1, {"z": true}]}}})"}}},
      {"strings that look like other values",
       {{"plan", R"({"title": "42", "tags": ["true", ""]})"}}},
      {"several lines", {{"plan", R"({"title": "if (a < 1) {\n  b(\"}\");\n}", "count": -7})"}}},
      {"several calls",
       {{"plan", R"({"title": "one", "deep": {}})"},
        {"搜索_1", R"({"关键词": "杜甫 《春望》"})"},
        {"plan", R"({"title": "three", "tags": []})"}}},
  };
  return kTurns;
}

const std::string kThought = "先想一想: is it {\"raining\"}?";

/// Templates that write the reasoning of a turn that calls. The others leave it out.
const std::set<std::string>& with_reasoning() {
  static const std::set<std::string> kNames = {"Bielik-11B-v3.0-Instruct",
                                               "ByteDance-Seed-OSS",
                                               "Cohere2MoE",
                                               "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
                                               "GLM-4.6",
                                               "LFM2.5-8B-A1B",
                                               "MiniMax-M2",
                                               "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
                                               "Qwen-Qwen3-0.6B",
                                               "Spark2.5",
                                               "openai-gpt-oss-120b",
                                               "openbmb-MiniCPM5-1B"};
  return kNames;
}

/// A turn as a template writes it, cut where the model's own part begins.
struct WrittenTurn {
  std::string prompt, answer;
};

WrittenTurn written(const PublishedTemplate& one, const Turn& turn, const std::string& thought) {
  Json calls = Json::array();
  for (const auto& [name, arguments] : turn.calls) {
    calls.push_back({{"id", fmt::format("call_{}", calls.size())},
                     {"type", "function"},
                     {"function", {{"name", name}, {"arguments", arguments}}}});
    if (one.syntax.grouping == CallGrouping::one) break;
  }
  Json user = {{"role", "user"}, {"content", "What is the weather?"}};
  Json assistant = {{"role", "assistant"}, {"content", nullptr}, {"tool_calls", calls}};
  if (!thought.empty()) assistant["reasoning_content"] = thought;
  Json tools = one.syntax.template_takes_tools ? planning_tools() : Json();
  auto rendered = [&](const Json& messages, bool prompt) {
    return one.chat_template
        .render(normalise_messages(messages, one.syntax, one.source), tools,
                template_options(prompt))
        .text();
  };
  std::string before = rendered(Json::array({user}), true);
  std::string after = rendered(Json::array({user, assistant}), false);
  size_t same = 0;
  while (same < std::min(before.size(), after.size()) && before[same] == after[same]) ++same;
  // A marker that begins like another of the prompt is the model's own.
  size_t bracket = after.rfind('<', same == 0 ? 0 : same - 1);
  bool inside = bracket != std::string::npos && after.find('>', bracket) >= same;
  if (same < before.size() && inside) same = bracket;
  return {after.substr(0, same), after.substr(same)};
}

AnswerOptions reading(const WrittenTurn& turn) {
  AnswerOptions options;
  options.tools = planning_tools();
  options.prompt_tail = turn.prompt;
  return options;
}

WholeAnswer read(const PublishedTemplate& one, const WrittenTurn& turn, std::string_view text,
                 size_t piece) {
  AnswerParser parser(one.syntax, reading(turn));
  WholeAnswer answer;
  for (size_t at = 0; at < text.size(); at += piece) {
    add_delta(answer, parser.add(text.substr(at, piece)));
  }
  add_delta(answer, parser.finish());
  return answer;
}

std::string trimmed(const std::string& text) {
  size_t begin = text.find_first_not_of(" \n");
  return begin == std::string::npos ? ""
                                    : text.substr(begin, text.find_last_not_of(" \n") + 1 - begin);
}

class CallRoundTrip : public testing::TestWithParam<Turn> {};

void expect_round_trip(const PublishedTemplate& one, const Turn& turn, const std::string& thought) {
  SCOPED_TRACE(one.name + ", as " + one.syntax.family);
  const WrittenTurn text = written(one, turn, thought);
  WholeAnswer answer = read(one, text, text.answer, text.answer.size());
  EXPECT_EQ(answer, read(one, text, text.answer, 1));
  EXPECT_EQ(answer, read(one, text, text.answer, 7));
  const size_t calls = one.syntax.grouping == CallGrouping::one ? 1 : turn.calls.size();
  EXPECT_EQ(answer.calls.size(), calls) << text.answer;
  EXPECT_EQ(trimmed(answer.reasoning), with_reasoning().contains(one.name) ? thought : "")
      << text.answer;
  for (size_t i = 0; i < std::min(calls, answer.calls.size()); ++i) {
    const auto& [name, arguments] = turn.calls[i];
    EXPECT_EQ(answer.calls[i].name, name);
    EXPECT_EQ(Json::parse(answer.calls[i].arguments, nullptr, false), Json::parse(arguments))
        << text.answer;
  }
}

TEST_P(CallRoundTrip, CallsAndReasoningAreReadBack) {
  const std::vector<PublishedTemplate> all = published_templates();
  SKIP_WITHOUT(all);
  for (const PublishedTemplate& one : all) {
    expect_round_trip(one, GetParam(), kThought);
    expect_round_trip(one, GetParam(), "");
  }
}

/// Unfinished and damaged turns: no call but of the tools, arguments that begin as JSON does, the
/// same however the text is cut, and nothing of the text is lost but syntax.
TEST_P(CallRoundTrip, DamagedTurnsAreReadTheSameInPieces) {
  const std::vector<PublishedTemplate> all = published_templates();
  SKIP_WITHOUT(all);
  Random random(5);
  for (const PublishedTemplate& one : all) {
    SCOPED_TRACE(one.name);
    const WrittenTurn turn = written(one, GetParam(), kThought);
    for (int i = 0; i < 8; ++i) {
      std::string text = mutate_bytes(turn.answer, random);
      text.resize(random.below(text.size() + 1));
      const WholeAnswer answer = read(one, turn, text, std::max<size_t>(1, text.size()));
      EXPECT_EQ(answer, read(one, turn, text, 1)) << text;
      for (const ToolCallDelta& call : answer.calls) {
        EXPECT_TRUE(call.name == "plan" || call.name == "搜索_1") << call.name;
        EXPECT_TRUE(call.arguments.empty() || call.arguments[0] == '{') << call.arguments;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryTemplate, CallRoundTrip, testing::ValuesIn(turns()),
                         [](const testing::TestParamInfo<Turn>& one) {
                           std::string name = one.param.name;
                           std::replace(name.begin(), name.end(), ' ', '_');
                           return name;
                         });

}  // namespace
}  // namespace millrace
