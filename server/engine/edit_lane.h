#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>

#include "absl/status/status.h"
#include "storage/storage.h"

namespace orderd::engine {

/// Executes rare changes of what is not an order, one at a time, each a transaction of its own on a
/// thread of the lane's.
class EditLane {
 public:
  /// Tries the change once: OK or a refusal ends it, nothing means that it has to be tried again.
  /// May throw storage::Error.
  using Attempt = std::function<std::optional<absl::Status>()>;
  using Abandoned = std::function<bool()>;
  using Done = std::function<void(const absl::Status&)>;

  explicit EditLane(storage::Storage& storage);
  /// Stops as by `stop`.
  ~EditLane();

  /// Never blocks; `done` is called exactly once, on the lane's thread or (refused) here.
  /// `abandoned`: whether the caller has gone; may be empty.
  void submit(Attempt attempt, Abandoned abandoned, Done done);

  /// For an attempt: saves the requests under a key of their batch and commits. False: the answer
  /// to the COMMIT was lost, and it did not happen.
  bool commit(std::unique_ptr<storage::WriteTransaction> tx, Micros now,
              std::span<const RequestRecord> requests, const Abandoned& abandoned);

  /// Refuses new edits and returns when all are answered.
  void stop();

  /// For an attempt's transactions.
  static storage::Clock::time_point session_deadline();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace orderd::engine
