#include "millrace/serve/embedder.h"

#include <iterator>

#include "millrace/generate/embedding.h"

namespace millrace::serve {
namespace {

struct Work {
  ~Work() { call->service.engine.release(place); }

  CallPtr call;
  ModelHandle model;
  std::vector<Ticket> place;
  std::vector<std::vector<int32_t>> texts;
  std::vector<TextPair> pairs;  ///< the texts once more, with types, to be scored; empty: not
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
    const int64_t most = std::min(model.context, most_tokens(model.language));
    if (length > most) {
      throw invalid_request(path,
                            fmt::format("has {} tokens; the model's context is {}", length, most),
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

/// Embeds or scores the texts up to `end`.
void read(Work& work, size_t end) {
  const LanguageModel& model = work.model.model->language;
  const size_t count = end - work.next;
  std::vector<std::vector<float>>& result = work.result.vectors;
  if (work.pairs.empty()) {
    const auto texts = std::span<const std::vector<int32_t>>(work.texts).subspan(work.next, count);
    auto vectors =
        embed(*model.model, model.embedding, texts, work.model.adapter.get(), work.workspace);
    std::move(vectors.begin(), vectors.end(), std::back_inserter(result));
  } else {
    const auto pairs = std::span<const TextPair>(work.pairs).subspan(work.next, count);
    for (float score : score_pairs(model, pairs, work.workspace)) result.push_back({score});
  }
}

void go_on(const std::shared_ptr<Work>& work) {
  if (work->call->exchange.closed()) return;
  work->call->run([&] {
    const size_t end = batch_end(*work);
    const std::span<const std::vector<int32_t>> texts(work->texts);
    for (const auto& text : texts.subspan(work->next, end - work->next)) {
      work->result.num_tokens += static_cast<int64_t>(text.size());
    }
    read(*work, end);
    work->next = end;
    if (end < work->texts.size()) {
      work->call->service.engine.post([work] { go_on(work); });
    } else {
      work->done(std::move(work->result));
    }
  });
}

void start(const CallPtr& call, const ModelHandle& model, std::vector<std::vector<int32_t>> texts,
           std::vector<TextPair> pairs, const std::string& param,
           std::function<void(EmbeddedTexts)> done) {
  check(*model.model, texts, param);
  auto work = std::make_shared<Work>();
  work->call = call;
  work->place = call->service.engine.reserve(1);
  work->model = model;
  work->texts = std::move(texts);
  work->pairs = std::move(pairs);
  work->done = std::move(done);
  call->service.engine.post([work] { go_on(work); });
}

}  // namespace

void embed_texts(const CallPtr& call, const ModelHandle& model,
                 std::vector<std::vector<int32_t>> texts, const std::string& param,
                 std::function<void(EmbeddedTexts)> done) {
  start(call, model, std::move(texts), {}, param, std::move(done));
}

void score_texts(const CallPtr& call, const ModelHandle& model, std::vector<TextPair> pairs,
                 const std::string& param, std::function<void(EmbeddedTexts)> done) {
  std::vector<std::vector<int32_t>> texts;
  for (const TextPair& pair : pairs) texts.push_back(pair.ids);
  start(call, model, std::move(texts), std::move(pairs), param, std::move(done));
}

}  // namespace millrace::serve
