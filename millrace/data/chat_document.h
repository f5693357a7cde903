// Conversations as token ids of which the assistant's are scored: what fine-tuning learns from.
#pragma once

#include <vector>

#include "millrace/data/conversation.h"
#include "millrace/data/token_dataset.h"
#include "millrace/text/chat_template.h"
#include "millrace/text/tokenizer.h"

namespace millrace {

/// The documents of one conversation, mostly one. A page of text is one document, scored whole.
///
/// For every scored message of the assistant the template is rendered twice: up to the question,
/// with the generation prompt, as when the model is asked; and up to the answer. The first must
/// begin the second; the rest is the answer, and its tokens are scored up to the one that ends the
/// turn (what a template writes after that nobody generates). Question and answer are tokenized
/// apart, as they are when the model runs.
///
/// Templates may rewrite what was said before: some leave out the reasoning of earlier turns. So
/// turns share a document only where a turn's tokens begin the next one's; else each has its own,
/// and the model sees every answer after exactly the ids that it will be asked with.
///
/// Throws Error that begins with the conversation's source: when the template refuses it, or when
/// an answer does not begin with the generation prompt and the template does not mark it by
/// {% generation %} either.
std::vector<Document> chat_documents(const Conversation& conversation,
                                     const ChatTemplate& chat_template, const Tokenizer& tokenizer);

}  // namespace millrace
