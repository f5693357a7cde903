// Runs the API tests of this folder's .api files, each file's against a service of its own.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/api/case_file.h"
#include "tests/api/match.h"
#include "tests/http_client.h"
#include "tests/served_model.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;

const fs::path kFolder = fs::path(MILLRACE_SOURCE_DIR) / "tests/api";

using Differences = std::vector<std::string>;

void append(Differences& all, const Differences& more, const std::string& before) {
  for (const std::string& one : more) all.push_back(before + one);
}

/// A part of a stream as it came.
struct StreamPart {
  std::string name;  ///< of the event
  std::string text;  ///< its data, a line of JSON, or a comment
  bool comment = false;
};

StreamPart stream_part(const std::string& event) {
  StreamPart part;
  for (std::string_view rest = event; !rest.empty();) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    if (line.starts_with("event: ")) part.name = line.substr(7);
    if (line.starts_with("data: ")) part.text += line.substr(6);
    if (line.starts_with(":")) {
      part.text = line.substr(std::min<size_t>(2, line.size()));
      part.comment = true;
    }
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }
  return part;
}

std::vector<StreamPart> read_stream(HttpClient& client, bool lines) {
  std::vector<StreamPart> parts;
  while (auto event = client.next_event(lines ? "\n" : "\n\n")) {
    parts.push_back(lines ? StreamPart{"", *event, false} : stream_part(*event));
  }
  return parts;
}

/// How JSON, or with `[DONE]` and its like plain text, differs from what is expected.
Differences data_differences(const std::string& expected, const std::string& actual,
                             Variables& variables) {
  if (expected.empty() || expected == actual) return {};
  const Json json = Json::parse(actual, nullptr, false);
  if (json.is_discarded()) return {fmt::format("{}, which is no JSON", actual.substr(0, 300))};
  return differences(Json::parse(substitute(expected, variables)), json, variables);
}

Differences part_differences(const ExpectedPart& expected, const StreamPart& actual,
                             Variables& variables) {
  using Kind = ExpectedPart::Kind;
  const bool comment = expected.kind == Kind::comment;
  if (actual.comment != comment) return {comment ? "is no comment" : "is a comment"};
  if (comment) return text_differences(expected.text, actual.text, variables);
  if (expected.kind == Kind::event && actual.name != expected.name) {
    return {fmt::format("is the event {}, must be {}", quote(actual.name), quote(expected.name))};
  }
  if (expected.kind == Kind::data && !actual.name.empty()) {
    return {fmt::format("is the event {}, must have no name", quote(actual.name))};
  }
  return data_differences(expected.text, actual.text, variables);
}

/// Compares a stream with the expected sequence: each part takes what it must, then `*` and `+` as
/// many more as match.
Differences stream_differences(const std::vector<ExpectedPart>& expected,
                               const std::vector<StreamPart>& actual, Variables& variables) {
  size_t at = 0;
  auto try_next = [&](const ExpectedPart& part) {
    if (at == actual.size()) return Differences{"the stream has ended"};
    Variables noted = variables;  // kept only when it matches
    Differences found = part_differences(part, actual[at], noted);
    if (found.empty()) {
      variables = std::move(noted);
      ++at;
    }
    return found;
  };
  for (const ExpectedPart& part : expected) {
    Differences found;
    if (part.times != ExpectedPart::Times::any) found = try_next(part);
    if (!found.empty()) {
      Differences out;
      const std::string came = at < actual.size() ? actual[at].text.substr(0, 300) : "nothing";
      append(out, found, fmt::format("line {}, part {} of the stream: ", part.line, at));
      out.push_back("  which is " + came);
      return out;
    }
    while (part.times != ExpectedPart::Times::once && try_next(part).empty()) {
    }
  }
  if (at == actual.size()) return {};
  return {fmt::format("the stream goes on with {} {}", actual[at].name,
                      actual[at].text.substr(0, 300))};
}

/// One file's requests against one service, which keeps what was noted for later requests.
class CaseRun {
 public:
  CaseRun(const CaseFile& file, int port) : file_(file), port_(port) {}

  void run() {
    for (const ApiRequest& request : file_.requests) run(request, 0);
  }

 private:
  void run(const ApiRequest& request, size_t loop) {
    if (loop < request.loops.size()) {
      const auto& [name, values] = request.loops[loop];
      for (const std::string& value : values) {
        // Within JSON it stands as it is written.
        loop_values_[name] = value;
        run(request, loop + 1);
      }
      loop_values_.erase(name);
      return;
    }
    std::string where =
        fmt::format("{}:{}: {}", file_.path.string(), request.line - 1, request.title);
    for (const auto& [name, value] : loop_values_) where += fmt::format(" [{}={}]", name, value);
    try {
      for (const std::string& one : ask(request)) ADD_FAILURE() << where << "\n  " << one;
    } catch (const std::exception& error) {
      ADD_FAILURE() << where << "\n  " << error.what();
    }
  }

  std::string filled(std::string text) const {
    for (const auto& [name, value] : loop_values_) {
      const std::string mark = "${" + name + "}";
      for (size_t at; (at = text.find(mark)) != std::string::npos;) {
        text.replace(at, mark.size(), value);
      }
    }
    return substitute(text, variables_);
  }

  Differences ask(const ApiRequest& request) {
    HttpClient client(port_);
    HttpHeaders headers = request.headers;
    for (auto& [name, value] : headers) {
      name = filled(name);
      value = filled(value);
    }
    const std::string method = filled(request.method);
    if (method == "POST") headers.emplace_back("Content-Type", "application/json");
    client.send(method, filled(request.path), headers, filled(request.body));
    const HttpAnswer answer = client.head();
    if (answer.status != request.status) {
      return {fmt::format("the status is {}, must be {}: {}", answer.status, request.status,
                          client.rest().substr(0, 500))};
    }
    Differences out;
    for (const auto& [name, value] : request.expected_headers) {
      append(out, text_differences(filled(value), answer.header(name), variables_), name + ": ");
    }
    append(out, body_differences(request, client), "");
    return out;
  }

  Differences body_differences(const ApiRequest& request, HttpClient& client) {
    std::vector<ExpectedPart> parts = request.parts;
    for (ExpectedPart& part : parts) {
      for (const auto& [name, value] : loop_values_) {
        const std::string mark = "${" + name + "}";
        for (size_t at; (at = part.text.find(mark)) != std::string::npos;) {
          part.text.replace(at, mark.size(), value);
        }
      }
    }
    if (request.is_stream()) {
      const bool lines = request.parts.front().kind == ExpectedPart::Kind::line;
      Differences out = stream_differences(parts, read_stream(client, lines), variables_);
      if (!client.complete()) out.push_back("the stream broke off");
      return out;
    }
    const std::string body = client.rest();
    if (parts.empty()) return {};
    if (parts.front().kind == ExpectedPart::Kind::text) {
      return text_differences(substitute(parts.front().text, variables_), body, variables_);
    }
    return data_differences(parts.front().text, body, variables_);
  }

  const CaseFile& file_;
  int port_;
  std::map<std::string, std::string> loop_values_;
  Variables variables_;
};

std::vector<fs::path> case_files() {
  std::vector<fs::path> files;
  for (const auto& file : fs::directory_iterator(kFolder)) {
    if (file.path().extension() == ".api") files.push_back(file.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class Api : public testing::TestWithParam<fs::path> {};

TEST_P(Api, AnswersAsTheFileSays) {
  const CaseFile file = read_case_file(GetParam());
  TinyService service(file.settings);
  CaseRun(file, service.port()).run();
}

INSTANTIATE_TEST_SUITE_P(Files, Api, testing::ValuesIn(case_files()), [](const auto& file) {
  std::string name = file.param.stem().string();
  std::replace_if(
      name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
  return name;
});

}  // namespace
}  // namespace millrace
