#include "millrace/train/report.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "millrace/base/file.h"
#include "millrace/train/run_folder.h"

namespace millrace {
namespace {

constexpr std::string_view kStyle = R"(
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.figures { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1rem 0; }
.figures div { border: 1px solid #8884; border-radius: .5rem; padding: .5rem .9rem; }
.figures b { display: block; font-size: 1.2rem; } .figures span { color: #888; font-size: .85rem; }
svg { max-width: 100%; height: auto; }
pre { background: #8881; border-radius: .5rem; padding: .8rem 1rem; white-space: pre-wrap;
      overflow-wrap: anywhere; }
blockquote { border-left: 3px solid #3b82f6; margin: .8rem 0; padding: 0 1rem;
             white-space: pre-wrap; overflow-wrap: anywhere; }
blockquote i { color: #888; }
)";

std::optional<double> number(const Json& line, const char* name) {
  auto found = line.find(name);
  if (found == line.end() || !found->is_number()) return std::nullopt;
  return found->get<double>();
}

/// Over all lines that have the number.
std::optional<double> mean(std::span<const Json> log, const char* name) {
  double sum = 0;
  int64_t count = 0;
  for (const Json& line : log) {
    if (auto value = number(line, name)) {
      sum += *value;
      ++count;
    }
  }
  if (count == 0) return std::nullopt;
  return sum / static_cast<double>(count);
}

std::string duration(double seconds) {
  auto whole = static_cast<int64_t>(seconds);
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole / 60 % 60);
}

std::string figures(std::span<const Json> log) {
  std::string out = "<div class=\"figures\">\n";
  auto show = [&](const char* label, const std::string& text) {
    out += fmt::format("<div><b>{}</b><span>{}</span></div>\n", text, label);
  };
  auto figure = [&](const char* name, const char* label, auto&& text) {
    if (auto value = last_number(log, name)) show(label, text(*value));
  };
  auto plain = [](double value) { return fmt::format("{:.4g}", value); };
  auto whole = [](double value) { return fmt::format("{:.0f}", value); };
  auto percent = [](double value) { return fmt::format("{:.1f} %", 100 * value); };
  auto megabytes = [](double value) { return fmt::format("{:.0f} MB", value / 1e6); };
  figure("step", "steps", whole);
  figure("loss", "training loss", plain);
  figure("heldout_loss", "held-out loss", plain);
  figure("heldout_bits_per_byte", "bits per byte", plain);
  figure("heldout_bits_per_character", "bits per character", plain);
  figure("tokens", "tokens seen", whole);
  const auto tokens = last_number(log, "tokens"), seconds = last_number(log, "seconds");
  if (tokens && seconds && *seconds > 0) show("tokens per second", whole(*tokens / *seconds));
  if (auto mfu = mean(log, "mfu")) show("model FLOPs utilisation", percent(*mfu));
  figure("memory_bytes", "peak memory", megabytes);
  figure("seconds", "time", duration);
  return out + "</div>\n";
}

/// The samples of the last step that has any.
std::string samples(std::span<const Json> log) {
  auto has_samples = [](const Json& line) {
    return line.contains("samples") && line["samples"].is_array() && !line["samples"].empty();
  };
  const Json* last = nullptr;
  for (const Json& line : log) {
    if (has_samples(line)) last = &line;
  }
  if (last == nullptr) return "";
  std::string out = fmt::format("<h2>Samples at step {}</h2>\n", last->value("step", int64_t{0}));
  for (const Json& sample : (*last)["samples"]) {
    if (!sample.is_object()) continue;
    auto text = [&](const char* name) {
      bool found = sample.contains(name) && sample[name].is_string();
      return escape_markup(found ? sample[name].get<std::string>() : "");
    };
    out += fmt::format("<blockquote><i>{}</i>{}</blockquote>\n", text("prompt"), text("text"));
  }
  return out;
}

Plot simple_plot(std::span<const Json> log, const char* name, const char* title,
                 const char* y_label) {
  Plot plot{title, "step", y_label, {{name, {}, {}}}};
  for (const Json& line : log) {
    auto value = number(line, name);
    if (!value) continue;
    plot.curves[0].x.push_back(number(line, "step").value_or(0));
    plot.curves[0].y.push_back(*value);
  }
  return plot;
}

}  // namespace

Plot loss_plot(std::span<const Json> log, const std::string& title) {
  Plot plot{title, "step", "loss (nats per token)", {{"training", {}, {}, true}}};
  plot.curves[0] = simple_plot(log, "loss", "", "").curves[0];
  plot.curves[0].name = "training";
  plot.curves[0].noisy = true;
  Curve heldout = simple_plot(log, "heldout_loss", "", "").curves[0];
  heldout.name = "held-out";
  if (!heldout.x.empty()) plot.curves.push_back(std::move(heldout));
  return plot;
}

std::string report_html(const std::string& name, std::span<const Json> log,
                        const std::string& recipe_yaml) {
  std::string title = escape_markup(name);
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width\">\n"
      "<title>{0}</title><style>{1}</style></head>\n<body>\n<h1>{0}</h1>\n",
      title, kStyle);
  out += figures(log);
  out += plot_svg(loss_plot(log, "Loss"));
  out += plot_svg(simple_plot(log, "lr", "Learning rate", "learning rate"), 840, 240);
  out += plot_svg(simple_plot(log, "grad_norm", "Gradient norm", "norm"), 840, 240);
  out += samples(log);
  out +=
      fmt::format("<h2>Recipe</h2>\n<pre>{}</pre>\n</body></html>\n", escape_markup(recipe_yaml));
  return out;
}

void write_report(const std::filesystem::path& run) {
  std::vector<Json> log = read_log(run);
  std::string name = run.filename().string();
  write_file(run / "loss.svg", plot_svg(loss_plot(log, name)));
  write_file(run / "report.html", report_html(name, log, read_file(run / "recipe.yaml")));
}

}  // namespace millrace
