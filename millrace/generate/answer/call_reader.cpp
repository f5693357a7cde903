#include "millrace/generate/answer/call_reader.h"

#include "millrace/generate/answer/json_calls.h"
#include "millrace/generate/answer/named_calls.h"
#include "millrace/generate/answer/python_calls.h"

namespace millrace {

std::unique_ptr<CallReader> make_call_reader(const ChatSyntax& syntax, char first, bool bare,
                                             AnswerOutput& output) {
  bool has_close = !syntax.marker(MarkerRole::call_close).empty();
  if (syntax.calls == CallNotation::python) {
    return std::make_unique<PythonCalls>(has_close, output);
  }
  if (syntax.calls == CallNotation::named && first != '{' && first != '[') {
    return std::make_unique<NamedCalls>(syntax, bare, output);
  }
  bool keyed = syntax.calls == CallNotation::keyed_json;
  return std::make_unique<JsonCalls>(keyed, bare, has_close, output);
}

}  // namespace millrace
