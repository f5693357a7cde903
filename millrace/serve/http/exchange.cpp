#include "millrace/serve/http/exchange.h"

#include "millrace/serve/http/answer.h"

namespace millrace::http {

void Answer::signal() {
  if (!std::exchange(signalled_, true) && wake_) wake_();
}

bool Answer::begin(Response response, bool stream) {
  if (begun_ || closed_) return false;
  begun_ = true;
  stream_ = stream;
  complete_ = !stream;
  head_ = std::move(response);
  signal();
  return true;
}

void Answer::respond(Response response) {
  const std::lock_guard lock(mutex_);
  begin(std::move(response), false);
}

void Answer::begin_stream(Response head) {
  const std::lock_guard lock(mutex_);
  std::string first = std::exchange(head.body, {});
  if (begin(std::move(head), true)) bytes_ = std::move(first);
}

bool Answer::write(std::string_view chunk) {
  const std::lock_guard lock(mutex_);
  if (!stream_ || complete_ || closed_ || broken_) return false;
  if (!bytes_.empty() && bytes_.size() + chunk.size() > queue_bytes_) {
    broken_ = true;  // a slow reader must not hold our memory
    signal();
    return false;
  }
  bytes_ += chunk;
  signal();
  return true;
}

void Answer::finish() {
  const std::lock_guard lock(mutex_);
  if (!stream_ || complete_) return;
  complete_ = true;
  signal();
}

bool Answer::closed() const {
  const std::lock_guard lock(mutex_);
  return closed_ || broken_;
}

// Callbacks are called, and destroyed, without the lock: they may hold an Exchange.
void Answer::on_close(std::function<void()> callback) {
  {
    const std::lock_guard lock(mutex_);
    if (!closed_) {
      if (!complete_) on_close_.swap(callback);
      return;
    }
  }
  callback();
}

void Answer::abandon() {
  const std::lock_guard lock(mutex_);
  if (complete_) return;
  broken_ = true;
  signal();
}

Answer::Output Answer::take() {
  const std::lock_guard lock(mutex_);
  signalled_ = false;
  Output output{std::move(head_), stream_, std::move(bytes_), complete_, broken_};
  head_.reset();
  bytes_.clear();
  return output;
}

void Answer::close() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    wake_ = nullptr;
    callback.swap(on_close_);
    if (std::exchange(closed_, true) || complete_) return;
  }
  if (callback) callback();
}

void Answer::end(Response refusal) {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    if (complete_ || closed_) return;
    broken_ = stream_;
    complete_ = !stream_;
    if (!begun_) head_ = std::move(refusal);
    begun_ = closed_ = true;
    signal();
    callback.swap(on_close_);
  }
  if (callback) callback();
}

// Lives as long as any copy of the exchange.
struct Exchange::Handle {
  explicit Handle(std::shared_ptr<Answer> shared) : answer(std::move(shared)) {}
  ~Handle() { answer->abandon(); }
  std::shared_ptr<Answer> answer;
};

Exchange::Exchange(std::shared_ptr<Answer> answer)
    : handle_(std::make_shared<Handle>(std::move(answer))) {}

void Exchange::respond(Response response) const {
  handle_->answer->respond(std::move(response));
}
void Exchange::begin_stream(Response head) const {
  handle_->answer->begin_stream(std::move(head));
}
bool Exchange::write(std::string_view chunk) const {
  return handle_->answer->write(chunk);
}
void Exchange::finish() const {
  handle_->answer->finish();
}
bool Exchange::closed() const {
  return handle_->answer->closed();
}
void Exchange::on_close(std::function<void()> callback) const {
  handle_->answer->on_close(std::move(callback));
}

Response event_stream() {
  return {200,
          {{"Content-Type", "text/event-stream; charset=utf-8"},
           {"Cache-Control", "no-cache"},
           {"X-Accel-Buffering", "no"}},
          ""};
}

}  // namespace millrace::http
