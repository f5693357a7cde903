// Packed weights kept on disk: the second start of a model maps them instead of packing them again.
#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "millrace/model/model.h"

namespace millrace {

/// $MILLRACE_CACHE/packed, else packed/ in millrace's folder of the user's cache; empty, for none,
/// when there is no home.
std::filesystem::path default_weight_cache();

/// The entry of one model in a folder of packed weights. Its key are the model's files (path, size,
/// time of change), the types asked for and the layout of packed weights. An entry is only believed
/// until the next boot: it is not synced when it is written, as it can always be made anew.
class WeightCache {
 public:
  /// For a .gguf file or a Hugging Face folder. An empty `folder` keeps and finds nothing.
  WeightCache(const std::filesystem::path& folder, const std::filesystem::path& model,
              std::optional<DType> dtype);

  bool keeps_any() const { return !path_.empty(); }

  /// Gives the model's matrices the packed weights of the entry, mapped. False, and nothing
  /// changed, where there is no good one.
  bool load(Model& model) const;

  /// Keeps the model's packed weights if they take more than `min_bytes`, and deletes the entries
  /// used longest ago when all take more than `max_bytes`. What cannot be kept (a full disk, a
  /// folder that must not be written) is not kept; that is no error.
  void save(const Model& model, uint64_t min_bytes = kMinBytes,
            uint64_t max_bytes = kMaxBytes) const;

  /// The same on a thread of its own, while the model runs already. Each matrix is held until it is
  /// written, so settle_weights leaves it where it is until then. The process' end waits for it.
  void save_behind(const Model& model, uint64_t min_bytes = kMinBytes,
                   uint64_t max_bytes = kMaxBytes) const;
  /// Called with each parameter that has got its values.
  using Loaded = std::function<void(Parameter&)>;
  /// For a model too large for memory, of about `bytes`: `load` fills its parameters one by one,
  /// each matrix goes to the entry and its memory is let go, and in the end all are mapped. Throws
  /// Error where there is no room for the entry.
  void load_through(Model& model, uint64_t bytes,
                    const std::function<void(const Loaded&)>& load) const;

  /// Waits until all that save_behind began is written.
  static void finish_saving();

 private:
  static constexpr uint64_t kMinBytes = uint64_t{32} << 20, kMaxBytes = uint64_t{32} << 30;

  std::filesystem::path path_;  // of the entry; empty: none
  std::string key_;
};

}  // namespace millrace
