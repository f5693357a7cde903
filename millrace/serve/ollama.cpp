// Ollama's API: /api/chat, /api/generate, /api/embed, and what it tells of its models.
#include "millrace/serve/call.h"
#include "millrace/serve/chat.h"
#include "millrace/serve/embedder.h"
#include "millrace/serve/ollama_writer.h"
#include "millrace/serve/prompts.h"

namespace millrace::serve {
namespace {

constexpr int64_t kMostTokens = std::numeric_limits<int32_t>::max();

/// `options`, by llama.cpp's names.
void read_options(const Json& given, AnswerRequest& request) {
  Fields options(given, "options");
  SamplingOptions& s = request.sampling;
  auto number = [&](const char* name, double low, double high, float& value) {
    if (auto read = options.number(name, low, high)) value = static_cast<float>(*read);
  };
  number("temperature", 0, 100, s.temperature);
  number("top_p", 0, 1, s.top_p);
  number("min_p", 0, 1, s.min_p);
  number("typical_p", 0, 1, s.typical_p);
  number("repeat_penalty", 0.01, 100, s.repetition_penalty);
  number("presence_penalty", -2, 2, s.presence_penalty);
  number("frequency_penalty", -2, 2, s.frequency_penalty);
  if (auto k = options.integer("top_k", 0, 1'000'000)) s.top_k = static_cast<int32_t>(*k);
  if (auto seed = options.integer("seed", std::numeric_limits<int64_t>::min(),
                                  std::numeric_limits<int64_t>::max())) {
    s.seed = static_cast<uint64_t>(*seed);
  }
  // -1 and -2 mean without an end, and to the end of the context: both end there.
  const auto most = options.integer("num_predict", -2, kMostTokens);
  if (most && *most > 0) request.max_tokens = most;
  request.stop = read_stop(options);
  options.refuse("mirostat", "there is no such sampling here", 0);
  options.refuse("tfs_z", "there is no such sampling here", 1.0);
  options.refuse("repeat_last_n", "the penalty counts the whole context here", -1);
}

ResponseFormat format_of(Fields& fields) {
  const Json* wanted = fields.any("format");
  if (wanted == nullptr || *wanted == "") return {};
  using Kind = ResponseFormat::Kind;
  if (*wanted == "json") return {Kind::json_object, nullptr, "", "format"};
  if (wanted->is_object()) return {Kind::json_schema, *wanted, "", "format"};
  throw invalid_request("format", "must be \"json\" or a JSON schema");
}

void read_think(Fields& fields, Chat& chat) {
  const Json* think = fields.any("think");
  if (think == nullptr) return;
  if (think->is_boolean()) {
    chat.variables["enable_thinking"] = *think;
  } else if (*think == "low" || *think == "medium" || *think == "high") {
    chat.variables["reasoning_effort"] = *think;
  } else {
    throw invalid_request("think", "must be true, false, low, medium or high");
  }
}

/// The request but for its prompt.
AnswerRequest begin_request(const CallPtr& call, Fields& fields, ModelHandle model,
                            const std::string& name) {
  AnswerRequest request;
  call->fill(request);
  request.model = std::move(model);
  request.model_name = name;
  fields.accept({"model", "keep_alive"});
  request.sampling.temperature = 0.8f;  // Ollama's defaults
  request.sampling.top_p = 0.9f;
  request.sampling.top_k = 40;
  if (const Json* options = fields.object("options")) read_options(*options, request);
  request.stream = fields.boolean("stream").value_or(true);
  return request;
}

/// Ollama's messages in OpenAI's form: its calls have no ids, and results name their function.
Json read_messages(const Json& given) {
  Json messages = Json::array();
  std::vector<std::string> open_calls;  // ids without a result yet
  for (size_t i = 0; i < given.size(); ++i) {
    Fields fields(given[i], fmt::format("messages[{}]", i));
    const std::string role = fields.required_text("role");
    fields.refuse("images", "models read text here");
    Json message = {{"role", role}, {"content", fields.text("content").value_or("")}};
    if (auto thinking = fields.text("thinking")) message["reasoning_content"] = *thinking;
    if (const Json* calls = fields.array("tool_calls")) {
      for (size_t k = 0; k < calls->size(); ++k) {
        Fields one((*calls)[k], fmt::format("{}[{}]", fields.path_of("tool_calls"), k));
        Fields function(one.required_object("function"), one.path_of("function"));
        const Json* arguments = function.object("arguments");
        open_calls.push_back(one.text("id").value_or(fmt::format("call_{}_{}", i, k)));
        message["tool_calls"].push_back(
            {{"id", open_calls.back()},
             {"type", "function"},
             {"function",
              {{"name", function.required_text("name")},
               {"arguments", arguments == nullptr ? "{}" : to_json_text(*arguments)}}}});
      }
    }
    if (role == "tool") {
      std::string id = fields.text("tool_call_id").value_or("");
      if (id.empty() && !open_calls.empty()) id = open_calls.front();
      std::erase(open_calls, id);
      message["tool_call_id"] = id.empty() ? "call" : id;
      if (auto name = fields.text("tool_name")) message["name"] = *name;
    }
    messages.push_back(std::move(message));
  }
  return messages;
}

/// A request without messages or prompt only loads the model, or unloads it.
bool only_loads(const CallPtr& call, const std::string& name, const char* text, Json answer) {
  const Json* keep_alive = call->body.contains("keep_alive") ? &call->body["keep_alive"] : nullptr;
  const bool unload = keep_alive != nullptr && (*keep_alive == 0 || *keep_alive == "0");
  if (call->body.contains(text) && !call->body[text].empty() && call->body[text] != "") {
    return false;
  }
  if (unload) call->service.models.unload(name);
  answer["model"] = name;
  answer["created_at"] = timestamp(std::time(nullptr));
  answer["done"] = true;
  answer["done_reason"] = unload ? "unload" : "load";
  if (unload) {
    call->respond(answer);
  } else {
    call->with_model(name, [=](const ModelHandle&) { call->respond(answer); });
  }
  return true;
}

void chat(const CallPtr& call) {
  const std::string name = Fields(call->body).required_text("model");
  const Json empty = {{"message", {{"role", "assistant"}, {"content", ""}}}};
  if (only_loads(call, name, "messages", empty)) return;
  call->with_model(name, [=](ModelHandle model) {
    Fields fields(call->body);
    AnswerRequest request = begin_request(call, fields, std::move(model), name);
    Chat conversation;
    conversation.messages = read_messages(fields.required_array("messages"));
    read_tools(fields, conversation);
    conversation.format = format_of(fields);
    read_think(fields, conversation);
    set_chat(request, conversation);
    call->answer(std::move(request), ollama_writer(true), Call::ignored_header(fields));
  });
}

void generate(const CallPtr& call) {
  const std::string name = Fields(call->body).required_text("model");
  if (only_loads(call, name, "prompt", {{"response", ""}})) return;
  call->with_model(name, [=](ModelHandle model) {
    Fields fields(call->body);
    AnswerRequest request = begin_request(call, fields, std::move(model), name);
    fields.refuse("images", "models read text here");
    fields.refuse("template", "the model's own is used");
    fields.refuse("context", "send the conversation as messages to /api/chat");
    const std::string prompt = fields.required_text("prompt");
    const std::string system = fields.text("system").value_or("");
    Chat conversation;
    conversation.format = format_of(fields);
    const std::string suffix = fields.text("suffix").value_or("");
    if (fields.boolean("raw").value_or(false) || !suffix.empty()) {
      const Tokenizer& tokenizer = request.model.model->language.tokenizer;
      request.prompts = read_prompts(prompt, "prompt", tokenizer);
      if (!suffix.empty()) add_suffix(request.prompts, suffix, tokenizer);
      set_format(request, conversation.format);
    } else {
      conversation.messages = Json::array();
      if (!system.empty()) {
        conversation.messages.push_back({{"role", "system"}, {"content", system}});
      }
      conversation.messages.push_back({{"role", "user"}, {"content", prompt}});
      read_think(fields, conversation);
      set_chat(request, conversation);
    }
    call->answer(std::move(request), ollama_writer(false), Call::ignored_header(fields));
  });
}

void embed_input(const CallPtr& call) {
  const std::string name = Fields(call->body).required_text("model");
  call->with_model(name, [=](const ModelHandle& model) {
    Fields fields(call->body);
    fields.accept({"model", "keep_alive", "options", "truncate"});
    const Json* input = fields.any("input");
    if (input == nullptr) {
      throw invalid_request("input", "is missing", "missing_required_parameter");
    }
    auto texts = read_prompts(*input, "input", model.model->language.tokenizer);
    embed_texts(call, model, std::move(texts), "input", [=](const EmbeddedTexts& embedded) {
      Json vectors = Json::array();
      for (const auto& vector : embedded.vectors) vectors.push_back(shortest(vector));
      call->respond({{"model", name},
                     {"embeddings", std::move(vectors)},
                     {"prompt_eval_count", embedded.num_tokens}});
    });
  });
}

Json details_of(const ModelDescription& model) {
  const bool gguf = std::filesystem::path(model.path).extension() == ".gguf";
  return {{"parent_model", model.base},
          {"format", gguf ? "gguf" : "safetensors"},
          {"family", ""},
          {"families", Json::array()},
          {"parameter_size",
           model.num_parameters > 0
               ? fmt::format("{:.1f}M", static_cast<double>(model.num_parameters) / 1e6)
               : std::string()},
          {"quantization_level", ""}};
}

Json tag_of(const ModelDescription& model) {
  return {{"name", model.name},  {"model", model.name}, {"modified_at", timestamp(model.created)},
          {"size", model.bytes}, {"digest", ""},        {"details", details_of(model)}};
}

void tags(const CallPtr& call) {
  Json models = Json::array();
  for (const ModelDescription& model : call->service.models.list()) models.push_back(tag_of(model));
  call->respond({{"models", std::move(models)}});
}

void running(const CallPtr& call) {
  Json models = Json::array();
  for (const ModelDescription& model : call->service.models.list()) {
    if (!model.loaded) continue;
    Json tag = tag_of(model);
    tag["context_length"] = model.context;
    tag["size_vram"] = 0;
    models.push_back(std::move(tag));
  }
  call->respond({{"models", std::move(models)}});
}

void show(const CallPtr& call) {
  Fields fields(call->body);
  std::optional<std::string> name = fields.text("model");
  if (!name) name = fields.required_text("name");
  call->with_model(*name, [=](const ModelHandle& handle) {
    const ServedModel& model = *handle.model;
    const ModelConfig& config = model.language.model->config();
    Json capabilities = {"completion", "embedding"};
    if (model.syntax.template_takes_tools) capabilities.push_back("tools");
    if (!model.syntax.marker(MarkerRole::reasoning_open).empty()) {
      capabilities.push_back("thinking");
    }
    const std::string& family = model.language.model->family().model_types.front();
    for (const ModelDescription& one : call->service.models.list()) {
      if (one.name != model.name) continue;
      Json details = details_of(one);
      details["family"] = family;
      details["families"] = Json::array({family});
      return call->respond({{"modelfile", ""},
                            {"parameters", ""},
                            {"template", model.language.chat_template_source},
                            {"details", std::move(details)},
                            {"model_info",
                             {{"general.architecture", family},
                              {"general.parameter_count", model.language.model->num_parameters()},
                              {family + ".context_length", model.context},
                              {family + ".embedding_length", config.hidden_size},
                              {family + ".block_count", config.num_layers}}},
                            {"capabilities", std::move(capabilities)},
                            {"modified_at", timestamp(one.created)}});
    }
  });
}

void version(const CallPtr& call) {
  call->respond({{"version", "0.1.0"}});
}

}  // namespace

void add_ollama_routes(http::Router& router, Service& service) {
  auto post = [&](const char* pattern, void (*part)(const CallPtr&)) {
    router.add(json_route(service, ollama_shape, "POST", pattern, part));
  };
  auto get = [&](const char* pattern, void (*part)(const CallPtr&)) {
    router.add(json_route(service, ollama_shape, "GET", pattern, part));
  };
  post("/api/chat", chat);
  post("/api/generate", generate);
  post("/api/embed", embed_input);
  post("/api/show", show);
  get("/api/tags", tags);
  get("/api/ps", running);
  get("/api/version", version);
}

}  // namespace millrace::serve
