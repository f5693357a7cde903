#include "millrace/formats/safetensors_index.h"

#include "millrace/base/error.h"
#include "millrace/base/json.h"

namespace millrace {
namespace {

/// Whether a name stays in the folder: no separators, not hidden, no control characters.
bool is_plain_file_name(std::string_view name, std::string_view ending) {
  if (name.empty() || name.size() > 255 || name.front() == '.') return false;
  for (char c : name) {
    if (c == '/' || c == '\\' || static_cast<unsigned char>(c) < 0x20) return false;
  }
  return name.ends_with(ending);
}

}  // namespace

SafetensorsIndex parse_safetensors_index(std::string_view text, const std::string& source,
                                         std::string_view ending) {
  Json index = parse_json(text, source);
  require(index.is_object(), "{}: must be an object", source);
  auto map = index.find("weight_map");
  require(map != index.end() && map->is_object() && !map->empty(),
          "{}: field 'weight_map' must be an object that names tensors", source);
  SafetensorsIndex result;
  for (const auto& item : map->items()) {
    require(item.value().is_string(), "{}: field 'weight_map': tensor {} must name a file", source,
            quote(item.key()));
    const auto& shard = item.value().get_ref<const std::string&>();
    require(is_plain_file_name(shard, ending),
            "{}: field 'weight_map': tensor {} is in {}, which is not the plain name of a {} file "
            "beside the index",
            source, quote(item.key()), quote(shard), ending);
    result[shard].insert(item.key());
  }
  return result;
}

}  // namespace millrace
