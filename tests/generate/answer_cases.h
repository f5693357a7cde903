// What models of every family write when they think, call and talk, and what it means.
#pragma once

#include <string>
#include <vector>

#include "millrace/generate/chat_answer.h"

namespace millrace {

/// An answer as a whole: every call's deltas put together.
struct WholeAnswer {
  std::string reasoning;
  std::string content;
  std::vector<ToolCallDelta> calls;

  bool operator==(const WholeAnswer&) const = default;
};

void PrintTo(const WholeAnswer& answer, std::ostream* out);

/// Adds a delta, and checks that it keeps the rules of deltas: indices count from 0, the first of
/// a call has its id and name, and no other has.
void add_delta(WholeAnswer& answer, const AnswerDelta& delta);

struct AnswerCase {
  std::string name;
  std::string template_file;  // of the test data's chat templates; or a template's source
  std::string text;           // what the model says
  std::string reasoning;
  std::string content;
  std::vector<std::pair<std::string, std::string>> calls;  // name and arguments
  std::string prompt_tail;
};

/// get_weather(city: string, days: integer), run(code: string, options: object, fast: boolean),
/// now().
Json test_tools();

const std::vector<AnswerCase>& answer_cases();

/// Where the chat templates of the test data are.
std::string chat_template_folder();

}  // namespace millrace
