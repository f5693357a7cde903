// Anthropic's API: POST /v1/messages and /v1/messages/count_tokens.
#include "millrace/generate/chat_request.h"
#include "millrace/serve/anthropic_writer.h"
#include "millrace/serve/call.h"
#include "millrace/serve/chat.h"

namespace millrace::serve {
namespace {

/// The text of a string, or of a list of blocks of text.
std::string text_of(const Json& content, const std::string& path) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) {
    throw invalid_request(path, "must be a string or a list of blocks", "invalid_type");
  }
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    Fields block(content[i], fmt::format("{}[{}]", path, i));
    const std::string type = block.required_text("type");
    if (type != "text") {
      throw invalid_request(block.path_of("type"),
                            fmt::format("is {}; models read text here", quote(type)),
                            "unsupported_parameter");
    }
    text += block.required_text("text");
  }
  return text;
}

Json call_of(Fields& block) {
  return {{"id", block.required_text("id")},
          {"type", "function"},
          {"function",
           {{"name", block.required_text("name")},
            {"arguments", to_json_text(block.required_object("input"))}}}};
}

/// One of Anthropic's messages becomes one of OpenAI's for each tool's result, and one for the
/// rest.
void add_message(Json& messages, const Json& message, const std::string& path) {
  Fields fields(message, path);
  const std::string role = fields.required_text("role");
  if (role != "user" && role != "assistant") {
    throw invalid_request(fields.path_of("role"),
                          fmt::format("is {}; it must be user or assistant", quote(role)));
  }
  const Json* content = fields.any("content");
  if (content == nullptr) {
    throw invalid_request(fields.path_of("content"), "is missing", "missing_required_parameter");
  }
  if (!content->is_array()) {
    messages.push_back({{"role", role}, {"content", text_of(*content, fields.path_of("content"))}});
    return;
  }
  std::string text, reasoning;
  Json calls = Json::array();
  for (size_t i = 0; i < content->size(); ++i) {
    Fields block((*content)[i], fmt::format("{}.content[{}]", path, i));
    const std::string type = block.required_text("type");
    if (type == "text") {
      text += block.required_text("text");
    } else if (type == "thinking") {
      reasoning += block.required_text("thinking");
    } else if (type == "tool_use") {
      calls.push_back(call_of(block));
    } else if (type == "tool_result") {
      const Json* result = block.any("content");
      messages.push_back(
          {{"role", "tool"},
           {"tool_call_id", block.required_text("tool_use_id")},
           {"content",
            result == nullptr ? std::string() : text_of(*result, block.path_of("content"))}});
    } else if (type != "redacted_thinking") {
      throw invalid_request(block.path_of("type"),
                            fmt::format("is {}, which is not supported", quote(type)),
                            "unsupported_parameter");
    }
  }
  if (text.empty() && reasoning.empty() && calls.empty()) return;
  Json told = {{"role", role}, {"content", text}};
  if (!reasoning.empty()) told["reasoning_content"] = reasoning;
  if (!calls.empty()) told["tool_calls"] = std::move(calls);
  messages.push_back(std::move(told));
}

Json read_messages(Fields& fields) {
  Json messages = Json::array();
  if (const Json* system = fields.any("system")) {
    messages.push_back({{"role", "system"}, {"content", text_of(*system, "system")}});
  }
  const Json& given = fields.required_array("messages");
  if (given.empty()) throw invalid_request("messages", "is empty");
  for (size_t i = 0; i < given.size(); ++i) {
    add_message(messages, given[i], fmt::format("messages[{}]", i));
  }
  return messages;
}

void read_own_tools(Fields& fields, Chat& chat) {
  const Json* tools = fields.array("tools");
  const Json* choice = fields.object("tool_choice");
  if (tools == nullptr || tools->empty()) return;
  chat.tools = Json::array();
  for (size_t i = 0; i < tools->size(); ++i) {
    Fields tool((*tools)[i], fmt::format("tools[{}]", i));
    const std::string type = tool.text("type").value_or("custom");
    if (type != "custom") {
      throw invalid_request(
          tool.path_of("type"),
          fmt::format("is {}; only tools of one's own are supported", quote(type)),
          "unsupported_parameter");
    }
    chat.tools.push_back({{"type", "function"},
                          {"function",
                           {{"name", tool.required_text("name")},
                            {"description", tool.text("description").value_or("")},
                            {"parameters", tool.required_object("input_schema")}}}});
  }
  if (choice == nullptr) return;
  Fields wanted(*choice, "tool_choice");
  using Kind = ToolChoice::Kind;
  const auto type = wanted.one_of("type", {"auto", "any", "tool", "none"});
  chat.parallel_calls = !wanted.boolean("disable_parallel_tool_use").value_or(false);
  if (type == "any") chat.tool_choice.kind = Kind::required;
  if (type == "none") chat.tool_choice.kind = Kind::none;
  if (type != "tool") return;
  chat.tool_choice = {Kind::named, wanted.required_text("name")};
  for (const Json& tool : chat.tools) {
    if (tool["function"]["name"] == chat.tool_choice.name) return;
  }
  throw invalid_request("tool_choice.name", fmt::format("is {}, which is not among the tools",
                                                        quote(chat.tool_choice.name)));
}

Chat read_chat(Fields& fields) {
  Chat chat;
  chat.messages = read_messages(fields);
  read_own_tools(fields, chat);
  if (const Json* thinking = fields.object("thinking")) {
    Fields inner(*thinking, "thinking");
    const auto type = inner.one_of("type", {"enabled", "disabled", "adaptive"});
    inner.integer("budget_tokens", 1, 1 << 30);
    if (type) chat.variables["enable_thinking"] = type != "disabled";
  }
  return chat;
}

void answer_messages(const CallPtr& call, ModelHandle model, const std::string& name) {
  Fields fields(call->body);
  AnswerRequest request;
  call->fill(request);
  request.model = std::move(model);
  request.model_name = name;
  fields.accept({"model", "metadata", "service_tier"});
  fields.refuse("mcp_servers", "tools are the client's here");
  fields.refuse("container", "nothing is run here");
  read_sampling(fields, request);
  request.n = 1;
  fields.array("stop_sequences");  // no single string here
  request.stop = read_stop(fields, "stop_sequences");
  const auto most = fields.integer("max_tokens", 1, std::numeric_limits<int32_t>::max());
  if (!most) throw invalid_request("max_tokens", "is missing", "missing_required_parameter");
  request.max_tokens = most;
  set_chat(request, read_chat(fields));
  call->answer(std::move(request), anthropic_writer(), Call::ignored_header(fields));
}

void messages(const CallPtr& call) {
  const std::string name = Fields(call->body).required_text("model");
  call->with_model(name, [=](const ModelHandle& model) { answer_messages(call, model, name); });
}

void count_tokens(const CallPtr& call) {
  const std::string name = Fields(call->body).required_text("model");
  call->with_model(name, [=](const ModelHandle& model) {
    Fields fields(call->body);
    AnswerRequest request;
    request.model = model;
    set_chat(request, read_chat(fields));
    call->respond({{"input_tokens", request.prompts.front().size()}});
  });
}

}  // namespace

void add_anthropic_routes(http::Router& router, Service& service) {
  router.add(json_route(service, anthropic_error, "POST", "/v1/messages", messages));
  router.add(
      json_route(service, anthropic_error, "POST", "/v1/messages/count_tokens", count_tokens));
}

}  // namespace millrace::serve
