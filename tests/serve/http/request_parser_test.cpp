// What is a request, byte by byte, and what is refused before two readers could disagree on it.
#include "millrace/serve/http/request_parser.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace millrace::http {
namespace {

/// Parses one request that comes in pieces of this size; what is left over stays in `text`.
Request parse(std::string_view& text, size_t piece = 1 << 20, size_t body_limit = 1000) {
  RequestParser parser(1024);
  for (size_t given = 0; !parser.complete();) {
    const bool had_head = parser.has_head();
    const size_t taken = parser.feed(text.substr(0, given));
    text.remove_prefix(taken);
    given -= taken;
    if (parser.has_head() && !had_head) {
      parser.limit_body(body_limit);
      continue;
    }
    if (parser.complete()) break;
    require(given < text.size(), "the text ends before the request");
    given = std::min(given + piece, text.size());
  }
  return std::move(parser.request());
}

/// The status of the refusal; 0: none, -1: more is waited for.
int status_of(std::string_view text, size_t piece = 1 << 20) {
  try {
    parse(text, piece);
    return 0;
  } catch (const Refusal& refusal) {
    return refusal.status();
  } catch (const Error&) {
    return -1;
  }
}

TEST(RequestParser, ReadsARequestInPiecesOfAnySize) {
  for (size_t piece : {1, 2, 3, 7, 1000}) {
    std::string_view text =
        "\r\nPOST /a%20b?x=1 HTTP/1.1\r\nHost: here\r\nX-Empty:\r\nx-two:  a b \r\n"
        "Transfer-Encoding: Chunked\r\n\r\n"
        "3;name=value\r\nabc\r\n00A\r\n0123456789\r\n0\r\nHost: trailer\r\n\r\nGET /next";
    const Request request = parse(text, piece);
    EXPECT_EQ(request.method, "POST");
    EXPECT_EQ(request.path, "/a b");
    EXPECT_EQ(request.query.at("x"), "1");
    EXPECT_EQ(request.headers.get("HOST"), "here") << "a trailer is not a header";
    EXPECT_EQ(request.headers.get("X-Two"), "a b");
    EXPECT_TRUE(request.headers.has("x-empty"));
    EXPECT_EQ(request.body, "abc0123456789");
    EXPECT_EQ(text, "GET /next");
  }
}

TEST(RequestParser, TakesOneOfPipelinedRequestsAfterTheOther) {
  std::string_view text =
      "PUT /1 HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nok"
      "GET /2 HTTP/1.1\r\nHost: h\r\n\r\nGET /3 HTTP/1.0\r\n\r\n";
  EXPECT_EQ(parse(text).body, "ok");
  EXPECT_EQ(parse(text).path, "/2");
  EXPECT_EQ(parse(text).path, "/3");
  EXPECT_EQ(text, "");
}

TEST(RequestParser, AnAbsoluteFormsHostWins) {
  std::string_view text = "GET http://b/x HTTP/1.1\r\nHost: a\r\n\r\n";
  EXPECT_EQ(parse(text).headers.get("Host"), "b");
}

std::string head(const char* rest) {
  return std::string("POST / HTTP/1.1\r\nHost: h\r\n") + rest;
}
std::string chunks(const char* rest) {
  return head("Transfer-Encoding: chunked\r\n\r\n") + rest;
}

struct Refused {
  std::string text;
  int status = 400;
};

class RequestParserRefuses : public testing::TestWithParam<Refused> {};

TEST_P(RequestParserRefuses, InPiecesOfAnySize) {
  EXPECT_EQ(status_of(GetParam().text), GetParam().status) << GetParam().text;
  EXPECT_EQ(status_of(GetParam().text, 1), GetParam().status) << GetParam().text;
}

INSTANTIATE_TEST_SUITE_P(
    Lengths, RequestParserRefuses,
    testing::Values(
        Refused{head("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n")},
        Refused{head("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n")},
        Refused{head("Content-Length: 3\r\nContent-Length: 4\r\n\r\n")},
        Refused{head("Content-Length: 3\r\nContent-Length: 3\r\n\r\n")},
        Refused{head("Content-Length: 3, 3\r\n\r\n")}, Refused{head("Content-Length: +3\r\n\r\n")},
        Refused{head("Content-Length: -3\r\n\r\n")}, Refused{head("Content-Length: 0x3\r\n\r\n")},
        Refused{head("Content-Length:\r\n\r\n")}, Refused{head("Content-Length: 3 4\r\n\r\n")},
        Refused{head("Content-Length: 99999999999999999999\r\n\r\n")},
        Refused{head("Content-Length: 1001\r\n\r\n"), 413},
        Refused{head("Content-Length: 18446744073709551615\r\n\r\n"), 413},
        Refused{head("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n")},
        Refused{head("Transfer-Encoding: gzip\r\n\r\n"), 501},
        Refused{head("Transfer-Encoding: gzip, chunked\r\n\r\n"), 501},
        Refused{head("Transfer-Encoding: xchunked\r\n\r\n"), 501},
        Refused{head("Transfer-Encoding:\r\n\r\n"), 501},
        Refused{"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}));

INSTANTIATE_TEST_SUITE_P(
    Chunks, RequestParserRefuses,
    testing::Values(Refused{chunks("x\r\n")}, Refused{chunks("-1\r\nab\r\n")},
                    Refused{chunks("2 \r\nab\r\n")}, Refused{chunks("0x2\r\nab\r\n\r\n")},
                    Refused{chunks("2\nab\r\n0\r\n\r\n")}, Refused{chunks("2\r\nabc\r\n0\r\n\r\n")},
                    Refused{chunks("2\r\nab\n0\r\n\r\n1234")}, Refused{chunks("\r\n")},
                    Refused{chunks("fffffffffffffffff\r\n")},
                    Refused{chunks("ffffffffffffffff\r\n"), 413}, Refused{chunks("3e9\r\n"), 413},
                    Refused{chunks("0\r\nbad trailer\r\n\r\n")}));

INSTANTIATE_TEST_SUITE_P(
    Lines, RequestParserRefuses,
    testing::Values(Refused{"GET / HTTP/1.1\nHost: h\n\n"},
                    Refused{"GET / HTTP/1.1\r\nHost: h\n\r\n"},
                    Refused{"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n"},
                    Refused{"GET / HTTP/1.1\r\nHost: h\r\r\n\r\n"},
                    Refused{"GET / HTTP/1.1\r\nHost: h\r\n folded\r\n\r\n"},
                    Refused{"GET / HTTP/1.1\r\nHost: h\r\n\tfolded\r\n\r\n"},
                    Refused{"GET / HTTP/1.1\r\n Host: h\r\n\r\n"},
                    Refused{head("Name : x\r\n\r\n")}, Refused{head("Name\r\n\r\n")},
                    Refused{head(": x\r\n\r\n")}, Refused{head("a(b): x\r\n\r\n")},
                    Refused{head("X: a\x01\r\n\r\n")}, Refused{head("X: \x7f\r\n\r\n")},
                    Refused{"GET / HTTP/1.1\r\n\r\n"},
                    Refused{"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"},
                    Refused{head("Authorization: a\r\nAuthorization: b\r\n\r\n")},
                    Refused{head("Expect: a-miracle\r\n\r\n"), 417}));

INSTANTIATE_TEST_SUITE_P(RequestLines, RequestParserRefuses,
                         testing::Values(Refused{"\x16\x03\x01\x02\x01\x01"},
                                         Refused{"GET /\r\n\r\n"},
                                         Refused{"GET  / HTTP/1.1\r\nHost: h\r\n\r\n"},
                                         Refused{"GET / x HTTP/1.1\r\nHost: h\r\n\r\n", 505},
                                         Refused{"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
                                         Refused{"GET / HTTP/1.2\r\nHost: h\r\n\r\n", 505},
                                         Refused{"GET / HTTP/0.9\r\nHost: h\r\n\r\n", 505},
                                         Refused{"GET / http/1.1\r\nHost: h\r\n\r\n", 505},
                                         Refused{"G@T / HTTP/1.1\r\nHost: h\r\n\r\n"},
                                         Refused{"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n"},
                                         Refused{"GET /../x HTTP/1.1\r\nHost: h\r\n\r\n"},
                                         Refused{"GET x HTTP/1.1\r\nHost: h\r\n\r\n"},
                                         Refused{"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n"}));

TEST(RequestParser, ANulIsRefused) {
  using namespace std::string_view_literals;
  EXPECT_EQ(status_of("GET /\0 HTTP/1.1\r\nHost: h\r\n\r\n"sv), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\0h\r\n\r\n"sv), 400);
}

TEST(RequestParser, ALongHeadIsRefusedWhileItComes) {
  EXPECT_EQ(status_of("GET /" + std::string(1100, 'a')), 414);
  EXPECT_EQ(status_of(head("X: ") + std::string(1100, 'a')), 431);
  std::string many = head("");
  while (many.size() < 1100) many += "a: b\r\n";
  EXPECT_EQ(status_of(many), 431);
}

TEST(RequestParser, ALongChunkHeaderIsRefusedWhileItComes) {
  EXPECT_EQ(status_of(chunks("1;") + std::string(1100, 'a')), 400);
  EXPECT_EQ(status_of(chunks("0\r\nX: ") + std::string(1100, 'a')), 400);
}

}  // namespace
}  // namespace millrace::http
