#include "server/ops/options.h"

namespace orderd::ops {

MetricsOptions::MetricsOptions(CLI::App& app, MetricsConfig& metrics) {
  app.add_option("--metrics", metrics.listen,
                 "HOST:PORT on which Prometheus can read metrics at /metrics; port 0 picks a free "
                 "one, which the log names. Without it there are none")
      ->envname("ORDERD_METRICS")
      ->check(CLI::Validator(
          [](const std::string& address) {
            return is_address(address) ? std::string()
                                       : std::string("must be HOST:PORT, e.g. 127.0.0.1:9464");
          },
          ""));
}

}  // namespace orderd::ops
