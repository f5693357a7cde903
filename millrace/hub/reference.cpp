#include "millrace/hub/reference.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "millrace/base/error.h"
#include "millrace/hub/archive.h"
#include "millrace/hub/safe_path.h"
#include "millrace/hub/url.h"

namespace millrace::hub {
namespace {

constexpr std::string_view kForms =
    "a model is hf:owner/name or ms:owner/name, with :Q4_K_M for one quantisation of a GGUF "
    "repository; an https URL; or a folder, an archive or a .gguf file that is there";

bool is_plain(std::string_view text, std::string_view marks) {
  return !text.empty() && text.size() <= 255 && std::ranges::all_of(text, [&](unsigned char c) {
    return std::isalnum(c) != 0 || marks.find(static_cast<char>(c)) != std::string_view::npos;
  });
}

/// "owner/name", as both hubs allow it.
bool is_repository(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return false;
  auto is_part = [](std::string_view part) {
    return is_plain(part, "._-") && part.front() != '.' &&
           part.find("..") == std::string_view::npos;
  };
  return is_part(text.substr(0, slash)) && is_part(text.substr(slash + 1));
}

Reference hub_reference(std::string_view text) {
  Reference result;
  result.source = text.starts_with("hf:") ? Source::hugging_face : Source::model_scope;
  std::string_view place = text.substr(3);
  const size_t colon = place.find(':');
  if (colon != std::string_view::npos) {
    result.variant = place.substr(colon + 1);
    require(is_plain(result.variant, "._-"), "{}: {} is no quantisation, such as Q4_K_M",
            quote(text), quote(result.variant));
    place = place.substr(0, colon);
  }
  require(is_repository(place), "{}: {}", quote(text), kForms);
  result.place = place;
  return result;
}

/// The last part of a path or URL, without what only says its format.
std::string stem_of(std::string file) {
  for (std::string_view ending : kArchiveEndings) {
    if (file.ends_with(ending)) return file.substr(0, file.size() - ending.size());
  }
  if (file.ends_with(".gguf")) file.resize(file.size() - 5);
  return file;
}

}  // namespace

bool names_hub(std::string_view text) {
  return text.starts_with("hf:") || text.starts_with("ms:");
}

std::string Reference::name() const {
  if (source == Source::url) return stem_of(file_name_of(place));
  if (source == Source::path) {
    const std::filesystem::path path = std::filesystem::absolute(place).lexically_normal();
    return stem_of((path.has_filename() ? path : path.parent_path()).filename().string());
  }
  std::string result = (source == Source::hugging_face ? "hf:" : "ms:") + place;
  if (!variant.empty()) result += ":" + variant;
  if (!revision.empty()) result += "@" + revision;
  return result;
}

Reference parse_reference(std::string_view text, std::string_view revision) {
  require(!text.empty(), "{}", kForms);
  Reference result;
  if (names_hub(text)) {
    result = hub_reference(text);
  } else if (text.find("://") != std::string_view::npos) {
    result = {Source::url, std::string(text), "", ""};
    origin_of(result.place);
  } else {
    std::error_code ignored;
    require(std::filesystem::exists(text, ignored), "{}: there is no such file or folder; {}",
            quote(text), kForms);
    result = {Source::path, std::string(text), "", ""};
  }
  if (revision.empty()) return result;
  require(result.is_hub(), "--revision {}: only hf: and ms: models have revisions",
          quote(revision));
  require(is_plain(revision, "._-/") && revision.find("..") == std::string_view::npos &&
              revision.front() != '/' && revision.back() != '/' &&
              revision.find("//") == std::string_view::npos,
          "--revision {}: a branch, a tag or a commit", quote(revision));
  result.revision = revision;
  return result;
}

std::string checked_name(std::string_view name) {
  checked_path(name, "the name of a model");
  require(name.front() != '.' && name.find("/.") == std::string_view::npos,
          "the name {} has a part that begins with a point; give another by --name", quote(name));
  return std::string(name);
}

}  // namespace millrace::hub
