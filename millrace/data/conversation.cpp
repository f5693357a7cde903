#include "millrace/data/conversation.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "millrace/base/error.h"
#include "millrace/data/lines.h"

namespace millrace {
namespace {

constexpr size_t kMaxArrayBytes = size_t{1} << 30;

void add(Conversation& conversation, std::string role, std::string content, bool scored,
         Json fields = Json::object()) {
  fields["role"] = role;
  if (!fields.contains("content")) fields["content"] = content;
  conversation.messages.push_back({std::move(role), std::move(content), scored, std::move(fields)});
}

/// A member that must be an array, or nullptr where it is missing or null.
const Json* optional_array(const Json& object, const char* name, std::string_view source) {
  auto found = object.find(name);
  if (found == object.end() || found->is_null()) return nullptr;
  require(found->is_array(), "{}: field '{}' must be an array", source, name);
  return &*found;
}

const Json& array_field(const Json& object, const char* name, std::string_view source) {
  const Json* array = optional_array(object, name, source);
  require(array != nullptr, "{}: has no field '{}'", source, name);
  return *array;
}

/// Tools are an array, or (LLaMA-Factory's files) a string that holds one as JSON.
Json tools_of(const Json& object, std::string_view source) {
  auto found = object.find("tools");
  if (found == object.end() || found->is_null() || *found == "") return nullptr;
  Json tools = *found;
  if (tools.is_string()) {
    tools = parse_json(found->get<std::string>(), fmt::format("{}: field 'tools'", source));
  }
  require(tools.is_array(), "{}: field 'tools' must be an array", source);
  return tools.empty() ? Json() : tools;
}

// --- Alpaca -----------------------------------------------------------------------------------

void read_alpaca(const Json& object, std::string_view source, Conversation& out) {
  auto system = optional_json_field<std::string>(object, "system", source);
  if (system && !system->empty()) add(out, "system", *system, false);
  if (const Json* history = optional_array(object, "history", source)) {
    for (const Json& turn : *history) {
      require(turn.is_array() && turn.size() == 2 && turn[0].is_string() && turn[1].is_string(),
              "{}: field 'history' must hold pairs of strings", source);
      add(out, "user", turn[0].get<std::string>(), false);
      add(out, "assistant", turn[1].get<std::string>(), true);
    }
  }
  std::string question = json_field<std::string>(object, "instruction", source);
  std::string input = optional_json_field<std::string>(object, "input", source).value_or("");
  if (!input.empty()) question += "\n" + input;
  add(out, "user", std::move(question), false);
  add(out, "assistant", json_field<std::string>(object, "output", source), true);
}

// --- ShareGPT ---------------------------------------------------------------------------------

constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kShareGptRoles = {{
    {"human", "user"},
    {"user", "user"},
    {"gpt", "assistant"},
    {"assistant", "assistant"},
    {"chatgpt", "assistant"},
    {"function_call", "assistant"},
    {"observation", "tool"},
    {"tool", "tool"},
    {"system", "system"},
}};

std::string sharegpt_role(const std::string& from, std::string_view source) {
  for (const auto& [name, role] : kShareGptRoles) {
    if (name == from) return std::string(role);
  }
  std::vector<std::string_view> names;
  for (const auto& entry : kShareGptRoles) names.push_back(entry.first);
  fail("{}: field 'from' is '{}'; it must be one of: {}", source, from, fmt::join(names, ", "));
}

/// The call {"name", "arguments"} in the form of OpenAI's messages.
Json tool_call_fields(const std::string& value, std::string_view source) {
  Json call = parse_json(value, fmt::format("{}: field 'value'", source));
  json_field<std::string>(call, "name", source);
  Json entry = {{"type", "function"}, {"function", std::move(call)}};
  return {{"content", ""}, {"tool_calls", Json::array({std::move(entry)})}};
}

void read_sharegpt(const Json& object, std::string_view source, Conversation& out) {
  auto system = optional_json_field<std::string>(object, "system", source);
  if (system && !system->empty()) add(out, "system", *system, false);
  size_t index = 0;
  for (const Json& turn : array_field(object, "conversations", source)) {
    std::string where = fmt::format("{}: conversations[{}]", source, index++);
    std::string from = json_field<std::string>(turn, "from", where);
    std::string value = json_field<std::string>(turn, "value", where);
    std::string role = sharegpt_role(from, where);
    bool scored = role == "assistant";
    if (from == "function_call") {
      add(out, role, "", scored, tool_call_fields(value, where));
    } else {
      add(out, role, std::move(value), scored);
    }
  }
}

// --- OpenAI messages --------------------------------------------------------------------------

/// A string, or a list of parts {"type": "text", "text"} that are joined; null is empty.
std::string text_content(const Json& message, std::string_view source) {
  auto found = message.find("content");
  if (found == message.end() || found->is_null()) {
    require(message.contains("tool_calls"), "{}: has no field 'content'", source);
    return "";
  }
  if (!found->is_array()) return json_field<std::string>(message, "content", source);
  std::string text;
  for (const Json& part : *found) {
    std::string type = json_field<std::string>(part, "type", source);
    require(type == "text", "{}: field 'content' has a part of type '{}'; only text is supported",
            source, type);
    text += json_field<std::string>(part, "text", source);
  }
  return text;
}

void read_messages(const Json& object, std::string_view source, Conversation& out) {
  constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant",
                                                      "tool"};
  size_t index = 0;
  for (const Json& message : array_field(object, "messages", source)) {
    std::string where = fmt::format("{}: messages[{}]", source, index++);
    std::string role = json_field<std::string>(message, "role", where);
    require(std::ranges::find(kRoles, role) != kRoles.end(),
            "{}: field 'role' is '{}'; it must be one of: {}", where, role,
            fmt::join(kRoles, ", "));
    auto weight = optional_json_field<double>(message, "weight", where);
    require(!weight || *weight == 0 || *weight == 1, "{}: field 'weight' must be 0 or 1", where);
    optional_array(message, "tool_calls", where);
    std::string content = text_content(message, where);
    Json fields = message;
    fields.erase("weight");
    fields["content"] = content;
    bool scored = role == "assistant" && weight.value_or(1) != 0;
    add(out, std::move(role), std::move(content), scored, std::move(fields));
  }
}

/// The first character of a file that is not white space tells an array from lines.
bool starts_array(std::string_view text) {
  size_t first = text.find_first_not_of(" \t\r\n");
  return first != std::string_view::npos && text[first] == '[';
}

std::vector<Conversation> read_array(LineReader& reader, const std::string& name,
                                     ConversationFormat format) {
  std::string text;
  do {
    require(text.size() + reader.line().size() < kMaxArrayBytes,
            "{}: the array has more than {} bytes; write one object a line (.jsonl)", name,
            kMaxArrayBytes);
    text.append(reader.line());
    text += '\n';
  } while (reader.next());
  Json array = parse_json(text, name);
  std::vector<Conversation> conversations;
  for (size_t i = 0; i < array.size(); ++i) {
    conversations.push_back(parse_conversation(array[i], format, fmt::format("{}[{}]", name, i)));
  }
  return conversations;
}

/// The text of a page of text; nothing for a conversation.
std::optional<std::string> page_text(const Json& object, std::string_view source) {
  for (const char* field : {"messages", "conversations", "instruction"}) {
    if (object.contains(field)) return std::nullopt;
  }
  std::optional<std::string> text = optional_json_field<std::string>(object, "text", source);
  require(!text || !text->empty(), "{}: field 'text' is empty", source);
  return text;
}

}  // namespace

ConversationFormat conversation_format(std::string_view name) {
  if (name == "alpaca") return ConversationFormat::alpaca;
  if (name == "sharegpt") return ConversationFormat::sharegpt;
  if (name == "messages") return ConversationFormat::messages;
  fail("conversation format '{}' is unknown; it must be one of: alpaca, sharegpt, messages", name);
}

Conversation parse_conversation(const Json& object, ConversationFormat format,
                                std::string_view source) {
  require(object.is_object(), "{}: must be an object", source);
  Conversation conversation;
  conversation.source = source;
  if (std::optional<std::string> text = page_text(object, source)) {
    conversation.text = std::move(*text);
    return conversation;
  }
  switch (format) {
    case ConversationFormat::alpaca:
      read_alpaca(object, source, conversation);
      break;
    case ConversationFormat::sharegpt:
      read_sharegpt(object, source, conversation);
      break;
    case ConversationFormat::messages:
      read_messages(object, source, conversation);
      break;
  }
  if (format != ConversationFormat::alpaca) conversation.tools = tools_of(object, source);
  require(std::ranges::any_of(conversation.messages,
                              [](const Message& message) { return message.role == "assistant"; }),
          "{}: the assistant says nothing, so there is nothing to learn", source);
  return conversation;
}

std::vector<Conversation> read_conversations(const std::filesystem::path& path,
                                             ConversationFormat format) {
  const std::string name = path.string();
  LineReader reader(path);
  std::vector<Conversation> conversations;
  while (reader.next()) {
    std::string_view line = reader.line();
    if (line.find_first_not_of(" \t\r") == std::string_view::npos) continue;
    if (conversations.empty() && starts_array(line)) {
      conversations = read_array(reader, name, format);
      break;
    }
    std::string where = fmt::format("{}:{}", name, reader.number());
    conversations.push_back(parse_conversation(parse_json(line, where), format, where));
  }
  require(!conversations.empty(), "{}: holds no conversation", name);
  return conversations;
}

}  // namespace millrace
