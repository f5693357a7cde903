#include "millrace/generate/answer/offered_tools.h"

#include <optional>

#include "millrace/base/error.h"
#include "millrace/generate/answer/json_scanner.h"
#include "millrace/generate/answer/python_literal.h"

namespace millrace {
namespace {

const Json kNull;

/// The types that values of a schema may have. `any` where it does not say.
struct Types {
  bool any = false, string = false, number = false, boolean = false, null = false, object = false,
       array = false;

  bool only_string() const {
    return string && !(any || number || boolean || null || object || array);
  }
};

void add_type(Types& types, std::string_view name) {
  if (name == "string")
    types.string = true;
  else if (name == "number" || name == "integer")
    types.number = true;
  else if (name == "boolean")
    types.boolean = true;
  else if (name == "null")
    types.null = true;
  else if (name == "object")
    types.object = true;
  else if (name == "array")
    types.array = true;
  else
    types.any = true;
}

void add_value_type(Types& types, const Json& value) {
  if (value.is_string())
    types.string = true;
  else if (value.is_number())
    types.number = true;
  else if (value.is_boolean())
    types.boolean = true;
  else if (value.is_null())
    types.null = true;
  else if (value.is_object())
    types.object = true;
  else
    types.array = true;
}

/// What `#/$defs/name` stands for in the tool's parameters.
const Json& resolve(const Json& root, const std::string& reference) {
  if (!reference.starts_with("#/")) return kNull;
  try {
    return root.at(Json::json_pointer(reference.substr(1)));
  } catch (const Json::exception&) {
    return kNull;
  }
}

/// `left`: how many schemas may still be looked at. References may go round, and branch.
void add_types(Types& types, const Json& root, const Json& schema, int& left) {
  if (!schema.is_object() || --left < 0) {
    types.any = true;
    return;
  }
  auto member = [&](const char* name) -> const Json& {
    auto found = schema.find(name);
    return found == schema.end() ? kNull : *found;
  };
  if (const Json& type = member("type"); type.is_string()) {
    add_type(types, type.get_ref<const std::string&>());
    if (member("nullable") == Json(true)) types.null = true;
  } else if (type.is_array()) {
    for (const Json& one : type) add_type(types, one.is_string() ? one.get<std::string>() : "");
  } else if (member("enum").is_array()) {
    for (const Json& one : member("enum")) add_value_type(types, one);
  } else if (schema.contains("const")) {
    add_value_type(types, member("const"));
  } else if (member("$ref").is_string()) {
    add_types(types, root, resolve(root, member("$ref").get<std::string>()), left);
  } else if (member("anyOf").is_array() || member("oneOf").is_array()) {
    const Json& choices = member("anyOf").is_array() ? member("anyOf") : member("oneOf");
    for (const Json& one : choices) add_types(types, root, one, left);
  } else {
    types.any = true;
  }
}

bool allows(const Types& types, const Json& value) {
  Types own;
  add_value_type(own, value);
  return types.any || (types.string && own.string) || (types.number && own.number) ||
         (types.boolean && own.boolean) || (types.null && own.null) ||
         (types.object && own.object) || (types.array && own.array);
}

std::optional<Json> json_value(std::string_view text) {
  JsonScanner scanner;  // refuses what is nested too deeply before it is parsed
  for (char byte : text) {
    if (scanner.step(byte) == JsonScanner::Step::bad) return std::nullopt;
  }
  Json value = Json::parse(text, nullptr, false);
  if (value.is_discarded()) return std::nullopt;
  return value;
}

std::string_view trimmed(std::string_view text) {
  size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r\n") + 1 - begin);
}

Types types_of(const Json& root, const Json& schema) {
  Types types;
  int left = 100;
  if (schema.is_null())
    types.any = true;
  else
    add_types(types, root, schema, left);
  return types;
}

}  // namespace

const Json& tool_function(const Json& tool) {
  if (!tool.is_object()) return kNull;
  auto function = tool.find("function");
  if (function != tool.end()) return function->is_object() ? *function : kNull;
  return tool.contains("name") ? tool : kNull;
}

OfferedTools::OfferedTools(const Json& tools) {
  if (!tools.is_array()) return;
  for (const Json& tool : tools) {
    const Json& function = tool_function(tool);
    if (!function.is_object()) continue;
    auto name = function.find("name");
    if (name == function.end() || !name->is_string()) continue;
    auto parameters = function.find("parameters");
    parameters_[name->get<std::string>()] =
        parameters == function.end() ? Json() : Json(*parameters);
  }
}

bool OfferedTools::any_begins_with(std::string_view beginning) const {
  auto found = parameters_.lower_bound(beginning);
  return found != parameters_.end() && found->first.starts_with(beginning);
}

const Json& OfferedTools::schema(std::string_view tool, std::string_view parameter) const {
  auto found = parameters_.find(tool);
  if (found == parameters_.end() || !found->second.is_object()) return kNull;
  auto properties = found->second.find("properties");
  if (properties == found->second.end() || !properties->is_object()) return kNull;
  auto one = properties->find(parameter);
  return one == properties->end() ? kNull : *one;
}

bool OfferedTools::is_string(std::string_view tool, std::string_view parameter) const {
  const Json& own = schema(tool, parameter);
  return !own.is_null() && types_of(parameters_.find(tool)->second, own).only_string();
}

std::string OfferedTools::value(std::string_view tool, std::string_view parameter,
                                std::string_view text) const {
  const Json& own = schema(tool, parameter);
  Types types = types_of(own.is_null() ? kNull : parameters_.find(tool)->second, own);
  std::string_view inner = trimmed(text);
  if (!types.only_string()) {
    std::optional<Json> value = json_value(inner);
    if (value && allows(types, *value)) return std::string(inner);
    value = python_literal(inner);
    if (value && allows(types, *value)) return to_json_text(*value);
  }
  std::string quoted = "\"";
  append_json_escaped(quoted, text);
  return quoted + '"';
}

}  // namespace millrace
