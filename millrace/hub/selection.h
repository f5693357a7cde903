// Which files of a repository a pull takes.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "millrace/hub/listing.h"

namespace millrace::hub {

struct Patterns {
  std::vector<std::string> include, exclude;  ///< shell patterns; * matches slashes too
  std::string variant;                        ///< a quantisation, such as Q4_K_M
};

/// The files to take. With `include`, those that match one of its patterns; without, what a model
/// needs: the weights in the best format that there is (safetensors, else PyTorch's, else GGUF) and
/// what is no weights; of a GGUF repository the files of `variant`. Throws Error where nothing is
/// left, and where a GGUF repository holds several models and nothing says which.
std::vector<RemoteFile> select_files(const std::vector<RemoteFile>& files, const Patterns& patterns,
                                     const std::string& what);

/// A GGUF file's name without ".gguf" and without the number of a split's part ("-00001-of-00003").
std::string gguf_model(std::string_view path);

}  // namespace millrace::hub
