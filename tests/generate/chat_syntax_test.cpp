// Every published template that we have is recognised, and takes our conversations.
#include "millrace/generate/chat_syntax.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "millrace/base/error.h"
#include "millrace/generate/chat_request.h"
#include "tests/generate/answer_cases.h"
#include "tests/generate/published_templates.h"

namespace millrace {
namespace {

/// What each template's models speak. "generic": the template says nothing of calls.
const std::map<std::string, std::string>& families() {
  static const std::map<std::string, std::string> kFamilies = {
      {"Apertus-8B-Instruct", "apertus"},
      {"Apriel-1.6-15b-Thinker-fixed", "apriel"},
      {"Bielik-11B-v3.0-Instruct", "hermes"},
      {"ByteDance-Seed-OSS", "seed"},
      {"Cohere2MoE", "cohere"},
      {"CohereForAI-c4ai-command-r-plus-tool_use", "command-r"},
      {"CohereForAI-c4ai-command-r7b-12-2024-tool_use", "cohere"},
      {"GLM-4.6", "glm-4.5"},
      {"GigaChat3-10B-A1.8B", "gigachat"},
      {"GigaChat3.1-10B-A1.8B", "gigachat-3.1"},
      {"HuggingFaceTB-SmolLM3-3B", "generic"},
      {"Kimi-K2-Instruct", "kimi"},
      {"LFM2-8B-A1B", "lfm"},
      {"LFM2.5-8B-A1B", "lfm"},
      {"LFM2.5-Instruct", "lfm"},
      {"MiMo-VL", "hermes"},
      {"MiniMax-M1", "minimax-m1"},
      {"MiniMax-M2", "minimax-m2"},
      {"Mistral-Small-3.2-24B-Instruct-2506", "mistral"},
      {"NVIDIA-Nemotron-3-Nano-30B-A3B-BF16", "qwen3-coder"},
      {"NVIDIA-Nemotron-Nano-v2", "nemotron"},
      {"NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "hermes"},
      {"NousResearch-Hermes-3-Llama-3.1-8B-tool_use", "hermes"},
      {"Qwen-QwQ-32B", "hermes"},
      {"Qwen-Qwen2.5-7B-Instruct", "hermes"},
      {"Qwen-Qwen3-0.6B", "hermes"},
      {"Spark2.5", "glm-4.5"},
      {"deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek"},
      {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek"},
      {"deepseek-ai-DeepSeek-V3.1", "deepseek"},
      {"fireworks-ai-llama-3-firefunction-v2", "firefunction"},
      {"google-gemma-2-2b-it", "generic"},
      {"ibm-granite-granite-3.3-2B-Instruct", "granite"},
      {"ibm-granite-granite-4.0", "hermes"},
      {"ibm-granite-granite-4.1", "hermes"},
      {"llama-cpp-deepseek-r1", "deepseek"},
      {"meetkai-functionary-medium-v3.1", "functionary-3.1"},
      {"meetkai-functionary-medium-v3.2", "functionary-3.2"},
      {"meta-llama-Llama-3.1-8B-Instruct", "llama"},
      {"meta-llama-Llama-3.2-3B-Instruct", "llama"},
      {"meta-llama-Llama-3.3-70B-Instruct", "llama"},
      {"microsoft-Phi-3.5-mini-instruct", "generic"},
      {"mistralai-Mistral-Nemo-Instruct-2407", "mistral-nemo"},
      {"moonshotai-Kimi-K2", "kimi"},
      {"openai-gpt-oss-120b", "gpt-oss"},
      {"openbmb-MiniCPM5-1B", "minicpm"},
  };
  return kFamilies;
}

TEST(ChatSyntax, EveryTemplateIsRecognised) {
  std::vector<PublishedTemplate> all = published_templates();
  SKIP_WITHOUT(all);
  for (const PublishedTemplate& one : all) {
    auto family = families().find(one.name);
    bool listed = family != families().end();
    EXPECT_EQ(one.syntax.family, listed ? family->second : "?") << one.name;
    if (one.syntax.family == "generic") {
      EXPECT_EQ(one.source.find("tool_calls"), std::string::npos) << one.name;
    }
  }
}

TEST(ChatSyntax, TemplatesThatShowToolsAreKnown) {
  std::vector<PublishedTemplate> all = published_templates();
  SKIP_WITHOUT(all);
  const std::vector<std::string> showing_none = {
      "HuggingFaceTB-SmolLM3-3B", "deepseek-ai-DeepSeek-R1-Distill-Llama-8B",
      "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-ai-DeepSeek-V3.1",
      "google-gemma-2-2b-it", "microsoft-Phi-3.5-mini-instruct",
      // maps an iterator to JSON: an error here as in
      // transformers, so tools are described instead
      "llama-cpp-deepseek-r1"};
  for (const PublishedTemplate& one : all) {
    bool shows =
        std::find(showing_none.begin(), showing_none.end(), one.name) == showing_none.end();
    EXPECT_EQ(one.syntax.template_takes_tools, shows) << one.name;
  }
}

Json call(const std::string& id, const std::string& name, const Json& arguments) {
  return {{"id", id},
          {"type", "function"},
          {"function", {{"name", name}, {"arguments", to_json_text(arguments)}}}};
}

/// A whole conversation with the ids that we give goes back into every template.
TEST(ChatSyntax, ConversationsWithOurIdsRender) {
  std::vector<PublishedTemplate> all = published_templates();
  SKIP_WITHOUT(all);
  for (const PublishedTemplate& one : all) {
    Json messages = Json::array({{{"role", "user"}, {"content", "What is the weather?"}}});
    Json calls = Json::array();
    for (const char* id : {"call_abcdefghijklmnopqrstuvwx", "another"}) {
      calls.push_back(call(id, "get_weather", {{"city", "Paris"}}));
    }
    messages.push_back({{"role", "assistant"}, {"content", nullptr}, {"tool_calls", calls}});
    for (const Json& one_call : calls) {
      messages.push_back({{"role", "tool"},
                          {"tool_call_id", one_call["id"]},
                          {"content", Json::array({{{"type", "text"}, {"text", "It rains."}}})}});
    }
    Json tools = one.syntax.template_takes_tools ? test_tools() : Json();
    try {
      Json normal = normalise_messages(messages, one.syntax, one.source);
      std::string text = one.chat_template.render(normal, tools, template_options(true)).text();
      EXPECT_NE(text.find("Paris"), std::string::npos) << one.name << "\n" << text;
      EXPECT_NE(text.find("It rains."), std::string::npos) << one.name << "\n" << text;
    } catch (const Error& error) {
      ADD_FAILURE() << one.name << ": " << error.what();
    }
  }
}

}  // namespace
}  // namespace millrace
