// Poems made into training files: pages to pre-train on, requests with answers to fine-tune on, and
// requests that a finished model is asked.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "millrace/base/json.h"
#include "millrace/data/prepare.h"

namespace millrace {

struct PoetryOptions {
  /// Forms of which pages are written; empty: all.
  std::vector<std::string> forms;
  /// Forms of which requests are written.
  std::vector<std::string> request_forms = {"五言绝句", "七言绝句", "五言律诗", "七言律诗"};
  /// Requests with answers for each poem to fine-tune on.
  int64_t requests_per_poem = 1;
  /// Requests to ask a finished model, equally many 五言绝句 and 七言绝句 as far as there are.
  int64_t num_eval_requests = 200;
  uint64_t seed = 0;
};

/// Reads poems (.jsonl or .json, plain or .zst) to train on and to hold out, and writes into
/// `folder`:
///   pretrain.jsonl      {"text": page} of the training poems, in their order
///   heldout.jsonl       {"text": page} of the held-out poems
///   instructions.jsonl  {"messages": [user, assistant]}, OpenAI's fine-tuning format
///   heldout-instructions.jsonl   the same of the held-out poems
///   requests.jsonl      {"request", "form", "title"} of held-out poems whose title no training
///                       poem has
///   report.json         what report is returned: poems, characters and requests by form
/// The same input, options and seed give the same bytes. Throws Error naming file, line and field;
/// then no file is written.
Json prepare_poetry(const std::vector<std::filesystem::path>& train,
                    const std::vector<std::filesystem::path>& heldout,
                    const std::filesystem::path& folder, const PoetryOptions& options = {},
                    const PrepareCallback& progress = nullptr);

}  // namespace millrace
