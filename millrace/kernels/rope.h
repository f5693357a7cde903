// Rotary position embedding (Su et al. 2021): frequencies of every scaling kind, tables, rotation.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace millrace {

/// Which two values of a head turn together: i and i + rotary_dim / 2 (GPT-NeoX, Hugging Face), or
/// 2i and 2i + 1 (GPT-J, the original Llama, GGUF's llama files).
enum class RopePairing : uint8_t { half_split, interleaved };

enum class RopeScaling : uint8_t { none, linear, dynamic, yarn, longrope, llama3, proportional };

/// By the names of Hugging Face's `rope_type`: "default", "linear", "dynamic", "yarn", "longrope",
/// "su", "llama3", "proportional"; nullopt for another.
std::optional<RopeScaling> rope_scaling_from_name(std::string_view name);

/// What a configuration says about rope; names and meaning are Hugging Face's.
struct RopeParameters {
  RopeScaling scaling = RopeScaling::none;
  int64_t rotary_dim = 0;  // head_dim * partial_rotary_factor; even
  double theta = 10000;
  double factor = 1;  // yarn, longrope: when absent, max over original max_position_embeddings
  int64_t max_position_embeddings = 0;               // dynamic
  int64_t original_max_position_embeddings = 0;      // yarn, longrope, llama3
  std::optional<double> attention_factor;            // yarn, longrope; computed when absent
  double beta_fast = 32, beta_slow = 1;              // yarn
  double mscale = 0, mscale_all_dim = 0;             // yarn; used when both are given
  bool truncate = true;                              // yarn
  double low_freq_factor = 1, high_freq_factor = 4;  // llama3
  std::vector<float> short_factor, long_factor;      // longrope; rotary_dim / 2 each
  double proportion = 1;         // proportional: of the frequencies, the others being 0
  bool f16_frequencies = false;  // rounded so (ChatGLM 1)
};

struct RopeFrequencies {
  std::vector<float> inverse;  // [rotary_dim / 2], radians a position
  float attention_factor = 1;  // cos and sin are multiplied by it
};

/// The frequencies as transformers' modeling_rope_utils computes them, in f32 where it does.
/// `sequence_length` matters to `dynamic` and `longrope` only; it must be fixed for the life of a
/// sequence (its prompt's length plus what it may generate), or cached keys would turn stale. 0
/// stands for max_position_embeddings (dynamic) or a short sequence (longrope). Throws Error for
/// parameters that are missing or out of range, named as in config.json.
RopeFrequencies rope_frequencies(const RopeParameters& parameters, int64_t sequence_length = 0);

/// The `sequence_length` whose frequencies turn a sequence of so many tokens: 0 up to the length
/// that the model was trained on; beyond it that length doubled until it is enough (dynamic), or
/// any one (longrope). Cached keys are of use for as long as it stays the same.
int64_t rope_length(const RopeParameters& parameters, int64_t tokens);

/// cos and sin of each position's angles, times the attention factor.
struct RopeTable {
  int64_t half = 0;             // rotary_dim / 2
  std::vector<float> cos, sin;  // [positions, half]
  int64_t positions() const { return half == 0 ? 0 : static_cast<int64_t>(cos.size()) / half; }
};

/// Table of positions 0 … positions - 1.
RopeTable rope_table(const RopeFrequencies& frequencies, int64_t positions);

/// Rotates in place the first 2 * table.half values of each head. x: rows of `heads` heads of
/// `head_dim` values, `row_stride` apart; positions: [rows], each below table.positions().
void rope_forward(const RopeTable& table, const int32_t* positions, int64_t rows, int64_t heads,
                  int64_t head_dim, int64_t row_stride, RopePairing pairing, float* x);

/// Gradient of rope_forward, in place on the gradient: the rotation backwards.
void rope_backward(const RopeTable& table, const int32_t* positions, int64_t rows, int64_t heads,
                   int64_t head_dim, int64_t row_stride, RopePairing pairing, float* dx);

/// The same functions in the plainest C++; tests hold the ones above to them.
namespace reference {
void rope_forward(const RopeTable& table, const int32_t* positions, int64_t rows, int64_t heads,
                  int64_t head_dim, int64_t row_stride, RopePairing pairing, float* x);
void rope_backward(const RopeTable& table, const int32_t* positions, int64_t rows, int64_t heads,
                   int64_t head_dim, int64_t row_stride, RopePairing pairing, float* dx);
}  // namespace reference

}  // namespace millrace
