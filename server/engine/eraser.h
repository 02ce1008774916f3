#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "server/engine/engine.h"
#include "server/orders/erase.h"
#include "storage/storage.h"

namespace orderd::engine {

/// One call that erases a page of orders.
struct ErasureCall {
  pb::EraseCustomerDataRequest request;
  std::string actor;
  /// Where an earlier call stopped, and the erasure that it belongs to.
  struct Continuation {
    Uuid erasure_id;
    storage::ListQuery::Keyset after;
  };
  std::optional<Continuation> continuation;
  std::function<bool()> abandoned;
  storage::Clock::time_point deadline;
};

struct ErasureAnswer {
  /// Without token.
  pb::EraseCustomerDataResponse response;
  /// There are more orders to look at.
  std::optional<ErasureCall::Continuation> next;
};

/// Executes erasures of personal data, one page of one erasure at a time: finds the orders, submits
/// a command for each to the engine, a few at a time so that others get their turn, and keeps the
/// record. A page ends early rather than past its call's deadline.
///
/// Each order is erased in one transaction, with its row in the record. So an erasure that is cut
/// short at any point has done and recorded whole orders, and goes on when it is called again.
class Eraser {
 public:
  using Done = std::function<void(absl::StatusOr<ErasureAnswer>)>;

  Eraser(storage::Storage& storage, Engine& engine);
  /// Stops as by `stop`.
  ~Eraser();

  /// storage::Storage::secret(), for pseudonyms. Before the first call.
  void set_secret(std::string secret);

  /// Never blocks; `done` is called exactly once, on the eraser's thread or (refused) here.
  void submit(ErasureCall call, Done done);

  const rules::Pseudonyms& pseudonyms() const;

  /// Refuses new calls, lets those that wait end early, and returns when all are answered. Before
  /// the engine stops.
  void stop();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace orderd::engine
