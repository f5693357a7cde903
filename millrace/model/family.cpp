#include "millrace/model/family.h"

#include <algorithm>
#include <array>

namespace millrace {

// One line for each file in families/.
extern const Family kLlama;
extern const Family kGpt2;
extern const Family kQwen2;
extern const Family kQwen3;
extern const Family kMistral;
extern const Family kMinistral3;
extern const Family kInternLm;
extern const Family kInternLm2;
extern const Family kInternLm3;
extern const Family kSeedOss;
extern const Family kStep3p5;
extern const Family kHunYuanDense;
extern const Family kErnie45;
extern const Family kChatGlm;
extern const Family kGlm;
extern const Family kGlm4;
extern const Family kGlmBlank;
extern const Family kChatGlm1;
extern const Family kGemma;
extern const Family kGemma2;
extern const Family kGemma3;
extern const Family kGemma3n;
extern const Family kGemma4;
extern const Family kGptNeoX;
extern const Family kGptJ;
extern const Family kOpt;
extern const Family kZhinao;
extern const Family kBloom;
extern const Family kOpenAiGpt;
extern const Family kBaichuan;
extern const Family kPanGuAlpha;
extern const Family kQwen;
extern const Family kMixtral;
extern const Family kQwen3Moe;
extern const Family kQwen2Moe;
extern const Family kGptOss;
extern const Family kGlm4Moe;
extern const Family kErnie45Moe;
extern const Family kHunYuanMoe;
extern const Family kDeepSeekV3;
extern const Family kDeepSeekV2;
extern const Family kDeepSeekV32;
extern const Family kGlmMoeDsa;
extern const Family kHyV3;
extern const Family kHyV4;
extern const Family kGlm4MoeLite;
extern const Family kYoutu;
extern const Family kMiniCpm;
extern const Family kMiniCpm3;
extern const Family kMiniMax;
extern const Family kMiniMaxM2;
extern const Family kMiniMaxM3;
extern const Family kQwen3Next;
extern const Family kQwen35;
extern const Family kQwen35Moe;
extern const Family kKimiLinear;
extern const Family kBert;
extern const Family kT5;
extern const Family kSwitchTransformers;
extern const Family kRoberta;
extern const Family kErnie;

std::span<const Family> families() {
  static const auto all = std::to_array<Family>({
      kLlama,        kGpt2,
      kQwen2,        kQwen3,
      kMistral,      kInternLm2,
      kInternLm3,    kSeedOss,
      kHunYuanDense, kErnie45,
      kChatGlm,      kGlm,
      kGlm4,         kGemma,
      kGemma2,       kGemma3,
      kGptNeoX,      kGptJ,
      kOpt,          kBloom,
      kOpenAiGpt,    kBaichuan,
      kMixtral,      kQwen3Moe,
      kQwen2Moe,     kGptOss,
      kGlm4Moe,      kErnie45Moe,
      kHunYuanMoe,   kDeepSeekV3,
      kDeepSeekV2,   kBert,
      kRoberta,      kErnie,
      kInternLm,     kZhinao,
      kT5,           kSwitchTransformers,
      kPanGuAlpha,   kMiniMax,
      kMiniMaxM2,    kQwen,
      kMiniCpm,      kMiniCpm3,
      kHyV3,         kGlm4MoeLite,
      kYoutu,        kGlmBlank,
      kChatGlm1,     kMiniMaxM3,
      kDeepSeekV32,  kGlmMoeDsa,
      kMinistral3,   kStep3p5,
      kGemma3n,      kGemma4,
      kHyV4,
      kQwen3Next,    kQwen35,
      kQwen35Moe,    kKimiLinear,
  });
  return all;
}

namespace {

const Family& find_family(std::vector<std::string> Family::*names, std::string_view wanted,
                          std::string_view field, std::string_view source) {
  std::string known;
  for (const Family& family : families()) {
    const std::vector<std::string>& answers = family.*names;
    if (std::find(answers.begin(), answers.end(), wanted) != answers.end()) return family;
    for (const std::string& name : answers) known += (known.empty() ? "" : ", ") + name;
  }
  fail("{}: {} is {}, which Millrace does not know; it knows {}", source, field, quote(wanted),
       known);
}

}  // namespace

const Family& family_of_config(const Json& config, std::string_view source) {
  const auto model_type = json_field<std::string>(config, "model_type", source);
  for (const Family& family : families()) {
    if (family.alias.model_type == model_type && config.contains(family.alias.field)) return family;
  }
  return family_of_model_type(model_type, source);
}

const Family& family_of_model_type(std::string_view model_type, std::string_view source) {
  return find_family(&Family::model_types, model_type, "model_type", source);
}

const Family& family_of_architecture(std::string_view architecture, std::string_view source) {
  return find_family(&Family::gguf_architectures, architecture, "general.architecture", source);
}

}  // namespace millrace
