// NumPy's .npy files: one array of f32.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

namespace millrace {

/// Writes rows of equal length as a matrix [rows, width].
void write_npy(const std::filesystem::path& path, std::span<const std::vector<float>> rows);

}  // namespace millrace
