// Whole models from one form to another: weights, tokenizer and chat template.
#pragma once

#include <filesystem>
#include <string>

#include "millrace/generate/language_model.h"

namespace millrace {

/// Writes a .gguf file with weights, tokenizer and chat template that llama.cpp opens.
void export_gguf(const LanguageModel& model, const std::filesystem::path& path,
                 const Quantization& quantization);

/// Writes a folder with weights, tokenizer and chat template that transformers opens; matrices as
/// `dtype`.
void export_folder(const LanguageModel& model, const std::filesystem::path& folder, DType dtype);

/// tokenizer.json and tokenizer_config.json, the chat template in the latter.
void save_tokenizer(const Tokenizer& tokenizer, const std::string& chat_template,
                    const std::filesystem::path& folder);

}  // namespace millrace
