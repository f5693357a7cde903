// Any bytes as a PyTorch file: an Error or tensors that can be read.
#include "millrace/formats/pytorch.h"

#include "fuzz/read_tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    millrace::read_tensors(
        millrace::parse_pytorch(std::as_bytes(std::span(data, size)), "input", nullptr));
  } catch (const millrace::Error&) {
  }
  return 0;
}
