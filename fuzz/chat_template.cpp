// Any bytes as a chat template: the answer is a text or an Error.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "millrace/base/error.h"
#include "millrace/text/chat_template.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using millrace::Json;
  static const Json messages = Json::parse(R"([
    {"role": "system", "content": "Be <b>brief</b>."},
    {"role": "user", "content": [{"type": "text", "text": "你好, \"x\""}]},
    {"role": "assistant", "content": null, "tool_calls": [{"id": "1", "function":
      {"name": "f", "arguments": {"a": 1, "b": [1.5, null, true]}}}]},
    {"role": "tool", "content": "some words"}])");
  static const Json tools = Json::parse(R"([{"name": "f", "parameters": {"type": "object"}}])");
  std::string_view source(reinterpret_cast<const char*>(data), size);
  try {
    millrace::ChatTemplate(source, {{"bos_token", "<s>"}}).render(messages, tools);
  } catch (const millrace::Error&) {
  }
  return 0;
}
