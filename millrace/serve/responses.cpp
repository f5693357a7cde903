// OpenAI's Responses API: POST /v1/responses. Nothing is stored, so each request brings its whole
// conversation.
#include "millrace/serve/call.h"
#include "millrace/serve/chat.h"
#include "millrace/serve/responses_writer.h"

namespace millrace::serve {
namespace {

std::string text_of(const Json& content, const std::string& path) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) {
    throw invalid_request(path, "must be a string or a list of parts", "invalid_type");
  }
  std::string text;
  for (size_t i = 0; i < content.size(); ++i) {
    Fields part(content[i], fmt::format("{}[{}]", path, i));
    const std::string type = part.required_text("type");
    if (type != "input_text" && type != "output_text" && type != "text" &&
        type != "reasoning_text" && type != "summary_text" && type != "refusal") {
      throw invalid_request(part.path_of("type"),
                            fmt::format("is {}; models read text here", quote(type)),
                            "unsupported_parameter");
    }
    text += type == "refusal" ? part.required_text("refusal") : part.required_text("text");
  }
  return text;
}

/// Items that one turn of the assistant consists of become one message.
Json& assistant_turn(Json& messages) {
  if (messages.empty() || messages.back()["role"] != "assistant") {
    messages.push_back({{"role", "assistant"}, {"content", ""}});
  }
  return messages.back();
}

void add_item(Json& messages, const Json& item, const std::string& path) {
  Fields fields(item, path);
  const std::string type = fields.text("type").value_or("message");
  if (type == "message") {
    const std::string role = fields.required_text("role");
    const Json* content = fields.any("content");
    const std::string text = content == nullptr ? "" : text_of(*content, path + ".content");
    if (role == "assistant" && !messages.empty() && messages.back()["role"] == "assistant" &&
        messages.back()["content"] == "") {
      messages.back()["content"] = text;
    } else {
      messages.push_back({{"role", role}, {"content", text}});
    }
  } else if (type == "function_call") {
    assistant_turn(messages)["tool_calls"].push_back(
        {{"id", fields.required_text("call_id")},
         {"type", "function"},
         {"function",
          {{"name", fields.required_text("name")},
           {"arguments", fields.required_text("arguments")}}}});
  } else if (type == "function_call_output") {
    const Json* output = fields.any("output");
    messages.push_back({{"role", "tool"},
                        {"tool_call_id", fields.required_text("call_id")},
                        {"content", output == nullptr ? "" : text_of(*output, path + ".output")}});
  } else if (type == "reasoning") {
    std::string text;
    if (const Json* content = fields.array("content")) text = text_of(*content, path + ".content");
    if (!text.empty()) {
      messages.push_back({{"role", "assistant"}, {"content", ""}, {"reasoning_content", text}});
    }
  } else {
    throw invalid_request(fields.path_of("type"),
                          fmt::format("is {}, which is not supported", quote(type)),
                          "unsupported_parameter");
  }
}

Json read_input(Fields& fields) {
  Json messages = Json::array();
  if (auto instructions = fields.text("instructions")) {
    messages.push_back({{"role", "system"}, {"content", *instructions}});
  }
  const Json* input = fields.any("input");
  if (input == nullptr) {
    throw invalid_request("input", "is missing", "missing_required_parameter");
  }
  if (input->is_string()) {
    messages.push_back({{"role", "user"}, {"content", *input}});
    return messages;
  }
  if (!input->is_array() || input->empty()) {
    throw invalid_request("input", "must be a string or a list of items", "invalid_type");
  }
  for (size_t i = 0; i < input->size(); ++i) {
    add_item(messages, (*input)[i], fmt::format("input[{}]", i));
  }
  return messages;
}

/// Responses' flat functions in the form of chat completions; `body` gets them to be read by
/// read_tools.
Json chat_form(const Json& body) {
  Json chat = Json::object();
  Fields fields(body);
  if (const Json* tools = fields.array("tools")) {
    chat["tools"] = Json::array();
    for (size_t i = 0; i < tools->size(); ++i) {
      Fields tool((*tools)[i], fmt::format("tools[{}]", i));
      const std::string type = tool.required_text("type");
      if (type != "function") {
        throw invalid_request(tool.path_of("type"),
                              fmt::format("is {}; only \"function\" is supported", quote(type)),
                              "unsupported_parameter");
      }
      Json function = (*tools)[i];
      function.erase("type");
      chat["tools"].push_back({{"type", "function"}, {"function", std::move(function)}});
    }
  }
  if (const Json* choice = fields.any("tool_choice")) {
    chat["tool_choice"] = *choice;
    if (choice->is_object() && choice->contains("name")) {
      chat["tool_choice"] = {{"type", "function"}, {"function", {{"name", (*choice)["name"]}}}};
    }
  }
  if (const Json* parallel = fields.any("parallel_tool_calls")) {
    chat["parallel_tool_calls"] = *parallel;
  }
  if (const Json* text = fields.object("text")) {
    Fields inner(*text, "text");
    if (const Json* format = inner.object("format")) {
      chat["response_format"] = *format;
      if (format->value("type", "") == "json_schema") {
        Json schema = *format;
        schema.erase("type");
        chat["response_format"] = {{"type", "json_schema"}, {"json_schema", std::move(schema)}};
      }
    }
    inner.refuse("verbosity", "models have no such dial here", "medium");
  }
  return chat;
}

/// What a response repeats of its request.
Json echoed(const Json& body) {
  Json result = Json::object();
  const Json defaults = {{"instructions", nullptr},
                         {"max_output_tokens", nullptr},
                         {"metadata", Json::object()},
                         {"parallel_tool_calls", true},
                         {"reasoning", {{"effort", nullptr}, {"summary", nullptr}}},
                         {"temperature", 1.0},
                         {"text", {{"format", {{"type", "text"}}}}},
                         {"tool_choice", "auto"},
                         {"tools", Json::array()},
                         {"top_p", 1.0},
                         {"truncation", "disabled"},
                         {"user", nullptr}};
  for (const auto& [name, value] : defaults.items()) {
    result[name] = body.contains(name) && !body[name].is_null() ? body[name] : value;
  }
  return result;
}

void respond(const CallPtr& call, ModelHandle model, const std::string& name) {
  Fields fields(call->body);
  AnswerRequest request;
  call->fill(request);
  request.model = std::move(model);
  request.model_name = name;
  fields.accept({"model", "user", "metadata", "store", "safety_identifier", "prompt_cache_key",
                 "prompt_cache_retention", "include", "tools", "tool_choice", "parallel_tool_calls",
                 "text", "max_tool_calls", "stream_options"});
  fields.refuse("previous_response_id", "nothing is stored here; send the whole conversation");
  fields.refuse("conversation", "nothing is stored here; send the whole conversation");
  fields.refuse("background", "answers come at once here");
  fields.refuse("prompt", "there are no stored prompts here");
  fields.refuse("truncation", "a prompt that is too long is an error here", "disabled");
  const Json form = chat_form(call->body);
  Fields chat_fields(form);
  Chat chat;
  chat.messages = read_input(fields);
  read_tools(chat_fields, chat);
  chat.format = read_format(chat_fields);
  if (const Json* reasoning = fields.object("reasoning")) {
    Fields inner(*reasoning, "reasoning");
    read_effort(inner, "effort", chat);
  }
  read_sampling(fields, request);
  request.n = 1;
  request.max_tokens = fields.integer("max_output_tokens", 1, std::numeric_limits<int32_t>::max());
  const auto top = fields.integer("top_logprobs", 0, 20);
  request.top_scores = static_cast<int32_t>(top.value_or(0));
  request.scores = request.top_scores > 0;
  set_chat(request, chat);
  call->answer(std::move(request), responses_writer(echoed(call->body), request.scores),
               Call::ignored_header(fields));
}

void responses(const CallPtr& call) {
  const std::string name = Fields(call->body).required_text("model");
  call->with_model(name, [=](ModelHandle model) { respond(call, std::move(model), name); });
}

}  // namespace

void add_responses_routes(http::Router& router, Service& service) {
  router.add(json_route(service, openai_shape, "POST", "/v1/responses", responses));
}

}  // namespace millrace::serve
