#include "tests/cli/program.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>

#include "millrace/base/file.h"
#include "tests/scratch.h"

namespace millrace {
namespace {

void redirect(int descriptor, const std::filesystem::path& path, int flags) {
  const int file = ::open(path.c_str(), flags, 0644);
  if (file < 0 || ::dup2(file, descriptor) < 0) ::_exit(126);
  if (file != descriptor) ::close(file);
}

/// In the new process: never returns.
[[noreturn]] void become(const std::filesystem::path& program,
                         const std::vector<std::string>& arguments,
                         const Surroundings& surroundings, const ScratchFolder& files) {
  redirect(STDOUT_FILENO, files / "out", O_WRONLY | O_CREAT);
  redirect(STDERR_FILENO, files / "err", O_WRONLY | O_CREAT);
  if (surroundings.input) {
    redirect(STDIN_FILENO, files / "in", O_RDONLY);
  } else {
    ::close(STDIN_FILENO);
  }
  for (const auto& [name, value] : surroundings.environment) {
    ::setenv(name.c_str(), value.c_str(), 1);
  }
  if (!surroundings.folder.empty() && ::chdir(surroundings.folder.c_str()) != 0) ::_exit(126);
  std::vector<char*> argv = {const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  ::alarm(300);
  ::execv(program.c_str(), argv.data());
  ::_exit(127);
}

}  // namespace

Outcome run_program(const std::filesystem::path& program, const std::vector<std::string>& arguments,
                    const Surroundings& surroundings) {
  const ScratchFolder files;
  files.write("in", surroundings.input.value_or(""));
  const pid_t child = ::fork();
  if (child == 0) become(program, arguments, surroundings, files);
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child) {
    ADD_FAILURE() << "cannot start " << program;
    return {};
  }
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status),
          read_file(files / "out"), read_file(files / "err")};
}

Outcome millrace_program(const std::vector<std::string>& arguments,
                         const Surroundings& surroundings) {
  return run_program(MILLRACE_PROGRAM, arguments, surroundings);
}

Json millrace_json(std::vector<std::string> arguments, const Surroundings& surroundings) {
  arguments.push_back("--json");
  const Outcome outcome = millrace_program(arguments, surroundings);
  EXPECT_EQ(outcome.status, 0) << to_json_text(arguments) << "\n" << outcome.err;
  Json json = Json::parse(outcome.out, nullptr, false);
  EXPECT_FALSE(json.is_discarded()) << outcome.out;
  return json.is_discarded() ? Json() : json;
}

}  // namespace millrace
