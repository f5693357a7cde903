// What the service counts, in the text format that Prometheus reads.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/generate/scheduler.h"
#include "millrace/serve/http/server.h"

namespace millrace::serve {

/// Counts of values by size (Prometheus' cumulative histogram).
class Histogram {
 public:
  explicit Histogram(std::span<const double> bounds)
      : bounds_(bounds.begin(), bounds.end()), counts_(bounds.size() + 1) {}

  void observe(double value);
  /// Lines of the metric; `labels` as `route="…"`, or empty.
  void print(std::string& out, std::string_view name, const std::string& labels) const;

 private:
  std::vector<double> bounds_;
  std::vector<uint64_t> counts_;  // the last: above all bounds
  double sum_ = 0;
};

/// What one wants to know of the engine when asked; filled in by the caller of print.
struct EngineGauges {
  int64_t pending = 0;
  int64_t connections = 0;
  int64_t streams = 0;
  std::map<std::string, SchedulerState> models;
};

/// Any thread may call it.
class Metrics {
 public:
  Metrics();

  void count_request(const http::AccessRecord& record);
  void observe_first_token(double seconds);
  void observe_token_gap(double seconds);
  void count_tokens(const Finish& finish);

  /// Everything, as /metrics answers.
  std::string print(const EngineGauges& gauges) const;

 private:
  mutable std::mutex mutex_;
  std::map<std::pair<std::string, int>, uint64_t> requests_;  // by route and status
  std::map<std::string, Histogram> durations_;                // by route
  Histogram first_token_, token_gap_;
  uint64_t prompt_tokens_ = 0, cached_tokens_ = 0, generated_tokens_ = 0;
  std::map<std::string_view, uint64_t> finishes_;  // by reason
};

}  // namespace millrace::serve
