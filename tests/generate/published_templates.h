// The chat templates of the test data, with the syntax that is found for each.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "millrace/base/file.h"
#include "millrace/generate/chat_syntax.h"
#include "tests/generate/answer_cases.h"

namespace millrace {

struct PublishedTemplate {
  std::string name;
  std::string source;
  ChatTemplate chat_template;
  ChatSyntax syntax;
};

/// By name; none where the test data is not there.
inline std::vector<PublishedTemplate> published_templates() {
  namespace fs = std::filesystem;
  std::vector<PublishedTemplate> all;
  if (!fs::exists(chat_template_folder())) return all;
  for (const auto& entry : fs::directory_iterator(chat_template_folder())) {
    if (entry.path().extension() != ".jinja") continue;
    std::string source = read_file(entry.path());
    std::string name = entry.path().stem().string();
    ChatTemplate chat_template(source, {{"bos_token", "<s>"}, {"eos_token", "</s>"}}, name);
    ChatSyntax syntax = chat_syntax(source);
    probe_template(syntax, chat_template);
    all.push_back({name, source, chat_template, syntax});
  }
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return all;
}

/// With what FireFunction's template cannot do without.
inline ChatOptions template_options(bool generation_prompt) {
  ChatOptions options;
  options.add_generation_prompt = generation_prompt;
  options.variables = {{"functions", "[]"}, {"datetime", "now"}};
  return options;
}

}  // namespace millrace

#define SKIP_WITHOUT(templates)                                       \
  if (templates.empty()) {                                            \
    GTEST_SKIP() << "no chat templates in " << chat_template_folder() \
                 << ": set MILLRACE_TEST_DATA";                       \
  }
