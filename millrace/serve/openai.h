// The routes of OpenAI's API, and those that others added to it.
#pragma once

#include "millrace/serve/call.h"

namespace millrace::serve {

void chat_completions(const CallPtr& call);
void completions(const CallPtr& call);
void embeddings(const CallPtr& call);
void rerank(const CallPtr& call);
void list_models(const CallPtr& call);
void show_model(const CallPtr& call);
void load_model_route(const CallPtr& call);
void unload_model_route(const CallPtr& call);
void tokenize(const CallPtr& call);
void detokenize(const CallPtr& call);

}  // namespace millrace::serve
