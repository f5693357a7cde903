// What somebody asks for: hf:owner/name, ms:owner/name, a URL, a folder or a file.
#pragma once

#include <string>
#include <string_view>

namespace millrace::hub {

enum class Source { hugging_face, model_scope, url, path };

struct Reference {
  Source source = Source::path;
  std::string place;     ///< "owner/name", the URL, or the path
  std::string variant;   ///< "Q4_K_M" of hf:owner/name-GGUF:Q4_K_M; empty: none
  std::string revision;  ///< a branch, tag or commit; empty: the hub's default

  bool is_hub() const { return source == Source::hugging_face || source == Source::model_scope; }
  /// What a model that was pulled from here is called: "hf:owner/name:Q4_K_M@v1.0"; of a URL or a
  /// path the file's or folder's name, without .gguf or an archive's ending.
  std::string name() const;
};

/// Throws Error that says what a reference looks like.
Reference parse_reference(std::string_view text, std::string_view revision = {});

/// Whether text means a model of a hub ("hf:…", "ms:…"), rather than a path.
bool names_hub(std::string_view text);

/// A name that a pulled model can have: no more than letters, digits, ._@:- and slashes between
/// parts. Throws Error for another.
std::string checked_name(std::string_view name);

}  // namespace millrace::hub
