// Any bytes as a GGUF file: an Error or tensors that can be read.
#include "millrace/formats/gguf.h"

#include "fuzz/read_tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    std::span<const std::byte> bytes = std::as_bytes(std::span(data, size));
    millrace::read_tensors(millrace::parse_gguf(bytes, "input", nullptr).tensors);
  } catch (const millrace::Error&) {
  }
  return 0;
}
