// Any bytes as the pickle of a PyTorch file: an Error or descriptions of tensors.
#include "millrace/formats/pickle.h"

#include <cstdint>

#include "millrace/base/error.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    millrace::read_pickled_tensors(std::as_bytes(std::span(data, size)), "input");
  } catch (const millrace::Error&) {
  }
  return 0;
}
