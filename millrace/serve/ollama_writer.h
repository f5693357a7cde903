// Answers in the words of Ollama's API: a JSON object, or a stream of them, one a line.
#pragma once

#include <memory>

#include "millrace/serve/answer.h"

namespace millrace::serve {

/// Of /api/chat, or else of /api/generate.
std::unique_ptr<AnswerWriter> ollama_writer(bool chat);

/// "2026-01-31T12:00:00Z".
std::string timestamp(int64_t seconds);

}  // namespace millrace::serve
