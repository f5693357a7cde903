// POST /v1/embeddings and /v1/rerank.
#include <algorithm>
#include <bit>

#include "millrace/base/base64.h"
#include "millrace/generate/rerank.h"
#include "millrace/serve/embedder.h"
#include "millrace/serve/openai.h"
#include "millrace/serve/prompts.h"

namespace millrace::serve {
namespace {

/// Little-endian f32, as OpenAI's clients want it.
std::string bytes_of(const std::vector<float>& vector) {
  std::string bytes;
  for (float x : vector) {
    const auto bits = std::bit_cast<uint32_t>(x);
    for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(bits >> shift & 0xff);
  }
  return bytes;
}

Json usage_of(int64_t tokens) {
  return {{"prompt_tokens", tokens}, {"total_tokens", tokens}};
}

/// What is put before texts: the model's prompt of the name that is asked for, or its default.
std::string prompt_of(Fields& fields, const EmbeddingSettings& settings) {
  const std::optional<std::string> asked = fields.text("prompt_name");
  const std::string& name = asked ? *asked : settings.default_prompt;
  if (name.empty()) return "";
  try {
    return settings.prompt(name);
  } catch (const Error& error) {
    throw invalid_request("prompt_name", error.what());
  }
}

/// The texts of an input behind a prompt; token ids stay as they are.
Json prompted(Json input, const std::string& prompt) {
  if (prompt.empty()) return input;
  auto add = [&](Json& one) {
    if (one.is_string()) one = prompt + one.get<std::string>();
  };
  add(input);
  if (input.is_array()) std::for_each(input.begin(), input.end(), add);
  return input;
}

void embed_input(const CallPtr& call, const ModelHandle& model, const std::string& name) {
  Fields fields(call->body);
  fields.accept({"model", "user"});
  const LanguageModel& language = model.model->language;
  const Json* input = fields.any("input");
  if (input == nullptr) {
    throw invalid_request("input", "is missing", "missing_required_parameter");
  }
  auto texts = read_prompts(prompted(*input, prompt_of(fields, language.embedding)), "input",
                            language.tokenizer);
  const bool base64 = fields.one_of("encoding_format", {"float", "base64"}) == "base64";
  const int64_t hidden = language.model->config().hidden_size;
  const auto dimensions =
      static_cast<size_t>(fields.integer("dimensions", 1, hidden).value_or(hidden));
  embed_texts(call, model, std::move(texts), "input", [=](EmbeddedTexts embedded) {
    Json data = Json::array();
    for (size_t i = 0; i < embedded.vectors.size(); ++i) {
      std::vector<float>& vector = embedded.vectors[i];
      shorten(vector, dimensions);
      data.push_back(
          {{"object", "embedding"},
           {"index", i},
           {"embedding", base64 ? Json(to_base64(bytes_of(vector))) : shortest(vector)}});
    }
    call->respond({{"object", "list"},
                   {"data", std::move(data)},
                   {"model", name},
                   {"usage", usage_of(embedded.num_tokens)}});
  });
}

std::vector<std::string> read_documents(Fields& fields) {
  std::vector<std::string> texts;
  const Json& documents = fields.required_array("documents");
  for (size_t i = 0; i < documents.size(); ++i) {
    if (documents[i].is_string()) {
      texts.push_back(documents[i].get<std::string>());
    } else {
      texts.push_back(Fields(documents[i], fmt::format("documents[{}]", i)).required_text("text"));
    }
  }
  if (texts.empty()) throw invalid_request("documents", "is empty");
  return texts;
}

/// Calls `done` with the documents' scores and the number of tokens that were read.
void score_documents(const CallPtr& call, const ModelHandle& model, const std::string& query,
                     const std::vector<std::string>& documents,
                     const std::function<void(const std::vector<float>&, int64_t)>& done) {
  const LanguageModel& language = model.model->language;
  if (is_cross_encoder(language)) {
    std::vector<TextPair> pairs;
    for (const std::string& document : documents) {
      pairs.push_back(encode_pair(language, query, document));
    }
    score_texts(call, model, std::move(pairs), "documents", [=](const EmbeddedTexts& scored) {
      std::vector<float> scores;
      for (const auto& score : scored.vectors) scores.push_back(score.front());
      done(scores, scored.num_tokens);
    });
    return;
  }
  Json texts = Json::array({query});
  for (const std::string& document : documents) texts.push_back(document);
  auto ids = read_prompts(texts, "documents", language.tokenizer);
  embed_texts(call, model, std::move(ids), "documents", [=](const EmbeddedTexts& embedded) {
    std::vector<float> scores;
    for (size_t i = 1; i < embedded.vectors.size(); ++i) {
      scores.push_back(cosine(embedded.vectors[0], embedded.vectors[i]));
    }
    done(scores, embedded.num_tokens);
  });
}

void rank(const CallPtr& call, const ModelHandle& model, const std::string& name) {
  Fields fields(call->body);
  fields.accept({"model"});
  std::vector<std::string> documents = read_documents(fields);
  const auto count = static_cast<int64_t>(documents.size());
  const int64_t top = fields.integer("top_n", 1, 1'000'000).value_or(count);
  const bool return_documents = fields.boolean("return_documents").value_or(false);
  const std::string query = fields.required_text("query");
  score_documents(call, model, query, documents,
                  [=](const std::vector<float>& scores, int64_t tokens) {
                    Json results = Json::array();
                    for (size_t i : ranking(scores)) {
                      if (static_cast<int64_t>(results.size()) == top) break;
                      Json result = {{"index", i}, {"relevance_score", shortest(scores[i])}};
                      if (return_documents) result["document"] = {{"text", documents[i]}};
                      results.push_back(std::move(result));
                    }
                    call->respond({{"id", "rerank-" + random_id()},
                                   {"model", name},
                                   {"results", std::move(results)},
                                   {"usage", usage_of(tokens)}});
                  });
}

}  // namespace

void embeddings(const CallPtr& call) {
  Fields fields(call->body);
  const std::string name = fields.required_text("model");
  call->with_model(name, [=](const ModelHandle& model) { embed_input(call, model, name); });
}

void rerank(const CallPtr& call) {
  Fields fields(call->body);
  const std::string name = fields.required_text("model");
  call->with_model(name, [=](const ModelHandle& model) { rank(call, model, name); });
}

}  // namespace millrace::serve
