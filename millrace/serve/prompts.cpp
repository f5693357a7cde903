#include "millrace/serve/prompts.h"

#include <algorithm>
#include <limits>

#include "millrace/serve/api_error.h"
#include "millrace/text/infill_tokens.h"

namespace millrace::serve {
namespace {

constexpr size_t kMaxPrompts = 2048;

std::vector<int32_t> read_ids(const Json& list, const std::string& param) {
  std::vector<int32_t> ids;
  for (const Json& id : list) {
    // Whether the model has such an id is checked where the model is known.
    const bool fits = id.is_number_integer() &&
                      (!id.is_number_unsigned() || id.get<uint64_t>() <= (uint64_t{1} << 31) - 1);
    if (!fits || id.get<int64_t>() < 0) {
      throw invalid_request(param, fmt::format("has {}, which is no token id", id.dump()));
    }
    ids.push_back(id.get<int32_t>());
  }
  return ids;
}

}  // namespace

std::vector<std::vector<int32_t>> read_prompts(const Json& value, const std::string& param,
                                               const Tokenizer& tokenizer) {
  auto encode = [&](const Json& text) {
    return tokenizer.encode(text.get_ref<const std::string&>());
  };
  if (value.is_string()) return {encode(value)};
  if (!value.is_array() || value.empty()) {
    throw invalid_request(param, "must be a string, a list of strings, or token ids",
                          "invalid_type");
  }
  if (value.front().is_number()) return {read_ids(value, param)};
  if (value.size() > kMaxPrompts) {
    throw invalid_request(
        param, fmt::format("has {} entries; {} are the most", value.size(), kMaxPrompts));
  }
  std::vector<std::vector<int32_t>> prompts;
  for (const Json& one : value) {
    if (one.is_string()) {
      prompts.push_back(encode(one));
    } else if (one.is_array()) {
      prompts.push_back(read_ids(one, param));
    } else {
      throw invalid_request(param, "must be a string, a list of strings, or token ids",
                            "invalid_type");
    }
  }
  return prompts;
}

void add_suffix(std::vector<std::vector<int32_t>>& prompts, const std::string& suffix,
                const Tokenizer& tokenizer) {
  const std::optional<InfillTokens> marks = infill_tokens(tokenizer);
  if (!marks) {
    throw invalid_request("suffix", "needs a model that has learned to fill in a middle",
                          "unsupported_parameter");
  }
  const std::vector<int32_t> after =
      tokenizer.encode(suffix, {.add_special = false, .parse_special = false});
  for (auto& ids : prompts) {
    const bool begun = !ids.empty() && ids.front() == tokenizer.bos();
    ids.insert(ids.begin() + (begun ? 1 : 0), marks->prefix);
    ids.push_back(marks->suffix);
    ids.insert(ids.end(), after.begin(), after.end());
    ids.push_back(marks->middle);
  }
}

}  // namespace millrace::serve
