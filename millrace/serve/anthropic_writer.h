// Answers in the words of Anthropic's API: a message, or the events of one.
#pragma once

#include <memory>

#include "millrace/serve/answer.h"

namespace millrace::serve {

std::unique_ptr<AnswerWriter> anthropic_writer();

}  // namespace millrace::serve
