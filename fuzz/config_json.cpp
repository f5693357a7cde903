// Any text as a config.json: an Error, or a configuration that is the same when written and read
// again, and from which a model can be declared.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "millrace/base/error.h"
#include "millrace/model/load.h"
#include "millrace/model/model.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace;
  ModelConfig config;
  try {
    config = parse_config({reinterpret_cast<const char*>(data), size}, "input");
  } catch (const Error&) {
    return 0;
  }
  const Family& family = family_of_model_type(config.model_type, "input");
  const Json written = family.write_config(config);
  if (family.write_config(parse_config(to_json_text(written), "written")) != written) std::abort();
  if (config.num_layers <= 16) Model model(family, config);
  return 0;
}
