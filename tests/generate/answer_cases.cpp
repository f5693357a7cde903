#include "tests/generate/answer_cases.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <ostream>

namespace millrace {

void PrintTo(const WholeAnswer& answer, std::ostream* out) {
  *out << "reasoning '" << answer.reasoning << "', content '" << answer.content << "'";
  for (const ToolCallDelta& call : answer.calls) {
    *out << ", call " << call.index << " " << call.id << " " << call.name << " " << call.arguments;
  }
}

void add_delta(WholeAnswer& answer, const AnswerDelta& delta) {
  answer.reasoning += delta.reasoning;
  answer.content += delta.content;
  for (const ToolCallDelta& call : delta.tool_calls) {
    auto index = static_cast<size_t>(call.index);
    if (index == answer.calls.size()) {
      EXPECT_FALSE(call.id.empty());
      EXPECT_FALSE(call.name.empty());
      answer.calls.push_back(call);
      continue;
    }
    ASSERT_EQ(index + 1, answer.calls.size());
    EXPECT_EQ(call.id, "");
    EXPECT_EQ(call.name, "");
    EXPECT_NE(call.arguments, "");
    answer.calls.back().arguments += call.arguments;
  }
}

Json test_tools() {
  return Json::parse(R"([
    {"type": "function", "function": {"name": "get_weather", "description": "Weather of a place",
      "parameters": {"type": "object", "properties": {
        "city": {"type": "string", "description": "where"},
        "days": {"type": "integer", "description": "how many"}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "run", "description": "Runs a program",
      "parameters": {"type": "object", "properties": {
        "code": {"type": "string", "description": "the program"},
        "options": {"type": "object", "description": "more",
          "additionalProperties": {"type": "string"}},
        "fast": {"type": "boolean", "description": "hurry"}}, "required": ["code"]}}},
    {"type": "function", "function": {"name": "now", "description": "The time",
      "parameters": {"type": "object", "properties": {}}}}])");
}

std::string chat_template_folder() {
  const char* data = std::getenv("MILLRACE_TEST_DATA");
  std::filesystem::path root = MILLRACE_SOURCE_DIR;
  return ((data != nullptr ? std::filesystem::path(data) : root / "../shared/data") /
          "chat-templates")
      .string();
}

namespace {

constexpr const char* kParis = R"({"city": "Paris", "days": 2})";
constexpr const char* kBraces = R"({"code": "if (a) { b(\"}\"); }", "options": {"x": [1, {}]}})";

}  // namespace

const std::vector<AnswerCase>& answer_cases() {
  static const std::vector<AnswerCase> kCases = {
      {"plain text",
       "Qwen-Qwen2.5-7B-Instruct",
       "Hello {there} <b>you</b>!\n",
       "",
       "Hello {there} <b>you</b>!\n",
       {},
       ""},
      {"hermes",
       "Qwen-Qwen2.5-7B-Instruct",
       "Let me look.\n\n<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": "
       "\"Paris\", \"days\": 2}}\n</tool_call>",
       "",
       "Let me look.",
       {{"get_weather", kParis}},
       ""},
      {"hermes, two calls and braces",
       "Qwen-Qwen2.5-7B-Instruct",
       std::string("<tool_call>\n{\"name\": \"run\", \"arguments\": ") + kBraces +
           "}\n</tool_call>\n<tool_call>\n{\"arguments\": " + kParis +
           ", \"name\": \"get_weather\"}\n</tool_call>\n",
       "",
       "",
       {{"run", kBraces}, {"get_weather", kParis}},
       ""},
      {"hermes, unicode and a closing tag in a string",
       "Qwen-Qwen2.5-7B-Instruct",
       "<tool_call>{\"name\": \"get_weather\", \"arguments\": {\"city\": \"北京 🌧 "
       "</tool_call> "
       "\\u4e00\"}}</tool_call>",
       "",
       "",
       {{"get_weather", "{\"city\": \"北京 🌧 </tool_call> \\u4e00\"}"}},
       ""},
      {"hermes, a newline inside a string",
       "Qwen-Qwen2.5-7B-Instruct",
       "<tool_call>{\"name\": \"run\", \"arguments\": {\"code\": \"a\nb\tc\"}}</tool_call>",
       "",
       "",
       {{"run", "{\"code\": \"a\\nb\\tc\"}"}},
       ""},
      {"hermes, arguments in a string",
       "Qwen-Qwen2.5-7B-Instruct",
       "<tool_call>{\"name\": \"get_weather\", \"arguments\": \"{\\\"city\\\": \\\"Oslo\\\"}\"}"
       "</tool_call>",
       "",
       "",
       {{"get_weather", "{\"city\": \"Oslo\"}"}},
       ""},
      {"hermes, no arguments",
       "Qwen-Qwen2.5-7B-Instruct",
       "<tool_call>{\"name\": \"now\"}</tool_call><tool_call>{\"name\": \"now\", \"arguments\": "
       "null}</tool_call>",
       "",
       "",
       {{"now", "{}"}, {"now", "{}"}},
       ""},
      {"hermes, a tool that was not offered",
       "Qwen-Qwen2.5-7B-Instruct",
       "<tool_call>{\"name\": \"rm\", \"arguments\": {}}</tool_call>",
       "",
       "<tool_call>{\"name\": \"rm\", \"arguments\": {}}</tool_call>",
       {},
       ""},
      {"hermes, talk about the tag",
       "Qwen-Qwen2.5-7B-Instruct",
       "The tag <tool_call> begins a call: <tool_call>{...}</tool_call>, see?",
       "",
       "The tag <tool_call> begins a call: <tool_call>{...}</tool_call>, see?",
       {},
       ""},
      {"hermes, content after a call",
       "Qwen-Qwen2.5-7B-Instruct",
       "<tool_call>{\"name\": \"now\", \"arguments\": {}}</tool_call>\nThat was it.",
       "",
       "That was it.",
       {{"now", "{}"}},
       ""},
      {"thinking by the model",
       "Qwen-Qwen3-0.6B",
       "<think>\nHm, 1 < 2.\n\nYes.\n</think>\n\nIt is so.",
       "Hm, 1 < 2.\n\nYes.",
       "It is so.",
       {},
       ""},
      {"thinking opened by the prompt",
       "Qwen-QwQ-32B",
       "Hm.\n</think>\n\nIt is so.",
       "Hm.",
       "It is so.",
       {},
       "<|im_start|>assistant\n<think>\n"},
      {"no thinking",
       "Qwen-Qwen3-0.6B",
       "<think>\n\n</think>\n\nIt is so.",
       "",
       "It is so.",
       {},
       ""},
      {"no thinking by the prompt",
       "Qwen-Qwen3-0.6B",
       "It is <think> so.",
       "",
       "It is <think> so.",
       {},
       "<|im_start|>assistant\n<think>\n\n</think>\n\n"},
      {"thinking, then a call",
       "Qwen-Qwen3-0.6B",
       "<think>\nI call <tool_call>.\n</think>\n\n<tool_call>\n{\"name\": \"now\", "
       "\"arguments\": {}}\n</tool_call>",
       "I call <tool_call>.",
       "",
       {{"now", "{}"}},
       ""},
      {"qwen3-coder",
       "NVIDIA-Nemotron-3-Nano-30B-A3B-BF16",
       "Right.\n<tool_call>\n<function=run>\n<parameter=code>\nif a < b:\n  print(\"</b>\")\n"
       "</parameter>\n<parameter=options>\n{\"x\": [1]}\n</parameter>\n<parameter=fast>\nTrue\n"
       "</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=now>\n</function>\n"
       "</tool_call>",
       "",
       "Right.",
       {{"run",
         "{\"code\": \"if a < b:\\n  print(\\\"</b>\\\")\", \"options\": {\"x\": [1]}, \"fast\": "
         "true}"},
        {"now", "{}"}},
       ""},
      {"seed",
       "ByteDance-Seed-OSS",
       "<seed:think>Hm.</seed:think>\n\n<seed:tool_call>\n<function=get_weather>\n<parameter=city>"
       "12</parameter>\n<parameter=days>2</parameter>\n</function>\n</seed:tool_call>",
       "Hm.",
       "",
       {{"get_weather", R"({"city": "12", "days": 2})"}},
       ""},
      {"minimax-m2",
       "MiniMax-M2",
       "Hm.\n</think>\n\nWait.\n<minimax:tool_call>\n<invoke name=\"get_weather\">\n<parameter "
       "name=\"city\">Paris</parameter>\n<parameter name=\"days\">2</parameter>\n</invoke>\n"
       "<invoke name=\"now\">\n</invoke>\n</minimax:tool_call>",
       "Hm.",
       "Wait.",
       {{"get_weather", kParis}, {"now", "{}"}},
       "]~b]ai\n<think>\n"},
      {"minimax-m1",
       "MiniMax-M1",
       "<tool_calls>\n{\"name\": \"now\", \"arguments\": {}}\n{\"name\": \"get_weather\", "
       "\"arguments\": {\"city\": \"Paris\", \"days\": 2}}\n</tool_calls>",
       "",
       "",
       {{"now", "{}"}, {"get_weather", kParis}},
       ""},
      {"minicpm",
       "openbmb-MiniCPM5-1B",
       "<function name=\"run\"><param name=\"code\"><![CDATA[a < b\n]]></param><param "
       "name=\"fast\">false</param></function>",
       "",
       "",
       {{"run", R"({"code": "a < b\n", "fast": false})"}},
       ""},
      {"glm-4.5",
       "GLM-4.6",
       "\n<think>Hm.</think>\nSo.\n<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>"
       "Paris</arg_value>\n<arg_key>days</arg_key>\n<arg_value>2</arg_value>\n</tool_call>\n"
       "<tool_call>now\n</tool_call>",
       "Hm.",
       "So.",
       {{"get_weather", kParis}, {"now", "{}"}},
       ""},
      {"glm-4.5 on one line",
       "Spark2.5",
       "</think>So.<tool_call>get_weather<arg_key>city</arg_key><arg_value>Paris</arg_value>"
       "<arg_key>days</arg_key><arg_value>2</arg_value></tool_call>",
       "",
       "So.",
       {{"get_weather", kParis}},
       ""},
      {"glm-4",
       "{{ tools }}<|observation|>",
       "get_weather\n{\"city\": \"Paris\", \"days\": 2}",
       "",
       "",
       {{"get_weather", kParis}},
       ""},
      {"glm-4 talking",
       "{{ tools }}<|observation|>",
       "get in touch\nwith {me}",
       "",
       "get in touch\nwith {me}",
       {},
       ""},
      {"llama",
       "meta-llama-Llama-3.1-8B-Instruct",
       "{\"name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\", \"days\": 2}}",
       "",
       "",
       {{"get_weather", kParis}},
       ""},
      {"llama after its tag",
       "meta-llama-Llama-3.1-8B-Instruct",
       "<|python_tag|>{\"type\": \"function\", \"name\": \"now\", \"parameters\": {}}; {\"name\": "
       "\"get_weather\", \"parameters\": {\"city\": \"Paris\", \"days\": 2}}",
       "",
       "",
       {{"now", "{}"}, {"get_weather", kParis}},
       ""},
      {"llama's own JSON",
       "meta-llama-Llama-3.2-3B-Instruct",
       "{\"age\": 3, \"name\": \"now\"}",
       "",
       "{\"age\": 3, \"name\": \"now\"}",
       {},
       ""},
      {"the schema's form",
       "meta-llama-Llama-3.2-3B-Instruct",
       "{\"type\": \"function\", \"function\": {\"name\": \"now\", \"parameters\": {}}}",
       "",
       "",
       {{"now", "{}"}},
       ""},
      {"mistral, array",
       "mistralai-Mistral-Nemo-Instruct-2407",
       "[TOOL_CALLS][{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": "
       "2}, \"id\": \"abcdefghi\"}, {\"name\": \"now\", \"arguments\": {}}]",
       "",
       "",
       {{"get_weather", kParis}, {"now", "{}"}},
       ""},
      {"mistral, names",
       "Mistral-Small-3.2-24B-Instruct-2506",
       "[TOOL_CALLS]get_weather[CALL_ID]abcdefghi[ARGS]{\"city\": \"Paris\", \"days\": 2}"
       "[TOOL_CALLS]now[ARGS]{}",
       "",
       "",
       {{"get_weather", kParis}, {"now", "{}"}},
       ""},
      {"deepseek v3.1",
       "deepseek-ai-DeepSeek-V3.1",
       "Look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get_weather<｜tool▁sep｜>{\"city\": "
       "\"Paris\", \"days\": 2}<｜tool▁call▁end｜><｜tool▁call▁begin｜>now<｜tool▁sep｜>{}"
       "<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
       "",
       "Look.",
       {{"get_weather", kParis}, {"now", "{}"}},
       "<｜Assistant｜><think></think>"},
      {"deepseek r1",
       "llama-cpp-deepseek-r1",
       "Hm.</think>\n\n<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>"
       "get_weather\n```json\n{\"city\": \"Paris\", \"days\": 2}\n```<｜tool▁call▁end｜>\n"
       "<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜>"
       "<｜tool▁calls▁end｜>",
       "Hm.",
       "",
       {{"get_weather", kParis}, {"now", "{}"}},
       "<｜Assistant｜><think>\n"},
      {"kimi",
       "Kimi-K2-Instruct",
       "Look.<|tool_calls_section_begin|><|tool_call_begin|>functions.get_weather:0"
       "<|tool_call_argument_begin|>{\"city\": \"Paris\", \"days\": 2}<|tool_call_end|>"
       "<|tool_call_begin|>functions.now:1<|tool_call_argument_begin|>{}<|tool_call_end|>"
       "<|tool_calls_section_end|>",
       "",
       "Look.",
       {{"get_weather", kParis}, {"now", "{}"}},
       ""},
      {"gpt-oss",
       "openai-gpt-oss-120b",
       "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>"
       "Let me look.<|end|><|start|>assistant<|channel|>commentary to=functions.get_weather "
       "<|constrain|>json<|message|>{\"city\": \"Paris\", \"days\": 2}<|call|>",
       "Hm.",
       "Let me look.",
       {{"get_weather", kParis}},
       "<|start|>assistant"},
      {"gpt-oss, the recipient first",
       "openai-gpt-oss-120b",
       " to=functions.now<|channel|>commentary json<|message|>{}<|call|>",
       "",
       "",
       {{"now", "{}"}},
       "<|start|>assistant"},
      {"gpt-oss, final",
       "openai-gpt-oss-120b",
       "<|channel|>analysis<|message|>A.<|end|><|start|>assistant<|channel|>analysis to=python "
       "code<|message|>1+1<|call|><|start|>assistant<|channel|>final<|message|>It is {2}."
       "<|return|>",
       "A.\n\n1+1",
       "It is {2}.",
       {},
       "<|start|>user<|message|>hi<|end|><|start|>assistant"},
      {"gpt-oss, the channel in the prompt",
       "openai-gpt-oss-120b",
       "It is so.<|return|>",
       "",
       "It is so.",
       {},
       "<|start|>assistant<|channel|>final<|message|>"},
      {"cohere",
       "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
       "<|START_THINKING|>Hm.<|END_THINKING|><|START_ACTION|>[\n    {\"tool_call_id\": \"0\", "
       "\"tool_name\": \"get_weather\", \"parameters\": {\"city\": \"Paris\", \"days\": 2}}\n]"
       "<|END_ACTION|>",
       "Hm.",
       "",
       {{"get_weather", kParis}},
       ""},
      {"cohere talking",
       "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
       "<|START_RESPONSE|>It is so.<|END_RESPONSE|>",
       "",
       "It is so.",
       {},
       "<|CHATBOT_TOKEN|><|START_THINKING|><|END_THINKING|>"},
      {"command-r",
       "CohereForAI-c4ai-command-r-plus-tool_use",
       "Action:\n```json\n[\n    {\n        \"tool_name\": \"get_weather\",\n        "
       "\"parameters\": {\"city\": \"Paris\", \"days\": 2}\n    }\n]```",
       "",
       "",
       {{"get_weather", kParis}},
       ""},
      {"apertus",
       "Apertus-8B-Instruct",
       "<|inner_prefix|>Hm.<|inner_suffix|>So.<|tools_prefix|>[{\"get_weather\": {\"city\": "
       "\"Paris\", \"days\": 2}}, {\"now\": {}}]<|tools_suffix|>",
       "Hm.",
       "So.",
       {{"get_weather", kParis}, {"now", "{}"}},
       ""},
      {"apriel",
       "Apriel-1.6-15b-Thinker-fixed",
       "Hm.\n[BEGIN FINAL RESPONSE]\nSo.\n<tool_calls>[{\"name\": \"now\", \"arguments\": {}}, "
       "{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": 2}}]"
       "</tool_calls>",
       "Hm.",
       "So.",
       {{"now", "{}"}, {"get_weather", kParis}},
       "<|begin_assistant|>\nHere are my reasoning steps:\n"},
      {"nemotron",
       "NVIDIA-Nemotron-Nano-v2",
       "<TOOLCALL>[{\"name\": \"now\", \"arguments\": \"{}\"}]</TOOLCALL>",
       "",
       "",
       {{"now", "{}"}},
       "<think></think>"},
      {"granite",
       "ibm-granite-granite-3.3-2B-Instruct",
       "<think>Hm.</think><response>So.</response>",
       "Hm.",
       "So.",
       {},
       ""},
      {"granite calling",
       "ibm-granite-granite-3.3-2B-Instruct",
       "<|tool_call|>[{\"name\": \"get_weather\", \"arguments\": {\"city\": \"Paris\", \"days\": "
       "2}}]",
       "",
       "",
       {{"get_weather", kParis}},
       ""},
      {"firefunction",
       "fireworks-ai-llama-3-firefunction-v2",
       " functools[{\"name\": \"now\", \"arguments\": {}}]",
       "",
       "",
       {{"now", "{}"}},
       ""},
      {"gigachat",
       "GigaChat3-10B-A1.8B",
       "Look.<|message_sep|>\n\nfunction call<|role_sep|>\n{\"name\": \"now\", \"arguments\": {}}",
       "",
       "Look.<|message_sep|>",
       {{"now", "{}"}},
       ""},
      {"lfm",
       "LFM2-8B-A1B",
       "<|tool_call_start|>[get_weather(city='it\\'s \"here\", (1)', days=2), now()]"
       "<|tool_call_end|>So.",
       "",
       "So.",
       {{"get_weather", R"x({"city": "it's \"here\", (1)", "days": 2})x"}, {"now", "{}"}},
       ""},
      {"functionary 3.1",
       "meetkai-functionary-medium-v3.1",
       "<function=get_weather>{\"city\": \"Paris\", \"days\": 2}</function>",
       "",
       "",
       {{"get_weather", kParis}},
       ""},
      {"functionary 3.2",
       "meetkai-functionary-medium-v3.2",
       "all\nLook.\n>>>get_weather\n{\"city\": \"Paris\", \"days\": 2}>>>now\n{}",
       "",
       "Look.",
       {{"get_weather", kParis}, {"now", "{}"}},
       "assistant<|end_header_id|>\n\n>>>"},
      {"internlm",
       "<|im_start|>{# <|action_start|> #}",
       "Sure.<|action_start|><|plugin|>\n{\"name\": \"get_weather\", \"parameters\": {\"city\": "
       "\"Paris\", \"days\": 2}}<|action_end|>",
       "",
       "Sure.",
       {{"get_weather", kParis}},
       ""},
      {"step3",
       "{# <steptml:invoke <think> #}",
       "<think>Hm.</think><｜tool_calls_begin｜>\n<｜tool_call_begin｜>function<｜tool_sep｜>"
       "<steptml:invoke name=\"get_weather\"><steptml:parameter name=\"city\">Paris"
       "</steptml:parameter><steptml:parameter name=\"days\">2</steptml:parameter>"
       "</steptml:invoke><｜tool_call_end｜>\n<｜tool_call_begin｜>function<｜tool_sep｜>"
       "<steptml:invoke name=\"now\"></steptml:invoke><｜tool_call_end｜>\n<｜tool_calls_end｜>",
       "Hm.",
       "",
       {{"get_weather", kParis}, {"now", "{}"}},
       ""},
      {"hunyuan, JSON",
       "{# <think> <tool_sep> <tool_calls> #}",
       "<think>\nHm.\n</think>\n<tool_calls><tool_call>function<tool_sep>get_weather\n```json\n"
       "{\"city\": \"Paris\", \"days\": 2}\n```</tool_call></tool_calls>",
       "Hm.",
       "",
       {{"get_weather", kParis}},
       ""},
      {"hunyuan, tagged",
       "{# <tool_sep> <tool_calls> <arg_key> #}",
       "<tool_calls><tool_call>get_weather<tool_sep><arg_key>city</arg_key><arg_value>Paris"
       "</arg_value><arg_key>days</arg_key><arg_value>2</arg_value></tool_call><tool_call>now"
       "<tool_sep></tool_call></tool_calls>",
       "",
       "",
       {{"get_weather", kParis}, {"now", "{}"}},
       ""},
  };
  return kCases;
}

}  // namespace millrace
