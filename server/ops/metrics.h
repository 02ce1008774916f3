#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "server/engine/engine.h"
#include "server/engine/order_cache.h"
#include "server/engine/reader.h"
#include "server/ops/background.h"
#include "server/payments/accounts.h"
#include "server/payments/gateway.h"
#include "server/watch/feed.h"
#include "storage/storage.h"

namespace prometheus {
class Collectable;
class Exposer;
}  // namespace prometheus

// What Prometheus reads of this server; docs/observability.md says what each metric means. Labels
// have few values, all known beforehand: no ids, and nothing about persons.

namespace orderd::ops {

/// Hears of what happens. Everything is thread-safe and does not block.
class Metrics {
 public:
  Metrics();
  ~Metrics();

  void call(std::string_view method, absl::StatusCode code, std::chrono::nanoseconds duration);
  void batch(const engine::BatchReport& report);
  void gateway_call(const payments::GatewayReport& report);
  void statement(std::string_view sql);

  std::shared_ptr<prometheus::Collectable> collectable() const;

 private:
  struct Families;
  const std::shared_ptr<Families> families_;
};

/// Answers Prometheus: with what `Metrics` has heard, with the counters of the server's parts as
/// they are then, and with what waits in the database, which is read in the background.
class MetricsServer {
 public:
  /// They outlive it.
  struct Sources {
    storage::Storage& storage;
    const engine::Engine& engine;
    const engine::Reader& reader;
    const engine::OrderCache& cache;
    const watch::Feed& feed;
    const payments::Accounts& accounts;
    std::function<int()> running_calls;
  };

  /// Serves GET /metrics on HOST:PORT; port 0 picks a free one. Throws std::runtime_error if it
  /// can't listen there.
  MetricsServer(const std::string& address, const Metrics& metrics, const Sources& sources);
  ~MetricsServer();

  int port() const { return port_; }

  /// Reads what waits in the database, as it does by itself every few seconds. An error is logged,
  /// and what was read before stays.
  void read_backlogs();

 private:
  class Snapshot;

  void close();

  const std::string host_;
  int port_ = 0;
  const std::shared_ptr<prometheus::Collectable> heard_;
  const std::shared_ptr<Snapshot> snapshot_;
  std::unique_ptr<prometheus::Exposer> exposer_;
  Background reading_;
};

}  // namespace orderd::ops
