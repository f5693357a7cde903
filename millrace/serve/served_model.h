// A model that is loaded to be served: with its tokenizer, its adapters and its scheduler.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "millrace/generate/chat_syntax.h"
#include "millrace/generate/grammar/grammar_cache.h"
#include "millrace/generate/language_model.h"
#include "millrace/generate/scheduler.h"
#include "millrace/model/adapter.h"

namespace millrace::serve {

/// Does not move. The scheduler belongs to the engine's thread; all else is never changed.
struct ServedModel {
  ServedModel(std::string name, LanguageModel language, const SchedulerOptions& options);

  std::string name;
  LanguageModel language;
  ChatSyntax syntax;
  std::vector<int32_t> end_ids;
  int64_t context;  ///< longest prompt and answer together
  std::map<std::string, std::unique_ptr<Adapter>> adapters;
  std::unique_ptr<LanguageModel> draft;  ///< null: none
  GrammarCache grammars;                 ///< for constraints; any thread may use it
  Scheduler scheduler;
};

/// A model as a request names it: "NAME" or "NAME:ADAPTER". Keeps it loaded.
struct ModelHandle {
  std::shared_ptr<ServedModel> model;
  std::shared_ptr<const LowRankMap> adapter;  ///< null: none
};

}  // namespace millrace::serve
