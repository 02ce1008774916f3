#include <cstddef>

#include "server/ops/options.h"

namespace orderd::ops {

LimitsOptions::LimitsOptions(CLI::App& app, LimitsConfig& limits) : limits_(limits) {
  const auto count = [&](const char* name, const char* variable, const char* description,
                         std::size_t most, std::size_t& value) {
    app.add_option(name, value, description)
        ->envname(variable)
        ->check(CLI::Range(std::size_t{1}, most))
        ->capture_default_str();
  };
  count("--max-calls", "ORDERD_MAX_CALLS",
        "Unary calls that run at once; more are refused at once, with a delay to try again after",
        100'000, limits.calls);
  count("--max-connections", "ORDERD_MAX_CONNECTIONS",
        "Connections at a time; fewer if the process may not open as many files", 1'000'000,
        limits.connections);
  count("--max-streams", "ORDERD_MAX_STREAMS", "Calls at a time on one connection", 100'000,
        limits.streams);
  count("--max-watchers", "ORDERD_MAX_WATCHERS", "WatchOrders calls at a time", 100'000,
        limits.watchers);
  count("--max-imports", "ORDERD_MAX_IMPORTS", "ImportOrders calls at a time", 1000,
        limits.imports);
  app.add_option("--rate-limit", limits.rate, "Calls per second that each caller may make; 0: any")
      ->envname("ORDERD_RATE_LIMIT")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  app.add_option("--rate-burst", limits.burst,
                 "Calls that it may make at once after a pause; 0: as many as in a second")
      ->envname("ORDERD_RATE_BURST")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  add_seconds(app, "--default-deadline", "ORDERD_DEFAULT_DEADLINE",
              "Seconds for a call that names no deadline; streams have none", 0.1, 86'400,
              limits.default_deadline);
  add_seconds(app, "--max-deadline", "ORDERD_MAX_DEADLINE",
              "Seconds that a call may take whatever deadline it names; streams may go on", 0.1,
              86'400, limits.max_deadline);
  count("--memory-mb", "ORDERD_MEMORY_MB",
        "Memory for connections and messages on their way, in MiB; the cache (--cache-mb) and the "
        "queue come on top",
        1 << 20, limits.memory_mb);
}

void LimitsOptions::apply() {
  if (limits_.default_deadline > limits_.max_deadline) {
    throw CLI::ValidationError("--default-deadline", "must not be above --max-deadline");
  }
  if (limits_.burst > 0 && limits_.rate == 0) {
    throw CLI::ValidationError("--rate-burst", "needs --rate-limit");
  }
  if (limits_.burst == 0) limits_.burst = limits_.rate;
}

}  // namespace orderd::ops
