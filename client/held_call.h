#pragma once

#include <grpcpp/grpcpp.h>

#include <condition_variable>
#include <mutex>
#include <utility>

#include "client/retry.h"

namespace orderd::client::internal {

/// The end of a streaming call whose reads and writes start outside of gRPC's reactions. What
/// derives from it begins the call with AddHold, and calls `cancel` in its destructor: until then
/// there may be reactions.
template <class Reactor>
class HeldCall : public Reactor {
 public:
  /// Waits for the end of the call, which must have ended or been canceled.
  absl::Status finish() {
    if (!std::exchange(hold_removed_, true)) this->RemoveHold();
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_; });
    return to_status(status_);
  }

 protected:
  void cancel() {
    context_.TryCancel();
    finish().IgnoreError();
  }

  grpc::ClientContext context_;
  std::mutex mutex_;
  std::condition_variable changed_;

 private:
  void OnDone(const grpc::Status& status) final {
    // Notified under the lock: the waiter may destroy this object as soon as it has it.
    std::lock_guard lock(mutex_);
    status_ = status;
    done_ = true;
    changed_.notify_all();
  }

  bool hold_removed_ = false;
  bool done_ = false;  // this and what follows: guarded by mutex_
  grpc::Status status_;
};

}  // namespace orderd::client::internal
