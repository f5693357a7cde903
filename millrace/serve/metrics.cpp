#include "millrace/serve/metrics.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

namespace millrace::serve {
namespace {

constexpr double kSeconds[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60};
constexpr double kGaps[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5};

void describe(std::string& out, std::string_view name, std::string_view type,
              std::string_view help) {
  out += fmt::format("# HELP {} {}\n# TYPE {} {}\n", name, help, name, type);
}

/// A label's value: backslash, quote and line feed are the three that are written otherwise.
std::string label(std::string_view name, std::string_view value) {
  std::string text;
  for (char c : value) {
    if (c == '\\' || c == '"') text += '\\';
    if (c == '\n') {
      text += "\\n";
    } else {
      text += c;
    }
  }
  return fmt::format("{}=\"{}\"", name, text);
}

template <typename T>
void line(std::string& out, std::string_view name, const std::string& labels, T value) {
  if (labels.empty()) {
    out += fmt::format("{} {}\n", name, value);
  } else {
    out += fmt::format("{}{{{}}} {}\n", name, labels, value);
  }
}

template <typename T>
void metric(std::string& out, std::string_view name, std::string_view type, std::string_view help,
            T value) {
  describe(out, name, type, help);
  line(out, name, "", value);
}

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

/// One metric of every model's scheduler.
template <typename Value>
void of_models(std::string& out, const EngineGauges& gauges, std::string_view name,
               std::string_view type, std::string_view help, const Value& value) {
  describe(out, name, type, help);
  for (const auto& [model, state] : gauges.models) {
    line(out, name, label("model", model), value(state));
  }
}

void print_models(std::string& out, const EngineGauges& gauges) {
  using S = SchedulerState;
  of_models(out, gauges, "millrace_sequences_running", "gauge", "Sequences that run",
            [](const S& s) { return s.running; });
  of_models(out, gauges, "millrace_sequences_waiting", "gauge", "Sequences that wait",
            [](const S& s) { return s.waiting; });
  of_models(out, gauges, "millrace_cache_usage_ratio", "gauge",
            "Part of the keys' and values' memory that sequences hold", [](const S& s) {
              return static_cast<double>(s.used_blocks) /
                     static_cast<double>(std::max<int64_t>(s.max_blocks, 1));
            });
  of_models(out, gauges, "millrace_cache_kept_blocks", "gauge",
            "Blocks of 64 positions kept for prompts that begin alike",
            [](const S& s) { return s.kept_blocks; });
  of_models(out, gauges, "millrace_batches_total", "counter", "Passes through the model",
            [](const S& s) { return s.batches; });
  of_models(out, gauges, "millrace_batch_tokens_total", "counter", "Tokens of these passes",
            [](const S& s) { return s.batch_tokens; });
  of_models(out, gauges, "millrace_preemptions_total", "counter",
            "Sequences that had to wait midway for memory",
            [](const S& s) { return s.preemptions; });
  of_models(out, gauges, "millrace_drafted_tokens_total", "counter", "Tokens guessed ahead",
            [](const S& s) { return s.drafted_tokens; });
  of_models(out, gauges, "millrace_accepted_tokens_total", "counter", "Of these, right",
            [](const S& s) { return s.accepted_tokens; });
}

}  // namespace

void Histogram::observe(double value) {
  const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
  ++counts_[static_cast<size_t>(bound - bounds_.begin())];
  sum_ += value;
}

void Histogram::print(std::string& out, std::string_view name, const std::string& labels) const {
  const std::string before = labels.empty() ? "" : labels + ",";
  uint64_t total = 0;
  for (size_t i = 0; i < counts_.size(); ++i) {
    total += counts_[i];
    const std::string bound = i < bounds_.size() ? fmt::format("{}", bounds_[i]) : "+Inf";
    line(out, fmt::format("{}_bucket", name), fmt::format("{}le=\"{}\"", before, bound), total);
  }
  line(out, fmt::format("{}_sum", name), labels, sum_);
  line(out, fmt::format("{}_count", name), labels, total);
}

Metrics::Metrics() : first_token_(kSeconds), token_gap_(kGaps) {}

void Metrics::count_request(const http::AccessRecord& record) {
  const std::string route = record.route.empty() ? "unknown" : record.route;
  std::lock_guard lock(mutex_);
  ++requests_[{route, record.status}];
  durations_.try_emplace(route, kSeconds).first->second.observe(record.seconds);
}

void Metrics::observe_first_token(double seconds) {
  std::lock_guard lock(mutex_);
  first_token_.observe(seconds);
}

void Metrics::observe_token_gap(double seconds) {
  std::lock_guard lock(mutex_);
  token_gap_.observe(seconds);
}

void Metrics::count_tokens(const Finish& finish) {
  std::lock_guard lock(mutex_);
  prompt_tokens_ += static_cast<uint64_t>(finish.prompt_tokens);
  cached_tokens_ += static_cast<uint64_t>(finish.cached_prompt_tokens);
  generated_tokens_ += static_cast<uint64_t>(finish.generated_tokens);
  ++finishes_[finish_reason_name(finish.reason)];
}

std::string Metrics::print(const EngineGauges& gauges) const {
  std::string out;
  std::lock_guard lock(mutex_);
  describe(out, "millrace_http_requests_total", "counter", "Answered requests");
  for (const auto& [key, count] : requests_) {
    line(out, "millrace_http_requests_total",
         fmt::format("{},status=\"{}\"", label("route", key.first), key.second), count);
  }
  describe(out, "millrace_http_request_duration_seconds", "histogram",
           "From a request's head to its answer's last byte");
  for (const auto& [route, histogram] : durations_) {
    histogram.print(out, "millrace_http_request_duration_seconds", label("route", route));
  }
  describe(out, "millrace_time_to_first_token_seconds", "histogram",
           "From a request's arrival to its first token");
  first_token_.print(out, "millrace_time_to_first_token_seconds", "");
  describe(out, "millrace_inter_token_latency_seconds", "histogram",
           "Between two tokens of a sequence");
  token_gap_.print(out, "millrace_inter_token_latency_seconds", "");
  metric(out, "millrace_prompt_tokens_total", "counter", "Tokens of prompts", prompt_tokens_);
  metric(out, "millrace_cached_prompt_tokens_total", "counter", "Of these, found in the cache",
         cached_tokens_);
  metric(out, "millrace_generated_tokens_total", "counter", "Tokens written", generated_tokens_);
  describe(out, "millrace_sequences_finished_total", "counter", "Sequences by how they ended");
  for (const auto& [reason, count] : finishes_) {
    line(out, "millrace_sequences_finished_total", label("reason", reason), count);
  }
  metric(out, "millrace_pending_sequences", "gauge", "Sequences that wait or run", gauges.pending);
  metric(out, "millrace_open_connections", "gauge", "Connections", gauges.connections);
  metric(out, "millrace_open_streams", "gauge", "Streams under way", gauges.streams);
  print_models(out, gauges);
  metric(out, "process_resident_memory_bytes", "gauge", "Memory in use", resident_bytes());
  return out;
}

}  // namespace millrace::serve
