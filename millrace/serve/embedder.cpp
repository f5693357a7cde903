#include "millrace/serve/embedder.h"

#include "millrace/generate/embedding.h"

namespace millrace::serve {
namespace {

struct Work {
  ~Work() { call->service.engine.release(place); }

  CallPtr call;
  ModelHandle model;
  std::vector<Ticket> place;
  std::vector<std::vector<int32_t>> texts;
  std::function<void(EmbeddedTexts)> done;
  size_t next = 0;
  Workspace workspace;
  EmbeddedTexts result;
};

void check(const ServedModel& model, std::span<const std::vector<int32_t>> texts,
           const std::string& param) {
  const int64_t vocab = model.language.model->config().vocab_size;
  for (size_t i = 0; i < texts.size(); ++i) {
    const std::string path = texts.size() == 1 ? param : fmt::format("{}[{}]", param, i);
    const auto length = static_cast<int64_t>(texts[i].size());
    if (length == 0) throw invalid_request(path, "has no tokens");
    if (length > model.context) {
      throw invalid_request(
          path, fmt::format("has {} tokens; the model's context is {}", length, model.context),
          "context_length_exceeded");
    }
    for (int32_t id : texts[i]) {
      if (id >= 0 && id < vocab) continue;
      throw invalid_request(path,
                            fmt::format("has the token id {}; ids are 0 to {}", id, vocab - 1));
    }
  }
}

/// Texts for one batch, at least one.
size_t batch_end(const Work& work) {
  const int64_t most = work.call->service.settings.tokens_per_batch;
  size_t end = work.next;
  int64_t tokens = 0;
  while (end < work.texts.size()) {
    tokens += static_cast<int64_t>(work.texts[end].size());
    if (end > work.next && tokens > most) break;
    ++end;
  }
  return end;
}

void go_on(const std::shared_ptr<Work>& work) {
  if (work->call->exchange.closed()) return;
  work->call->run([&] {
    const size_t end = batch_end(*work);
    const std::span<const std::vector<int32_t>> texts(work->texts);
    for (const auto& text : texts.subspan(work->next, end - work->next)) {
      work->result.num_tokens += static_cast<int64_t>(text.size());
    }
    for (auto& vector :
         embed(*work->model.model->language.model, texts.subspan(work->next, end - work->next),
               work->model.adapter.get(), work->workspace)) {
      work->result.vectors.push_back(std::move(vector));
    }
    work->next = end;
    if (end < work->texts.size()) {
      work->call->service.engine.post([work] { go_on(work); });
    } else {
      work->done(std::move(work->result));
    }
  });
}

}  // namespace

void embed_texts(const CallPtr& call, const ModelHandle& model,
                 std::vector<std::vector<int32_t>> texts, const std::string& param,
                 std::function<void(EmbeddedTexts)> done) {
  check(*model.model, texts, param);
  auto work = std::make_shared<Work>();
  work->call = call;
  work->place = call->service.engine.reserve(1);
  work->model = model;
  work->texts = std::move(texts);
  work->done = std::move(done);
  call->service.engine.post([work] { go_on(work); });
}

}  // namespace millrace::serve
