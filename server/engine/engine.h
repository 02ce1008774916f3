#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "server/engine/command.h"
#include "server/engine/commit_listener.h"
#include "server/engine/order_cache.h"
#include "server/engine/settings_cache.h"
#include "storage/storage.h"

namespace orderd::engine {

struct Limits {
  /// Threads that write, each with a session of its own. Fewer lanes make bigger batches: one is
  /// fastest (see docs/adr). SQLite always has one.
  int lanes = 1;
  /// Rows that a batch loads and writes, about. A heavier command runs alone.
  int batch_cost = 2000;
  /// Commands and bytes that may wait, and commands of one caller.
  std::size_t queue_commands = 4096;
  std::size_t queue_bytes = 64u << 20;
  std::size_t caller_commands = 2048;
  /// A command that has waited longer is refused, not run.
  std::chrono::milliseconds queue_age{10'000};
};

/// Counters for metrics and tests; they only rise.
struct Counters {
  std::uint64_t batches = 0;
  std::uint64_t commands = 0;
  std::uint64_t reruns = 0;
  std::uint64_t splits = 0;
  std::uint64_t settled_commits = 0;
};

/// What waits for a lane.
struct Waiting {
  std::size_t commands = 0;
  std::size_t bytes = 0;
};

/// One batch that was committed.
struct BatchReport {
  std::size_t commands = 0;
  /// How long the one that waited longest did.
  std::chrono::nanoseconds waited{};
  /// From the wait for a session to the end of COMMIT.
  std::chrono::nanoseconds duration{};
};
/// Thread-safe, must not block.
using BatchObserver = std::function<void(const BatchReport&)>;

/// Executes commands: queue -> batch -> lock and load -> rules -> save -> commit -> answer.
///
/// Commands on one order run in the order of their submission. Each is one change with one version
/// bump, or one refusal that disturbs nobody, though many share a transaction. A command is
/// answered after its change is durable.
class Engine {
 public:
  /// `listener`: outlives the engine, or null.
  Engine(storage::Storage& storage, OrderCache& cache, SettingsCache& settings,
         const Limits& limits, CommitListener* listener = nullptr, BatchObserver observer = {});
  /// Stops as by `stop`.
  ~Engine();

  /// Queues the command, or answers it at once with RESOURCE_EXHAUSTED. Never blocks.
  void submit(Command command);
  /// All or none, in one batch if they fit; for calls that must not be torn by the queue's limit.
  void submit(std::vector<Command> commands);

  /// Refuses new commands, runs those that wait, and returns when all are answered.
  void stop();

  Counters counters() const;
  Waiting waiting() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace orderd::engine
