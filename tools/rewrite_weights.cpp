// Reads a weights file or folder and writes it again: what tools/check_formats.py shows to the
// Python libraries.  rewrite_weights IN OUT [MAX_FILE_BYTES]
#include <cstdio>
#include <cstdlib>

#include "millrace/formats/gguf.h"
#include "millrace/formats/safetensors.h"

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: rewrite_weights IN OUT [MAX_FILE_BYTES]\n");
    return 2;
  }
  const std::filesystem::path in = argv[1], out = argv[2];
  const uint64_t max_file_bytes = argc > 3 ? std::strtoull(argv[3], nullptr, 10) : 0;
  try {
    if (in.extension() == ".gguf") {
      millrace::GgufFile file = millrace::read_gguf(in);
      millrace::write_gguf(out, file.metadata, millrace::sources_of(file.tensors), max_file_bytes);
    } else {
      millrace::SafetensorsFile file = millrace::read_safetensors_folder(in);
      millrace::write_safetensors_folder(out, millrace::sources_of(file.tensors), file.metadata,
                                         max_file_bytes);
    }
  } catch (const millrace::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
