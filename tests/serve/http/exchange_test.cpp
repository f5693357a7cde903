// What a handler may do with its exchange in any order, and what the connection gets to see.
#include "millrace/serve/http/exchange.h"

#include <gtest/gtest.h>

#include <optional>

#include "millrace/serve/http/answer.h"

namespace millrace::http {
namespace {

class ExchangeTest : public testing::Test {
 protected:
  int wakes_ = 0;
  std::shared_ptr<Answer> answer_ = std::make_shared<Answer>(10, [this] { ++wakes_; });
  std::optional<Exchange> exchange_{answer_};
};

TEST_F(ExchangeTest, OnlyTheFirstAnswerCounts) {
  exchange_->respond({201, {}, "a"});
  exchange_->respond({500, {}, "b"});
  exchange_->begin_stream({200, {}, ""});
  EXPECT_FALSE(exchange_->write("c"));
  exchange_.reset();
  const Answer::Output output = answer_->take();
  EXPECT_EQ(output.head->status, 201);
  EXPECT_EQ(output.head->body, "a");
  EXPECT_TRUE(output.complete && !output.stream && !output.broken);
  EXPECT_EQ(output.bytes, "");
  EXPECT_EQ(wakes_, 1);
  EXPECT_FALSE(answer_->take().head.has_value());
}

TEST_F(ExchangeTest, AStreamIsTakenAsItGrows) {
  EXPECT_FALSE(exchange_->write("before it begins"));
  exchange_->begin_stream({200, {}, "a"});
  EXPECT_TRUE(exchange_->write("b"));
  Answer::Output output = answer_->take();
  EXPECT_TRUE(output.head && output.stream && !output.complete);
  EXPECT_EQ(output.bytes, "ab");
  exchange_->write("c");
  exchange_->finish();
  EXPECT_FALSE(exchange_->write("d"));
  output = answer_->take();
  EXPECT_EQ(output.bytes, "c");
  EXPECT_TRUE(output.complete && !output.head);
  EXPECT_EQ(wakes_, 2);
}

TEST_F(ExchangeTest, AFullQueueBreaksTheStream) {
  exchange_->begin_stream({200, {}, ""});
  EXPECT_TRUE(exchange_->write("longer than the queue, but alone in it"));
  EXPECT_FALSE(exchange_->write("b"));
  EXPECT_TRUE(exchange_->closed());
  EXPECT_TRUE(answer_->take().broken);
  EXPECT_FALSE(exchange_->write("c"));
}

TEST_F(ExchangeTest, AForgottenExchangeIsBroken) {
  Exchange copy = *exchange_;
  exchange_.reset();
  EXPECT_FALSE(answer_->take().broken);
  exchange_ = copy;
  EXPECT_FALSE(answer_->take().broken);
  exchange_.reset();
  { const Exchange last = std::move(copy); }
  EXPECT_TRUE(answer_->take().broken);
}

TEST_F(ExchangeTest, ClosingIsToldOnce) {
  int told = 0;
  exchange_->on_close([&] { ++told; });
  answer_->close();
  answer_->close();
  EXPECT_EQ(told, 1);
  EXPECT_TRUE(exchange_->closed());
  exchange_->on_close([&] { ++told; });
  EXPECT_EQ(told, 2) << "at once when it has already happened";
  exchange_->respond({200, {}, ""});
  EXPECT_FALSE(answer_->take().head.has_value());
}

TEST_F(ExchangeTest, ClosingACompleteAnswerIsNotTold) {
  int told = 0;
  exchange_->on_close([&] { ++told; });
  exchange_->respond({200, {}, ""});
  answer_->close();
  EXPECT_EQ(told, 0);
}

TEST_F(ExchangeTest, TheEndBreaksAStreamOff) {
  int told = 0;
  exchange_->on_close([&] { ++told; });
  exchange_->begin_stream({200, {}, "a"});
  answer_->end({503, {}, ""});
  EXPECT_FALSE(exchange_->write("b"));
  const Answer::Output output = answer_->take();
  EXPECT_EQ(output.bytes, "a");
  EXPECT_TRUE(output.broken);
  EXPECT_FALSE(output.complete);
  EXPECT_EQ(told, 1);
}

TEST_F(ExchangeTest, TheEndAnswersWhatHasNoAnswer) {
  answer_->end({503, {}, ""});
  exchange_->respond({200, {}, ""});
  const Answer::Output output = answer_->take();
  EXPECT_EQ(output.head->status, 503);
  EXPECT_EQ(output.bytes, "");
}

TEST_F(ExchangeTest, ACallbackMayHoldTheExchange) {
  exchange_->on_close([copy = *exchange_] { copy.finish(); });
  exchange_.reset();
  EXPECT_FALSE(answer_->take().broken);
  answer_->close();
  exchange_.emplace(answer_);
  exchange_->on_close([] {});
}

}  // namespace
}  // namespace millrace::http
