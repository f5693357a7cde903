// What the load consists of.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <string_view>

namespace millrace::load {

struct RequestOptions {
  std::string host = "127.0.0.1";
  std::string model, key;
  int64_t prompt_words = 32;
  int64_t max_tokens = 64;
  bool same_prompt = false;  ///< all alike, so that a prefix cache finds it
  bool mixed = false;        ///< every API and length, wrong requests among them
};

using Random = std::mt19937_64;

/// A whole request as bytes: a streamed chat completion that goes on past end tokens and tells its
/// usage; of `mixed`, any request that a server of Millrace answers.
std::string next_request(const RequestOptions& options, Random& random);

/// A request without a body.
std::string get_request(const RequestOptions& options, std::string_view path);

}  // namespace millrace::load
