#include "millrace/text/pre_tokenizer_names.h"

#include <algorithm>

namespace millrace {
namespace {

// The expressions are the models' own, from their tokenizer.json; where llama.cpp runs another one,
// it says the same in the terms that its engine knows.
constexpr std::string_view kDigit = R"(\p{N})";
constexpr std::string_view kDigitTriple = R"(\p{N}{1,3})";
constexpr std::string_view kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kQwen35 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}|)"
    R"( ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kSeedCoder =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+|)"
    R"(\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kBailing =
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|)"
    R"(\s*[\r\n]|\s+(?!\S)|\s+)";
constexpr std::string_view kTekken =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}|)"
    R"( ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4o =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|)"
    R"(\s+(?!\S)|\s+)";
constexpr std::string_view kKimi =
    R"([\p{Han}]+|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+)"
    R"([\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|)"
    R"(\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view kBloom = " ?[^(\\s|[.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c])]+";

constexpr std::string_view kLineEnd = "[\r\n]";
// Escaped, since several of these letters do not survive a normalisation of this file.
constexpr std::string_view kDeepseekLetters =
    "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293"
    "\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c"
    "\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5"
    "\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59"
    "\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc"
    "\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107"
    "\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee"
    "\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e"
    "\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a\U00010400-\U0001044f"
    "\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2\U00010cc0-\U00010cf2"
    "\U000118a0-\U000118df\U0001e900-\U0001e943]+";
constexpr std::string_view kDeepseekPunctuation =
    "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+";
constexpr std::string_view kSpaceAtEnd = R"(\s+$)";
constexpr std::string_view kDeepseekCjk = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";
constexpr std::string_view kDeepseek3Cjk = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
constexpr std::string_view kDeepseek3 =
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|"
    "[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|"
    "\\s+(?!\\S)|\\s+";

template <size_t n>
using List = std::array<std::string_view, n>;

constexpr List<19> kGpt2Names = {"gpt-2",       "phi-2",       "jina-es",        "jina-de",
                                 "jina-v1-en",  "jina-v2-es",  "jina-v2-de",     "jina-v2-code",
                                 "roberta-bpe", "modern-bert", "gigachat",       "a.x-4.0",
                                 "mellum",      "mpt",         "olmo",           "jais",
                                 "trillion",    "exaone4",     "granite-docling"};
constexpr List<1> kGpt2Splits = {kGpt2Expression};
constexpr List<9> kLlama3Names = {"llama-bpe", "llama3",   "llama-v3", "falcon3",     "falcon-h1",
                                  "pixtral",   "midm-2.0", "lfm2",     "jina-v5-nano"};
constexpr List<4> kLlama3MergingNames = {"smaug-bpe", "dbrx", "glm4", "chatglm-bpe"};
constexpr List<1> kLlama3Splits = {kLlama3};
constexpr List<8> kSmollmNames = {"smollm",    "starcoder", "refact",     "command-r",
                                  "codeshell", "exaone",    "minerva-7b", "mellum2"};
constexpr List<2> kSmollmSplits = {kDigit, kGpt2Expression};
constexpr List<9> kQwen2Names = {"qwen2",   "deepseek-r1-qwen", "kormo",
                                 "f2llmv2", "stablelm2",        "hunyuan",
                                 "megrez",  "solar-open",       "grok-2"};
constexpr List<1> kQwen2Splits = {kQwen2};
constexpr List<1> kQwen35Names = {"qwen35"};
constexpr List<1> kQwen35Splits = {kQwen35};
constexpr List<1> kDeepseekLlmNames = {"deepseek-llm"};
constexpr List<6> kDeepseekLlmSplits = {kLineEnd,    kDeepseekLetters, kDeepseekPunctuation,
                                        kSpaceAtEnd, kDeepseekCjk,     kDigit};
constexpr List<1> kDeepseekCoderNames = {"deepseek-coder"};
constexpr List<5> kDeepseekCoderSplits = {kLineEnd, R"(\s?\p{L}+)", R"(\s?\p{P}+)", kDeepseekCjk,
                                          kDigit};
constexpr List<4> kDeepseek3Names = {"deepseek-v3", "hunyuan-dense", "joyai-llm", "hy_v4"};
constexpr List<3> kDeepseek3Splits = {kDigitTriple, kDeepseek3Cjk, kDeepseek3};
constexpr List<1> kFalconNames = {"falcon"};
constexpr List<3> kFalconSplits = {R"([\p{P}\$\+<=>\^~\|`]+)", kGpt2Expression, "[0-9][0-9][0-9]"};
constexpr List<1> kTekkenNames = {"tekken"};
constexpr List<1> kTekkenSplits = {kTekken};
constexpr List<5> kGpt4oNames = {"gpt-4o", "llama4", "kanana2", "talkie", "minimax-m2"};
constexpr List<1> kGpt4oSplits = {kGpt4o};
constexpr List<1> kKimiNames = {"kimi-k2"};
constexpr List<1> kKimiSplits = {kKimi};
constexpr List<1> kSeedCoderNames = {"seed-coder"};
constexpr List<1> kSeedCoderSplits = {kSeedCoder};
constexpr List<3> kBailingNames = {"bailingmoe", "bailingmoe2", "llada-moe"};
constexpr List<1> kBailingSplits = {kBailing};
constexpr List<3> kBloomNames = {"bloom", "poro-chat", "gpt3-finnish"};
constexpr List<1> kBloomSplits = {kBloom};
constexpr List<1> kVikingNames = {"viking"};
constexpr List<2> kVikingSplits = {kBloom, kDigit};
constexpr List<1> kDefaultNames = {"default"};
constexpr List<4> kDefaultSplits = {R"([\p{P}\$\+<=>\^~\|]+)", kGpt2Expression, R"(\p{N}+)",
                                    "[0-9][0-9][0-9]"};

constexpr std::array<NamedPreTokenizer, 18> kNamed = {{
    {kGpt2Names, kGpt2Splits, false, false},
    {kLlama3Names, kLlama3Splits, true, true},
    {kLlama3MergingNames, kLlama3Splits, false, false},
    {kSmollmNames, kSmollmSplits, false, false},
    {kQwen2Names, kQwen2Splits, false, false},
    {kQwen35Names, kQwen35Splits, false, false},
    {kDeepseekLlmNames, kDeepseekLlmSplits, false, false},
    {kDeepseekCoderNames, kDeepseekCoderSplits, false, false},
    {kDeepseek3Names, kDeepseek3Splits, false, false},
    {kFalconNames, kFalconSplits, false, false},
    {kTekkenNames, kTekkenSplits, true, true},
    {kGpt4oNames, kGpt4oSplits, false, false},
    {kKimiNames, kKimiSplits, true, false},
    {kSeedCoderNames, kSeedCoderSplits, false, false},
    {kBailingNames, kBailingSplits, false, false},
    {kBloomNames, kBloomSplits, false, false},
    {kVikingNames, kVikingSplits, false, false},
    {kDefaultNames, kDefaultSplits, false, false},
}};

}  // namespace

std::span<const NamedPreTokenizer> named_pre_tokenizers() {
  return kNamed;
}

const NamedPreTokenizer* find_named_pre_tokenizer(std::string_view name) {
  for (const NamedPreTokenizer& entry : kNamed) {
    if (std::find(entry.names.begin(), entry.names.end(), name) != entry.names.end()) return &entry;
  }
  return nullptr;
}

}  // namespace millrace
