// millrace pull: brings a model here.
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>

#include "millrace/base/interrupt.h"
#include "millrace/base/progress.h"
#include "millrace/cli/options.h"
#include "millrace/cli/verbs.h"
#include "millrace/hub/pull.h"

namespace millrace::cli {
namespace {

struct Arguments {
  std::string source, revision;
  hub::PullRequest request;
  int connections = 4;
  bool json = false;
};

/// A bar whose whole may become larger while it is drawn.
class Bar {
 public:
  void update(uint64_t done, uint64_t total) {
    if (!progress_ || total != total_) progress_.emplace("pull", static_cast<int64_t>(total));
    total_ = total;
    progress_->update(static_cast<int64_t>(done),
                      fmt::format("{:.1f} of {:.1f} MB", static_cast<double>(done) / 1e6,
                                  static_cast<double>(total) / 1e6));
  }
  void finish() {
    if (progress_) progress_->finish();
  }

 private:
  std::optional<Progress> progress_;
  uint64_t total_ = 0;
};

void pull(Arguments arguments) {
  arguments.request.reference = hub::parse_reference(arguments.source, arguments.revision);
  const Interrupt interrupt;
  Bar bar;
  hub::DownloadOptions options;
  options.connections = arguments.connections;
  options.http.stop = [&] { return interrupt.requested(); };
  options.on_progress = [&](uint64_t done, uint64_t total) { bar.update(done, total); };
  const hub::Pulled pulled =
      hub::pull(hub::Store(hub::home_folder(std::getenv)), arguments.request, std::getenv, options);
  bar.finish();
  const hub::Manifest& manifest = pulled.model.manifest;
  if (arguments.json) {
    return print_json({{"name", manifest.name},
                       {"path", pulled.model.path.string()},
                       {"commit", manifest.commit},
                       {"files", manifest.files.size()},
                       {"bytes", manifest.size()},
                       {"fetched_bytes", pulled.fetched_bytes}});
  }
  fmt::print("{}: {} files, {:.1f} MB, in {}\nTry:  millrace chat {}\n", manifest.name,
             manifest.files.size(), static_cast<double>(manifest.size()) / 1e6,
             pulled.model.path.string(), manifest.name);
}

}  // namespace

void add_pull(CLI::App& app) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App& verb = add_verb(app, "pull", "Bring a model here from a hub, a URL, a folder",
                            "millrace pull hf:Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M");
  verb.add_option("SOURCE", arguments->source,
                  "hf:owner/name (Hugging Face) or ms:owner/name (ModelScope), with :Q4_K_M for a "
                  "quantisation of a GGUF repository; the https URL of a .gguf file or an archive; "
                  "a folder, a .gguf file or an archive (.tar, .tar.gz, .tar.zst, .zip)")
      ->required();
  verb.add_option("--revision", arguments->revision,
                  "A branch, tag or commit (default: the hub's main branch)");
  verb.add_option("--include", arguments->request.include,
                  "Take only files like this, '*.safetensors'; may be repeated")
      ->allow_extra_args(false);
  verb.add_option("--exclude", arguments->request.exclude,
                  "Leave out files like this; may be repeated")
      ->allow_extra_args(false);
  verb.add_option("--name", arguments->request.name,
                  "What to call it (default: as it is asked for)");
  verb.add_option("--sha256", arguments->request.sha256, "What a single file must have");
  verb.add_option("--connections", arguments->connections, "Connections at once")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  verb.add_flag("--json", arguments->json, "Print one JSON object");
  verb.callback([arguments] { pull(*arguments); });
}

}  // namespace millrace::cli
