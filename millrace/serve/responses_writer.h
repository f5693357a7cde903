// Answers in the words of OpenAI's Responses API.
#pragma once

#include <memory>

#include "millrace/serve/answer.h"

namespace millrace::serve {

/// `echoed`: the members of a response that repeat its request (instructions, tools, …).
std::unique_ptr<AnswerWriter> responses_writer(Json echoed, bool scores);

}  // namespace millrace::serve
