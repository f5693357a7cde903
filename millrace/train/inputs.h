// What a recipe names, opened: the model to train and the data as token ids.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "millrace/data/objective.h"
#include "millrace/data/packing.h"
#include "millrace/data/token_dataset.h"
#include "millrace/generate/language_model.h"
#include "millrace/train/checkpoints.h"
#include "millrace/train/heldout.h"
#include "millrace/train/recipe.h"

namespace millrace {

/// The configuration of a new model of the recipe's shape with this tokenizer's vocabulary.
ModelConfig model_config(const Recipe& recipe, const Tokenizer& tokenizer);

/// The model that a run trains, with its tokenizer: from the checkpoint where there is one, else
/// from the recipe's init_from, else new. With LoRA it has an adapter, and the weights of the base
/// keep their own types; else every weight has its f32 master copy.
/// A recipe that names no tokenizer gets one trained on its data, kept in RUN/tokenizer.
LanguageModel open_model_to_train(const Recipe& recipe, const std::filesystem::path& run,
                                  const std::optional<Checkpoint>& checkpoint);

/// The documents of files (or folders) as the recipe's format says, as token ids. Text: the
/// tokenizer's own prefix, the text, in which special tokens stay text, and its end-of-text token.
/// Conversations: chat_document.h. Ids are kept in `cache` and made again when text, tokenizer or
/// template change.
TokenDataset open_dataset(const DataRecipe& data, const std::vector<std::string>& entries,
                          const LanguageModel& language_model, const std::filesystem::path& cache);

/// The same documents held in memory.
TokenDataset read_dataset(const DataRecipe& data, const std::vector<std::string>& entries,
                          const LanguageModel& language_model);

/// What the recipe says is learned. Throws Error when the tokenizer has no tokens for it, or the
/// model is no encoder where tokens are hidden, or is one where they are not.
Objective objective_of(const DataRecipe& data, const LanguageModel& language_model);

/// Texts are cut into sequences; conversations, whose later part means nothing alone, truncated.
LongDocuments long_documents(const DataRecipe& data);

/// Bytes and characters of each token.
TokenLengths token_lengths(const Tokenizer& tokenizer);

}  // namespace millrace
