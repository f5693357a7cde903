// The thread that runs models: what it cancels, and what it holds on to.
#include "millrace/serve/engine.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "tests/tiny_language_model.h"

namespace millrace::serve {
namespace {

std::shared_ptr<ServedModel> tiny_model() {
  return std::make_shared<ServedModel>("tiny", tiny_language_model(byte_tokenizer(), "", 4096),
                                       SchedulerOptions());
}

/// Goes on for long, and like the requests of a service holds on to its model meanwhile.
SequenceRequest long_request(const std::shared_ptr<ServedModel>& model,
                             std::function<void()> on_token,
                             std::function<void(const Finish&)> on_finish) {
  SequenceRequest request;
  request.prompt = {'h', 'i'};
  request.max_tokens = 4000;
  request.on_token = [model, tell = std::move(on_token)](const GeneratedToken&) {
    tell();
    return true;
  };
  request.on_finish = std::move(on_finish);
  return request;
}

TEST(Engine, EndsWithoutKeepingAModelThatStillWrote) {
  std::shared_ptr<ServedModel> model = tiny_model();
  const std::weak_ptr<ServedModel> left = model;
  std::promise<void> begun;
  std::atomic<bool> told = false;
  FinishReason reason = FinishReason::failed;
  {
    Engine engine(1, [](const std::string&) {});
    std::vector<SequenceRequest> requests;
    requests.push_back(long_request(
        model,
        [&] {
          if (!told.exchange(true)) begun.set_value();
        },
        [&](const Finish& finish) { reason = finish.reason; }));
    const std::vector<Ticket> tickets = engine.reserve(1);
    engine.submit(tickets, std::move(model), std::move(requests));
    begun.get_future().wait();
  }
  EXPECT_EQ(reason, FinishReason::cancelled);
  EXPECT_TRUE(left.expired());
}

TEST(Engine, CancelsAllOfARequestThatWasJustSubmitted) {
  constexpr size_t kCount = 32;
  std::shared_ptr<ServedModel> model = tiny_model();
  std::atomic<size_t> cancelled = 0, ended = 0;
  std::promise<void> over;
  Engine engine(kCount, [](const std::string&) {});
  std::vector<SequenceRequest> requests;
  for (size_t i = 0; i < kCount; ++i) {
    requests.push_back(long_request(
        model, [] {},
        [&](const Finish& finish) {
          cancelled += finish.reason == FinishReason::cancelled;
          if (++ended == kCount) over.set_value();
        }));
  }
  const std::vector<Ticket> tickets = engine.reserve(kCount);
  engine.submit(tickets, model, std::move(requests));
  for (Ticket ticket : tickets) engine.cancel(ticket);
  over.get_future().wait();
  EXPECT_EQ(cancelled, kCount);
}

}  // namespace
}  // namespace millrace::serve
