// What a run has to show: its loss curve and a one-page report, made from its folder alone.
#pragma once

#include <filesystem>
#include <span>

#include "millrace/base/json.h"
#include "millrace/train/plot.h"

namespace millrace {

/// Loss in training and held out over the steps, from the lines of log.jsonl ("step", "loss",
/// "heldout_loss").
Plot loss_plot(std::span<const Json> log, const std::string& title);

/// The page of one run: figures, curves, samples ("samples": [{"prompt", "text"}] in the log) and
/// recipe. It names no other file or address, and everything that came from outside is escaped.
std::string report_html(const std::string& name, std::span<const Json> log,
                        const std::string& recipe_yaml);

/// Writes loss.svg and report.html into a run's folder, from its log and recipe.
void write_report(const std::filesystem::path& run);

}  // namespace millrace
