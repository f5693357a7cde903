// Loads a model, a folder or a .gguf file, and talks: one answer to each line of input.
#include <millrace/generate/language_model.h>

#include <iostream>

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: chat MODEL\n";
    return 2;
  }
  millrace::LanguageModel model = millrace::open_language_model(argv[1]);
  millrace::Json messages = millrace::Json::array();
  for (std::string line; std::getline(std::cin, line);) {
    messages.push_back({{"role", "user"}, {"content", line}});
    millrace::Generation answer =
        millrace::generate(model, millrace::chat_prompt(model, messages), {},
                           [](std::string_view text) { std::cout << text << std::flush; });
    std::cout << "\n";
    messages.push_back({{"role", "assistant"}, {"content", answer.text}});
  }
} catch (const std::exception& error) {
  std::cerr << "chat: " << error.what() << "\n";
  return 1;
}
