#include "millrace/text/chat_template.h"

#include <algorithm>
#include <array>
#include <chrono>

#include "millrace/base/error.h"
#include "millrace/text/jinja/interpreter.h"
#include "millrace/text/jinja/operators.h"
#include "millrace/text/jinja/parser.h"

namespace millrace {
namespace {

using jinja::Budget;
using jinja::Origin;
using jinja::Text;
using jinja::Value;
using Entries = std::vector<std::pair<Value, Value>>;

constexpr std::array<std::string_view, 8> kCommonRoles = {
    "system", "developer", "user", "assistant", "tool", "function", "ipython", "observation"};

std::tm local_time() {
  std::time_t seconds = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm time = {};
  localtime_r(&seconds, &time);
  return time;
}

Text trusted(std::string_view bytes) {
  return Text(std::string(bytes), Origin::kTemplate);
}

bool is_common_role(const Json& role) {
  return role.is_string() && std::count(kCommonRoles.begin(), kCommonRoles.end(),
                                        role.get_ref<const std::string&>()) > 0;
}

/// The message's reasoning under the first of its names, or nullptr.
const Json* reasoning_of(const Json& message) {
  for (const char* name : {"reasoning_content", "thinking", "reasoning"}) {
    auto found = message.find(name);
    if (found != message.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

Value message_value(Budget& budget, const Json& message) {
  Entries entries;
  const Json* reasoning = reasoning_of(message);
  if (reasoning != nullptr && message.value("thinking", Json()).is_null()) {
    entries.emplace_back(trusted("thinking"), from_json(budget, *reasoning, Origin::kData));
  }
  for (const auto& [name, member] : message.items()) {
    if (member.is_null()) continue;
    Origin origin = name == "role" && is_common_role(member) ? Origin::kTemplate : Origin::kData;
    entries.emplace_back(Text(name, Origin::kData), from_json(budget, member, origin));
  }
  if (reasoning != nullptr) {
    jinja::insert(budget, entries, trusted("reasoning_content"),
                  from_json(budget, *reasoning, Origin::kData));
  }
  return make_dict(budget, std::move(entries));
}

Value messages_value(Budget& budget, const Json& messages, std::string_view name) {
  require(messages.is_array(), "{}: messages must be an array", name);
  require(!messages.empty(), "{}: messages must have at least one element", name);
  std::vector<Value> values;
  values.reserve(messages.size());
  for (const Json& message : messages) {
    require(message.is_object(), "{}: each message must be an object", name);
    values.push_back(message_value(budget, message));
  }
  return make_list(budget, std::move(values));
}

void check_objects(const Json& array, std::string_view field, std::string_view name) {
  bool valid = array.is_null() ||
               (array.is_array() && std::all_of(array.begin(), array.end(),
                                                [](const Json& item) { return item.is_object(); }));
  require(valid, "{}: {} must be an array of objects", name, field);
}

RenderedChat to_chat(const jinja::Rendering& rendering) {
  RenderedChat chat;
  size_t begin = 0;
  for (const Text::Run& run : rendering.text.runs()) {
    chat.segments.push_back(
        {rendering.text.bytes().substr(begin, run.end - begin), run.origin == Origin::kTemplate});
    begin = run.end;
  }
  chat.generated = rendering.generated;
  return chat;
}

}  // namespace

struct ChatTemplate::Program {
  jinja::Body body;
  std::vector<std::pair<std::string, std::string>> special_tokens;
  std::string name;
};

std::string RenderedChat::text() const {
  std::string text;
  for (const ChatSegment& segment : segments) text += segment.text;
  return text;
}

ChatTemplate::ChatTemplate(std::string_view source,
                           std::vector<std::pair<std::string, std::string>> special_tokens,
                           std::string name) {
  jinja::Body body = jinja::parse(source, name);
  program_ = std::make_shared<const Program>(
      Program{std::move(body), std::move(special_tokens), std::move(name)});
}

RenderedChat ChatTemplate::render(const Json& messages, const Json& tools,
                                  const ChatOptions& options) const {
  const std::string& name = program_->name;
  check_objects(tools, "tools", name);
  check_objects(options.documents, "documents", name);
  require(options.variables.is_object(), "{}: variables must be an object", name);

  jinja::Environment environment{Budget(jinja::Limits()), options.now.value_or(local_time()), {}};
  Budget& budget = environment.budget;
  std::vector<std::pair<std::string, Value>> variables;
  for (const auto& [token_name, token] : program_->special_tokens) {
    variables.emplace_back(token_name, trusted(token));
  }
  for (const auto& [variable, value] : options.variables.items()) {
    variables.emplace_back(variable, from_json(budget, value, Origin::kData));
  }
  variables.emplace_back("messages", messages_value(budget, messages, name));
  variables.emplace_back("tools", from_json(budget, tools, Origin::kData));
  variables.emplace_back("documents", from_json(budget, options.documents, Origin::kData));
  variables.emplace_back("add_generation_prompt", options.add_generation_prompt);
  return to_chat(jinja::render(program_->body, name, environment, std::move(variables)));
}

}  // namespace millrace
