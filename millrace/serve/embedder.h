// Embeds the texts of a call, or scores pairs of them, on the engine's thread, some at a time, so
// that answers go on between.
#pragma once

#include <functional>
#include <vector>

#include "millrace/generate/rerank.h"
#include "millrace/serve/call.h"

namespace millrace::serve {

struct EmbeddedTexts {
  std::vector<std::vector<float>> vectors;  ///< one each; of a pair its score alone
  int64_t num_tokens = 0;
};

/// Calls `done` within `call->run`, from the engine's thread. Throws ApiError for an empty or too
/// long text, and for ids that the model does not have; `param` names the field.
void embed_texts(const CallPtr& call, const ModelHandle& model,
                 std::vector<std::vector<int32_t>> texts, const std::string& param,
                 std::function<void(EmbeddedTexts)> done);

/// The same for a cross-encoder's scores of pairs (generate/rerank.h).
void score_texts(const CallPtr& call, const ModelHandle& model, std::vector<TextPair> pairs,
                 const std::string& param, std::function<void(EmbeddedTexts)> done);

}  // namespace millrace::serve
