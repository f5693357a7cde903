#include "millrace/train/depth.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "millrace/base/error.h"
#include "millrace/base/file.h"

namespace millrace {
namespace {

int64_t power_of_two_below(int64_t value, int64_t least, int64_t most) {
  return static_cast<int64_t>(
      std::bit_floor(static_cast<uint64_t>(std::clamp(value, least, most))));
}

}  // namespace

Recipe depth_recipe(int64_t depth, const std::filesystem::path& corpus) {
  require(1 <= depth && depth <= 64, "--depth: is {}; it must be 1 to 64", depth);
  const auto bytes = static_cast<int64_t>(MappedFile(corpus).bytes().size());
  require(bytes > 0, "{}: is empty; a corpus is a text file", corpus.string());

  Recipe recipe;
  recipe.name = fmt::format("depth-{}", depth);
  recipe.data.train = {corpus.string()};

  // 64 columns a layer, as nanochat. Heads of 64, half of nanochat's, because the widths here are
  // small: with 128 a model of 4 layers would have 2 heads.
  const int64_t hidden = 64 * depth;
  recipe.model.num_layers = depth;
  recipe.model.hidden_size = hidden;
  recipe.model.num_heads = depth;

  // The hidden matrices: attention 4 hidden^2, the gated MLP of 8/3 width 8 hidden^2.
  const int64_t matrices = 12 * depth * hidden * hidden;

  // An embedding much larger than the hidden matrices learns slowly and costs most of the time in
  // the head, so the vocabulary stays under half their size (384 depth^2 rows); nor does a small
  // corpus hold enough text for many merges.
  recipe.tokenizer.vocab_size = std::min(power_of_two_below(384 * depth * depth, 512, 32768),
                                         power_of_two_below(bytes / 128, 512, 32768));

  // 20 tokens a parameter (Hoffmann et al. 2022, 2203.15556), but no more than four passes: until
  // there repeated text is nearly worth fresh text (Muennighoff et al. 2023, 2305.16264). A token
  // is taken for 3 bytes: one Chinese character, or most of a short English word.
  const int64_t corpus_tokens = std::max<int64_t>(bytes / 3, 1);
  const int64_t tokens = std::min(20 * matrices, 4 * corpus_tokens);

  // Small models at the start of a short run gain from many steps rather than from large batches:
  // about 2,000 steps, in batches between 2 thousand tokens (one core's worth) and 64 thousand.
  recipe.data.batch_tokens = power_of_two_below(tokens / 2000, 2048, 65536);
  recipe.data.sequence_length = depth < 12 ? 512 : 1024;
  recipe.model.max_position_embeddings = 1024;
  recipe.data.micro_batch_tokens = std::min<int64_t>(recipe.data.batch_tokens, 4096);
  const int64_t steps = std::max<int64_t>(tokens / recipe.data.batch_tokens, 10);

  // Muon's step has the same size at every width once scaled by shape, so its rate is a constant;
  // AdamW's, for embedding, head and norms, falls as the root of the width.
  recipe.optimizer.name = "muon";
  recipe.optimizer.matrix_lr = 0.02;
  recipe.optimizer.lr = 0.004 / std::sqrt(static_cast<double>(hidden) / 768);
  recipe.optimizer.betas = {0.8, 0.95};
  recipe.optimizer.eps = 1e-10;

  // nanochat's schedule: a short warm-up, then the last 65 % fall to 5 %.
  recipe.schedule = {.name = "wsd",
                     .steps = steps,
                     .warmup_steps = std::min<int64_t>(40, steps / 10),
                     .decay_fraction = 0.65,
                     .min_lr_ratio = 0.05};
  recipe.eval.every = std::max<int64_t>(steps / 20, 1);
  recipe.checkpoint.every = std::max<int64_t>(steps / 10, 1);
  return override_recipe(std::move(recipe), {});
}

}  // namespace millrace
