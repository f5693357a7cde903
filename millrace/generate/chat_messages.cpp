// normalise_messages: OpenAI's messages as chat templates want them.
#include <map>

#include "millrace/base/error.h"
#include "millrace/generate/answer/answer_output.h"
#include "millrace/generate/answer/call_writing.h"
#include "millrace/generate/chat_request.h"

namespace millrace {
namespace {

const Json& member(const Json& object, const char* name) {
  static const Json kNull;
  auto found = object.find(name);
  return found == object.end() ? kNull : *found;
}

std::string text_part(const Json& part, const std::string& where) {
  require(part.is_object(), "{}: must be an object with a type", where);
  const Json& type = member(part, "type");
  require(type.is_string(), "{}.type: must be a string, such as \"text\"", where);
  std::string name = type.get<std::string>();
  bool known = name == "text" || name == "refusal" || name == "input_text" || name == "output_text";
  require(known, "{}.type: {} is not supported; this model takes text only", where, quote(name));
  const char* field = name == "refusal" ? "refusal" : "text";
  const Json& text = member(part, field);
  require(text.is_string(), "{}.{}: must be a string", where, field);
  return text.get<std::string>();
}

std::string content_of(const Json& message, const std::string& where) {
  const Json& content = member(message, "content");
  if (content.is_string()) return content.get<std::string>();
  if (content.is_null()) return "";
  require(content.is_array(), "{}.content: must be a string or a list of parts", where);
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    text += text_part(content[i], fmt::format("{}.content[{}]", where, i));
  }
  return text;
}

Json arguments_object(const Json& function, const std::string& where) {
  const Json& arguments = member(function, "arguments");
  if (arguments.is_object()) return arguments;
  if (arguments.is_null() || arguments == Json("")) return Json::object();
  require(arguments.is_string(), "{}.arguments: must be a string that holds a JSON object", where);
  Json value = parse_json(arguments.get<std::string>(), where + ".arguments");
  require(value.is_object(), "{}.arguments: must hold a JSON object", where);
  return value;
}

/// Whether an id is one that Mistral's templates take.
bool is_nine(std::string_view id) {
  return id.size() == 9 && id.find_first_not_of(
                               "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                               "abcdefghijklmnopqrstuvwxyz") == id.npos;
}

/// One pass through a conversation.
class Normaliser {
 public:
  Normaliser(const ChatSyntax& syntax, std::string_view template_source)
      : syntax_(syntax),
        knows_developer_(template_source.find("developer\"") != std::string_view::npos ||
                         template_source.find("developer'") != std::string_view::npos),
        counts_all_calls_(template_source.find("tool_call_counter") != std::string_view::npos) {}

  void add(const Json& message, const std::string& where) {
    require(message.is_object(), "{}: must be an object with role and content", where);
    const Json& role = member(message, "role");
    require(role.is_string(), "{}.role: must be a string", where);
    std::string name = role.get<std::string>();
    if (name == "assistant") {
      add_assistant(message, where);
    } else if (name == "tool") {
      add_tool(message, where);
    } else {
      require(name == "system" || name == "developer" || name == "user",
              "{}.role: {} is not supported; it must be system, developer, user, assistant or tool",
              where, quote(name));
      require(!member(message, "content").is_null(), "{}.content: is missing", where);
      Json result = message;
      if (name == "developer" && !knows_developer_) result["role"] = "system";
      result["content"] = content_of(message, where);
      add_turn(std::move(result));
    }
  }

  Json result() {
    Json messages = Json::array();
    for (std::vector<Json>& turn : turns_) {
      for (Json& message : turn) messages.push_back(std::move(message));
    }
    return messages;
  }

 private:
  struct Call {
    std::string id, name;
    size_t turn;  // its message's
  };

  void add_turn(Json message) {
    turns_.emplace_back();
    turns_.back().push_back(std::move(message));
  }

  void add_assistant(const Json& message, const std::string& where) {
    const Json& calls = member(message, "tool_calls");
    require(calls.is_null() || calls.is_array(), "{}.tool_calls: must be a list", where);
    bool has_calls = !calls.is_null() && !calls.empty();
    bool has_content = !member(message, "content").is_null();
    require(has_calls || has_content || !member(message, "refusal").is_null(),
            "{}.content: is missing, and there are no tool_calls", where);
    Json result = message;
    result.erase("tool_calls");
    result.erase("refusal");
    name_reasoning(result);
    std::string content = content_of(message, where);
    if (has_content || !has_calls || syntax_.empty_content)
      result["content"] = content;
    else
      result.erase("content");
    if (!has_calls) {
      add_turn(std::move(result));
      return;
    }
    Json normal = Json::array();
    for (size_t i = 0; i < calls.size(); ++i) {
      normal.push_back(
          add_call(calls[i], static_cast<int>(i), fmt::format("{}.tool_calls[{}]", where, i)));
    }
    add_calls(std::move(result), normal, content);
  }

  Json add_call(const Json& call, int index, const std::string& where) {
    require(call.is_object(), "{}: must be an object", where);
    const Json& type = member(call, "type");
    require(type.is_null() || type == Json("function"), "{}.type: must be \"function\"", where);
    const Json& function = member(call, "function");
    require(function.is_object(), "{}.function: must be an object", where);
    const Json& name = member(function, "name");
    require(name.is_string() && !name.get_ref<const std::string&>().empty(),
            "{}.function.name: must be a string", where);
    const Json& id = member(call, "id");
    require(id.is_string(), "{}.id: must be a string", where);
    Json arguments = arguments_object(function, where + ".function");
    if (syntax_.history == CallHistory::texts) arguments = to_json_text(arguments);
    std::string own = own_id(id.get<std::string>(), name.get<std::string>(), index);
    bool turn_of_its_own = syntax_.grouping == CallGrouping::one;
    size_t turn = turns_.size() + (turn_of_its_own ? static_cast<size_t>(index) : 0);
    calls_[id.get<std::string>()] = {own, name.get<std::string>(), turn};
    ++earlier_calls_;
    return {{"id", own},
            {"type", "function"},
            {"function", {{"name", name}, {"arguments", std::move(arguments)}}}};
  }

  std::string own_id(const std::string& id, const std::string& name, int index) const {
    if (syntax_.ids == CallIdForm::nine && !is_nine(id)) return call_id(syntax_.ids, id, name, 0);
    if (syntax_.ids != CallIdForm::functions) return id;
    return call_id(syntax_.ids, "", name, counts_all_calls_ ? earlier_calls_ : index);
  }

  void add_calls(Json message, const Json& calls, const std::string& content) {
    if (syntax_.history == CallHistory::content) {
      int first = earlier_calls_ - static_cast<int>(calls.size());
      std::string space = content.empty() ? "" : "\n";
      message["content"] = content + space + write_calls(syntax_, calls, first);
      add_turn(std::move(message));
      return;
    }
    if (syntax_.calls == CallNotation::channels) keep_one_thought(message);
    if (syntax_.grouping != CallGrouping::one) {
      message["tool_calls"] = calls;
      add_turn(std::move(message));
      return;
    }
    for (const Json& call : calls) {  // their results go between them: see add_tool
      message["tool_calls"] = Json::array({call});
      add_turn(std::move(message));
      message = {{"role", "assistant"}};
      if (syntax_.empty_content) message["content"] = "";
    }
  }

  /// Reasoning has the name by which the template takes it.
  void name_reasoning(Json& message) const {
    Json reasoning;
    for (const char* name : kReasoningFields) {
      if (reasoning.is_null() && member(message, name).is_string()) reasoning = message[name];
      message.erase(name);
    }
    if (!reasoning.is_null()) message[syntax_.reasoning_field] = std::move(reasoning);
  }

  /// gpt-oss' template takes what came before a call as one text.
  void keep_one_thought(Json& message) const {
    if (message.contains(syntax_.reasoning_field) && message.contains("content")) {
      message["content"] = "";
    }
  }

  void add_tool(const Json& message, const std::string& where) {
    const Json& id = member(message, "tool_call_id");
    require(id.is_string(), "{}.tool_call_id: must be the id of the call that this answers", where);
    auto call = calls_.find(id.get<std::string>());
    require(call != calls_.end(), "{}.tool_call_id: no tool call before it has the id {}", where,
            quote(id.get<std::string>()));
    require(!member(message, "content").is_null(), "{}.content: is missing", where);
    std::string content = content_of(message, where);
    if (syntax_.history == CallHistory::content) {
      add_result_as_user("<tool_response>\n" + content + "\n</tool_response>");
      return;
    }
    Json result = {{"role", "tool"},
                   {"tool_call_id", call->second.id},
                   {"name", call->second.name},
                   {"content", content}};
    bool between_calls = syntax_.grouping == CallGrouping::one;
    if (!between_calls) turns_.emplace_back();
    size_t turn = between_calls ? call->second.turn : turns_.size() - 1;
    turns_[turn].push_back(std::move(result));
  }

  /// Results that follow one another are one message: many templates want turns to alternate.
  void add_result_as_user(const std::string& text) {
    if (results_end_ == turns_.size() && results_end_ > 0) {
      std::string& content = turns_.back()[0]["content"].get_ref<std::string&>();
      content += '\n';
      content += text;
      return;
    }
    add_turn({{"role", "user"}, {"content", text}});
    results_end_ = turns_.size();
  }

  const ChatSyntax& syntax_;
  bool knows_developer_;
  bool counts_all_calls_;
  std::vector<std::vector<Json>> turns_;  // a message, and results that belong behind it
  std::map<std::string, Call> calls_;     // by the client's id
  int earlier_calls_ = 0;
  size_t results_end_ = 0;  // behind the last turn that add_result_as_user made
};

}  // namespace

Json normalise_messages(const Json& messages, const ChatSyntax& syntax,
                        std::string_view template_source) {
  require(messages.is_array() && !messages.empty(), "messages: must be a list of messages");
  Normaliser normaliser(syntax, template_source);
  for (size_t i = 0; i < messages.size(); ++i) {
    normaliser.add(messages[i], fmt::format("messages[{}]", i));
  }
  return normaliser.result();
}

}  // namespace millrace
