// Any bytes as the body of a chat's request: its fields are read, or refused with an ApiError.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "millrace/serve/chat.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace millrace::serve;
  try {
    const millrace::Json body =
        parse_body(std::string_view(reinterpret_cast<const char*>(data), size));
    Fields fields(body);
    AnswerRequest request;
    Chat chat;
    read_sampling(fields, request);
    read_tools(fields, chat);
    read_format(fields);
    fields.unread();
  } catch (const ApiError&) {
  }
  return 0;
}
