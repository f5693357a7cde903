// The service is what /openapi.json says: the same routes, and every field of the type it names.
#include "millrace/serve/openapi.h"

#include <gtest/gtest.h>

#include <set>

#include "millrace/generate/export.h"
#include "millrace/serve/service.h"
#include "tests/scratch.h"
#include "tests/serve/http/raw_client.h"
#include "tests/tiny_language_model.h"

namespace millrace::serve {
namespace {

class OpenApi : public testing::Test {
 protected:
  OpenApi() {
    export_folder(tiny_language_model(), folder_.path(), DType::f32);
    Settings settings;
    settings.models = {{"tiny", folder_.path()}};
    settings.port = 0;
    settings.no_weight_cache = true;
    service_ = std::make_unique<Service>(settings, [](std::string_view) {});
    service_->start();
  }

  http::Reply post(const std::string& path, const Json& body) {
    return http::RawClient(service_->port()).ask(http::post(path, to_json_text(body)));
  }

  ScratchFolder folder_;
  std::unique_ptr<Service> service_;
};

/// A value that a schema does not allow; null where it allows all.
Json wrong_value(const Json& schema) {
  if (schema.contains("anyOf")) return -1.5;  // every such field here is of texts, lists, objects
  const std::string type = schema.value("type", "");
  if (type.empty()) return nullptr;
  return type == "string" ? Json(12) : Json("no");
}

/// One that the schema allows.
Json right_value(const Json& schema) {
  if (schema.contains("anyOf")) return "text";
  if (schema.contains("enum")) return schema["enum"][0];
  const std::string type = schema.value("type", "");
  if (type == "string") return "text";
  if (type == "array") return Json::array({"text"});
  return 1;
}

TEST_F(OpenApi, NamesEveryRouteAndNoOther) {
  std::set<std::string> served, described;
  for (const http::Route& route : service_->server().router().routes()) {
    std::string pattern = route.pattern;
    if (const size_t dots = pattern.find("...}"); dots != std::string::npos) {
      pattern.erase(dots, 3);
    }
    served.insert((route.method == "GET" ? "get " : "post ") + pattern);
  }
  const Json document = openapi_document();
  for (const auto& [path, operations] : document["paths"].items()) {
    for (const auto& [method, operation] : operations.items()) {
      described.insert(method + " " + path);
    }
  }
  EXPECT_EQ(served, described);
}

TEST_F(OpenApi, EveryFieldIsOfTheTypeThatItNames) {
  const Json document = openapi_document();
  for (const auto& [path, operations] : document["paths"].items()) {
    if (!operations.contains("post")) continue;
    const Json& schema = operations["post"]["requestBody"]["content"]["application/json"]["schema"];
    Json base = Json::object();
    for (const Json& name : schema["required"]) {
      const auto text = name.get<std::string>();
      base[text] = right_value(schema["properties"][text]);
      if (text == "model") base[text] = "tiny";
      if (text == "messages") base[text] = Json::array({{{"role", "user"}, {"content", "a"}}});
    }
    if (path == "/api/chat") {
      base["messages"] = Json::array({{{"role", "user"}, {"content", "a"}}});
    }
    if (path == "/api/generate" || path == "/tokenize") base["prompt"] = "a";
    for (const auto& [name, property] : schema["properties"].items()) {
      const Json wrong = wrong_value(property);
      // Metadata and the like are of no consequence, whatever they are.
      const bool idle = name == "user" || name == "metadata" || name == "store" ||
                        name == "include" || name == "truncate";
      if (wrong.is_null() || idle) continue;
      Json body = base;
      body[name] = wrong;
      const http::Reply reply = post(path, body);
      EXPECT_EQ(reply.status, 400) << path << " " << name << ": " << reply.body;
      EXPECT_NE(reply.body.find(name), std::string::npos)
          << path << " " << name << ": " << reply.body;
    }
  }
}

TEST_F(OpenApi, NumbersBeyondTheirBoundsAreRefused) {
  const Json document = openapi_document();
  for (const auto& [path, operations] : document["paths"].items()) {
    if (!operations.contains("post")) continue;
    const Json& schema = operations["post"]["requestBody"]["content"]["application/json"]["schema"];
    for (const auto& [name, property] : schema["properties"].items()) {
      if (!property.contains("maximum") || path.starts_with("/api/")) continue;
      const double low = property["minimum"], high = property["maximum"];
      for (double beyond : {low - 1, high + 1, 0x1p63, -0x1p63, 1e300}) {
        const Json values = {{"model", "tiny"},
                             {"prompt", "a"},
                             {"input", "a"},
                             {"query", "a"},
                             {"max_tokens", 1},
                             {"documents", {"a"}},
                             {"messages", Json::array({{{"role", "user"}, {"content", "a"}}})}};
        Json body = Json::object();
        for (const auto& [field, value] : values.items()) {
          if (schema["properties"].contains(field)) body[field] = value;
        }
        body[name] = beyond;
        const http::Reply reply = post(path, body);
        EXPECT_EQ(reply.status, 400) << path << " " << name << "=" << beyond;
        EXPECT_NE(reply.body.find(name), std::string::npos) << path << ": " << reply.body;
      }
    }
  }
}

}  // namespace
}  // namespace millrace::serve
