#include "millrace/cli/options.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "millrace/base/error.h"
#include "millrace/base/file.h"
#include "millrace/base/processors.h"
#include "millrace/base/thread_pool.h"
#include "millrace/hub/store.h"
#include "millrace/model/weight_cache.h"

namespace millrace::cli {

CLI::App& add_verb(CLI::App& app, const std::string& name, const std::string& description,
                   const std::string& example) {
  CLI::App& verb = *app.add_subcommand(name, description);
  verb.footer("Example:\n  " + example);
  return verb;
}

CLI::Option& add_model(CLI::App& verb, const std::string& name, std::string& path,
                       const std::string& help) {
  return *verb.add_option(name, path, help)->transform([](const std::string& given) {
    return hub::model_path(given).string();
  });
}

void MachineOptions::add_to(CLI::App& verb) {
  verb.add_option(
          "--threads", threads,
          "Threads to use (default: one for each of --cpus or of all processors; never more "
          "than the container's CPU quota)")
      ->check(CLI::Range(0, 1024))
      ->envname("MILLRACE_THREADS");
  verb.add_option("--cpus", cpus,
                  "Run on these processors only, as 0-3,8, a thread on each. Helps where several "
                  "programs share a machine that has cores for each, or on one socket of several; "
                  "alone on a machine the system places threads as well (default: all)")
      ->envname("MILLRACE_CPUS");
  verb.add_option("--numa", numa,
                  "local: memory lies near the thread that touches it first. interleave: it is "
                  "spread over the memory of all sockets in use, which helps where threads run on "
                  "several, as each reads all weights; with one socket it changes nothing")
      ->check(CLI::IsMember({"local", "interleave"}))
      ->envname("MILLRACE_NUMA")
      ->capture_default_str();
}

void MachineOptions::apply() const {
  if (!cpus.empty()) choose_processors(parse_processors(cpus));
  if (numa == "interleave") interleave_memory();
  const auto chosen = static_cast<int>(chosen_processors().size());
  const int count = threads > 0 ? threads : chosen > 0 ? chosen : num_threads();
  // Threads that are there already would keep the processors and the memory that they had.
  if (!cpus.empty() || numa == "interleave") set_num_threads(1);
  set_num_threads(count);
}

void ModelOptions::add_to(CLI::App& verb, bool runs) {
  add_model(verb, "MODEL", model,
            "A model folder (Hugging Face layout), a .gguf file, or a name that was pulled")
      .required();
  add_model(verb, "--adapter", adapter, "A LoRA adapter folder (PEFT layout), or a pulled name");
  machine.add_to(verb);
  no_cache = !runs;
  if (!runs) return;
  verb.add_option("--cache-type", cache_type,
                  "Of the keys and values of past tokens: f32, bf16, or q8, which takes half the "
                  "memory of bf16: room for twice the streams or contexts, at some speed "
                  "(default: f32 for f32 weights, else bf16)")
      ->check(CLI::IsMember({"f32", "bf16", "q8"}))
      ->envname("MILLRACE_CACHE_TYPE");
  verb.add_flag("--no-cache", no_cache,
                "Do not keep packed weights in ~/.cache/millrace/packed for a quicker next start")
      ->envname("MILLRACE_NO_CACHE");
}

LanguageModel ModelOptions::open() const {
  machine.apply();
  LoadOptions options;
  if (!no_cache) options.weight_cache = default_weight_cache();
  options.notice = [](const std::string& text) { fmt::print(stderr, "{}\n", text); };
  LanguageModel result = open_language_model(model, adapter, options);
  if (!cache_type.empty()) result.model->set_cache_dtype(cache_dtype_from_name(cache_type));
  return result;
}

LanguageModel ModelOptions::open_merged() const {
  if (adapter.empty()) return open();
  machine.apply();
  LoadOptions options;
  options.dtype = DType::f32;
  LanguageModel result = open_language_model(model, adapter, options);
  merge(*result.model, *result.adapter);
  result.adapter.reset();
  return result;
}

void ChatTemplateOption::add_to(CLI::App& verb) {
  verb.add_option(
      "--chat-template", name_or_file,
      "A Jinja file, or chatml, llama2, baichuan2, chatglm3 or plain (default: the model's)");
}

void ChatTemplateOption::apply(LanguageModel& model) const {
  if (name_or_file.empty()) return;
  const bool is_file = std::filesystem::exists(name_or_file);
  set_chat_template(
      model, is_file ? read_file(name_or_file) : std::string(built_in_template(name_or_file)),
      name_or_file);
}

void SamplingArguments::add_to(CLI::App& verb) {
  SamplingOptions& sampling = options.sampling;
  verb.add_option("--max-tokens", options.max_tokens, "Most tokens to generate")
      ->capture_default_str();
  verb.add_option("--temperature", sampling.temperature, "0 takes the most likely token")
      ->capture_default_str();
  verb.add_option("--top-k", sampling.top_k, "Keep the k most likely tokens; 0: all")
      ->capture_default_str();
  verb.add_option("--top-p", sampling.top_p, "Keep the likeliest tokens of this probability")
      ->capture_default_str();
  verb.add_option("--min-p", sampling.min_p, "Drop tokens below this times the likeliest")
      ->capture_default_str();
  verb.add_option("--typical", sampling.typical_p, "Keep the most typical tokens")
      ->capture_default_str();
  verb.add_option("--repetition-penalty", sampling.repetition_penalty)->capture_default_str();
  verb.add_option("--presence-penalty", sampling.presence_penalty)->capture_default_str();
  verb.add_option("--frequency-penalty", sampling.frequency_penalty)->capture_default_str();
  verb.add_option("--logit-bias", logit_bias, "ID=BIAS, may be repeated")->allow_extra_args(false);
  verb.add_option("--stop", options.stop, "Stop before this text, may be repeated")
      ->allow_extra_args(false);
  verb.add_option("--seed", sampling.seed, "The same seed gives the same text")
      ->capture_default_str();
}

GenerationOptions SamplingArguments::parsed() const {
  GenerationOptions result = options;
  for (const std::string& text : logit_bias) {
    char* end = nullptr;
    const long id = std::strtol(text.c_str(), &end, 10);
    require(end != text.c_str() && *end == '=', "--logit-bias {}: expected ID=BIAS", text);
    const char* number = end + 1;
    const float bias = std::strtof(number, &end);
    require(end != number && *end == '\0', "--logit-bias {}: expected ID=BIAS", text);
    result.sampling.logit_bias.emplace_back(static_cast<int32_t>(id), bias);
  }
  return result;
}

void print_json(const Json& json) {
  fmt::print("{}\n", to_json_text(json));
}

}  // namespace millrace::cli
