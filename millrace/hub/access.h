// A hub's endpoint and the token that it is asked with, from the environment or a file.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "millrace/hub/http.h"
#include "millrace/hub/reference.h"

namespace millrace::hub {

/// As std::getenv.
using Environment = std::function<const char*(const char* name)>;

struct Access {
  Source source = Source::url;
  std::string endpoint;              ///< "https://huggingface.co", without a slash at the end
  std::string token;                 ///< empty: none
  std::filesystem::path token_file;  ///< where one would be

  /// The headers that carry the token.
  Headers secrets() const;
};

/// Of a hub: MILLRACE_HF_ENDPOINT and the token of MILLRACE_HF_TOKEN, HF_TOKEN or the file hf-token
/// in `home`; MILLRACE_MS_ENDPOINT, MILLRACE_MS_TOKEN, MODELSCOPE_API_TOKEN, ms-token. Throws Error
/// for an endpoint that is no URL, and for a token file that others may read (its mode must be
/// 0600) or that is not one line.
Access access_of(Source source, const std::filesystem::path& home, const Environment& environment);

/// Throws Error that says what a refusal (401, 403, 404, another status that is no success) means
/// and what to do; PassingError where it may pass.
void check_allowed(const Reply& reply, const Access& access, const std::string& what);

}  // namespace millrace::hub
