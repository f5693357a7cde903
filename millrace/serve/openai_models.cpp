// The models by name, and the tokens of texts: /v1/models, /models/load, /tokenize, /detokenize.
#include "millrace/serve/openai.h"
#include "millrace/serve/prompts.h"

namespace millrace::serve {
namespace {

Json model_json(const ModelDescription& model) {
  return {{"id", model.name},
          {"object", "model"},
          {"created", model.created},
          {"owned_by", "millrace"},
          {"parent", model.base.empty() ? Json() : Json(model.base)},
          {"max_model_len", model.context > 0 ? Json(model.context) : Json()},
          {"loaded", model.loaded}};
}

}  // namespace

void list_models(const CallPtr& call) {
  Json data = Json::array();
  for (const ModelDescription& model : call->service.models.list()) {
    data.push_back(model_json(model));
  }
  call->respond({{"object", "list"}, {"data", std::move(data)}});
}

void show_model(const CallPtr& call) {
  const std::string& name = call->request.path_parameters.at("model");
  std::vector<std::string> names;
  for (const ModelDescription& model : call->service.models.list()) {
    if (model.name == name) return call->respond(model_json(model));
    names.push_back(model.name);
  }
  throw model_not_found(name, fmt::format("{}", fmt::join(names, ", ")));
}

void load_model_route(const CallPtr& call) {
  const std::string name = Fields(call->body).required_text("model");
  call->with_model(name, [=](const ModelHandle&) { call->respond({{"success", true}}); });
}

void unload_model_route(const CallPtr& call) {
  call->service.models.unload(Fields(call->body).required_text("model"));
  call->respond({{"success", true}});
}

void tokenize(const CallPtr& call) {
  Fields fields(call->body);
  const std::string name = fields.required_text("model");
  call->with_model(name, [call](const ModelHandle& model) {
    Fields body(call->body);
    const Tokenizer& tokenizer = model.model->language.tokenizer;
    std::optional<std::string> text = body.text("prompt");            // as vLLM calls it
    const std::optional<std::string> content = body.text("content");  // as llama.cpp does
    if (!text) text = content;
    if (!text) throw invalid_request("prompt", "is missing", "missing_required_parameter");
    EncodeOptions options;
    options.add_special = body.boolean("add_special_tokens").value_or(true);
    options.parse_special = body.boolean("parse_special").value_or(true);
    const std::vector<int32_t> ids = tokenizer.encode(*text, options);
    Json answer = {{"tokens", ids}, {"count", ids.size()}, {"max_model_len", model.model->context}};
    if (body.boolean("return_token_strs").value_or(false)) {
      answer["token_strs"] = Json::array();
      for (int32_t id : ids) answer["token_strs"].push_back(tokenizer.token_bytes(id));
    }
    call->respond(answer);
  });
}

void detokenize(const CallPtr& call) {
  Fields fields(call->body);
  const std::string name = fields.required_text("model");
  call->with_model(name, [call](const ModelHandle& model) {
    Fields body(call->body);
    const Tokenizer& tokenizer = model.model->language.tokenizer;
    const Json& tokens = body.required_array("tokens");
    std::vector<int32_t> ids;
    if (!tokens.empty()) ids = read_prompts(Json::array({tokens}), "tokens", tokenizer).front();
    for (int32_t id : ids) {
      if (id < tokenizer.vocab_size()) continue;
      throw invalid_request(
          "tokens", fmt::format("has the id {}; ids are 0 to {}", id, tokenizer.vocab_size() - 1));
    }
    const std::string text = tokenizer.decode(ids);
    call->respond({{"prompt", text}, {"content", text}});
  });
}

void add_openai_routes(http::Router& router, Service& service) {
  auto post = [&](const char* pattern, void (*part)(const CallPtr&)) {
    router.add(json_route(service, openai_shape, "POST", pattern, part));
  };
  auto get = [&](const char* pattern, void (*part)(const CallPtr&)) {
    router.add(json_route(service, openai_shape, "GET", pattern, part));
  };
  post("/v1/chat/completions", chat_completions);
  post("/v1/completions", completions);
  post("/v1/embeddings", embeddings);
  post("/v1/rerank", rerank);
  post("/v2/rerank", rerank);
  post("/rerank", rerank);
  get("/v1/models", list_models);
  get("/v1/models/{model...}", show_model);
  post("/models/load", load_model_route);
  post("/models/unload", unload_model_route);
  post("/tokenize", tokenize);
  post("/detokenize", detokenize);
}

}  // namespace millrace::serve
