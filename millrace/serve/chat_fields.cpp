// The fields that several routes read alike.
#include <charconv>
#include <cmath>

#include "millrace/serve/chat.h"

namespace millrace::serve {
namespace {

constexpr size_t kMaxStops = 64;
constexpr size_t kMaxStopBytes = 1000;
constexpr size_t kMaxBiases = 4096;
constexpr size_t kMaxTools = 512;

void read_logit_bias(Fields& fields, SamplingOptions& sampling) {
  const Json* biases = fields.object("logit_bias");
  if (biases == nullptr) return;
  if (biases->size() > kMaxBiases) {
    throw invalid_request(
        "logit_bias", fmt::format("has {} entries; {} are the most", biases->size(), kMaxBiases));
  }
  for (const auto& [key, value] : biases->items()) {
    const std::string path = fmt::format("logit_bias.{}", key.substr(0, 32));
    int32_t id = 0;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0) {
      throw invalid_request("logit_bias", fmt::format("{} is no token id", quote(key)));
    }
    if (!value.is_number() || !(std::abs(value.get<double>()) <= 100)) {
      throw invalid_request(path, "must be a number between -100 and 100");
    }
    sampling.logit_bias.emplace_back(id, value.get<float>());
  }
}

const Json& function_of(const Json& tool, const std::string& path) {
  Fields fields(tool, path);
  const std::string type = fields.required_text("type");
  if (type != "function") {
    throw invalid_request(path + ".type",
                          fmt::format("is {}; only \"function\" is supported", quote(type)),
                          "unsupported_parameter");
  }
  return fields.required_object("function");
}

void check_tools(const Json& tools) {
  if (tools.size() > kMaxTools) {
    throw invalid_request("tools",
                          fmt::format("has {} entries; {} are the most", tools.size(), kMaxTools));
  }
  for (size_t i = 0; i < tools.size(); ++i) {
    const std::string path = fmt::format("tools[{}]", i);
    Fields function(function_of(tools[i], path), path + ".function");
    const std::string name = function.required_text("name");
    if (name.empty() || name.size() > 256) {
      throw invalid_request(function.path_of("name"), "must have 1 to 256 characters");
    }
    function.text("description");
    function.object("parameters");
    function.boolean("strict");
  }
}

bool has_tool(const Json& tools, const std::string& name) {
  for (const Json& tool : tools) {
    if (tool["function"]["name"] == name) return true;
  }
  return false;
}

ToolChoice read_tool_choice(const Json& choice, const Json& tools) {
  using Kind = ToolChoice::Kind;
  if (choice.is_string()) {
    const auto word = choice.get<std::string>();
    if (word == "auto") return {Kind::automatic, ""};
    if (word == "none") return {Kind::none, ""};
    if (word == "required") return {Kind::required, ""};
    throw invalid_request("tool_choice", fmt::format("is {}; it must be auto, none, required or a "
                                                     "function",
                                                     quote(word)));
  }
  Fields fields(choice, "tool_choice");
  const std::string type = fields.required_text("type");
  if (type != "function") {
    throw invalid_request("tool_choice.type",
                          fmt::format("is {}; only \"function\" is supported", quote(type)));
  }
  Fields function(fields.required_object("function"), "tool_choice.function");
  const std::string name = function.required_text("name");
  if (!has_tool(tools, name)) {
    throw invalid_request("tool_choice.function.name",
                          fmt::format("is {}, which is not among the tools", quote(name)));
  }
  return {Kind::named, name};
}

}  // namespace

void read_sampling(Fields& fields, AnswerRequest& request) {
  constexpr auto kMost = std::numeric_limits<int64_t>::max();
  SamplingOptions& s = request.sampling;
  s.temperature = static_cast<float>(fields.number("temperature", 0, 2).value_or(1));
  s.top_p = static_cast<float>(fields.number("top_p", 0, 1).value_or(1));
  s.presence_penalty = static_cast<float>(fields.number("presence_penalty", -2, 2).value_or(0));
  s.frequency_penalty = static_cast<float>(fields.number("frequency_penalty", -2, 2).value_or(0));
  // -1 is how other servers say "all".
  s.top_k = static_cast<int32_t>(
      std::max<int64_t>(fields.integer("top_k", -1, 1'000'000).value_or(0), 0));
  s.min_p = static_cast<float>(fields.number("min_p", 0, 1).value_or(0));
  s.typical_p = static_cast<float>(fields.number("typical_p", 0, 1).value_or(1));
  s.repetition_penalty =
      static_cast<float>(fields.number("repetition_penalty", 0.01, 100).value_or(1));
  const auto seed = fields.integer("seed", std::numeric_limits<int64_t>::min(), kMost);
  if (seed) s.seed = static_cast<uint64_t>(*seed);
  read_logit_bias(fields, s);
  request.n = fields.integer("n", 1, 128).value_or(1);
  request.stop = read_stop(fields);
  request.ignore_end = fields.boolean("ignore_eos").value_or(false);
  request.stream = fields.boolean("stream").value_or(false);
  const auto tier = fields.one_of("service_tier", {"auto", "default", "flex", "scale", "priority"});
  request.priority = tier == "flex" ? -1 : 0;
}

std::vector<std::string> read_stop(Fields& fields, const char* name) {
  const Json* stop = fields.any(name);
  if (stop == nullptr) return {};
  const Json list = stop->is_array() ? *stop : Json::array({*stop});
  if (list.size() > kMaxStops) {
    throw invalid_request(fields.path_of(name),
                          fmt::format("has {} strings; {} are the most", list.size(), kMaxStops));
  }
  std::vector<std::string> strings;
  for (size_t i = 0; i < list.size(); ++i) {
    if (!list[i].is_string()) {
      throw invalid_request(fields.path_of(name), "must be a string or a list of strings",
                            "invalid_type");
    }
    strings.push_back(list[i].get<std::string>());
    if (strings.back().empty() || strings.back().size() > kMaxStopBytes) {
      throw invalid_request(fmt::format("{}[{}]", fields.path_of(name), i),
                            fmt::format("must have 1 to {} bytes", kMaxStopBytes));
    }
  }
  return strings;
}

void read_tools(Fields& fields, Chat& chat) {
  if (const Json* tools = fields.array("tools"); tools != nullptr && !tools->empty()) {
    check_tools(*tools);
    chat.tools = *tools;
  }
  chat.parallel_calls = fields.boolean("parallel_tool_calls").value_or(true);
  const Json* choice = fields.any("tool_choice");
  if (choice == nullptr) return;
  if (chat.tools.is_null() && *choice != "none" && *choice != "auto") {
    throw invalid_request("tool_choice", "needs tools, and there are none");
  }
  chat.tool_choice = read_tool_choice(*choice, chat.tools);
}

void read_effort(Fields& fields, const char* name, Chat& chat) {
  const auto effort = fields.one_of(name, {"none", "minimal", "low", "medium", "high", "xhigh"});
  if (!effort) return;
  chat.variables["reasoning_effort"] = *effort;
  if (effort == "none") chat.variables["enable_thinking"] = false;
}

ResponseFormat read_format(Fields& fields) {
  using Kind = ResponseFormat::Kind;
  ResponseFormat format;
  if (const Json* wanted = fields.object("response_format")) {
    Fields inner(*wanted, "response_format");
    inner.one_of("type", {"text", "json_object", "json_schema"});
    const std::string type = inner.required_text("type");
    format.param = "response_format";
    if (type == "json_object") format.kind = Kind::json_object;
    if (type == "json_schema") {
      Fields named(inner.required_object("json_schema"), "response_format.json_schema");
      named.required_text("name");
      named.boolean("strict");
      named.text("description");
      format.kind = Kind::json_schema;
      const Json* schema = named.object("schema");
      format.schema = schema == nullptr ? Json::object() : *schema;
      format.param = "response_format.json_schema.schema";
    }
  }
  for (const auto& [name, kind] : {std::pair("grammar", Kind::grammar), {"regex", Kind::regex}}) {
    std::optional<std::string> source = fields.text(name);
    if (!source) continue;
    if (format.kind != Kind::text) {
      throw invalid_request(name, "cannot be combined with another form of the answer");
    }
    format = {kind, nullptr, *source, name};
  }
  return format;
}

}  // namespace millrace::serve
