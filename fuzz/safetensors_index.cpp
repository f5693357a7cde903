// Any text as a model.safetensors.index.json: an Error or shard names that stay in the folder.
#include "millrace/formats/safetensors_index.h"

#include <cstdint>
#include <cstdlib>

#include "millrace/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    std::string_view text(reinterpret_cast<const char*>(data), size);
    for (const auto& [shard, names] : millrace::parse_safetensors_index(text, "input")) {
      if (shard.find('/') != std::string::npos || names.empty()) std::abort();
    }
  } catch (const millrace::Error&) {
  }
  return 0;
}
