#pragma once

#include <boost/asio/io_context.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "server/ops/periodic.h"
#include "storage/storage.h"

namespace orderd::ops {

/// Brings the database into use, whenever it comes, and then watches whether it stays: it reads
/// every half second, so what is kept in memory is at most about that far behind.
class DatabaseWatch {
 public:
  /// Called on threads of the watch's or of `io`, one at a time.
  struct Listener {
    /// About twice a second, in a snapshot: what is kept in memory is to be refreshed.
    std::function<void(storage::ReadTransaction& tx)> read;
    /// Once, when the schema is in place and all has been read; with the storage's secret. False:
    /// it can't be used after all; the last call.
    std::function<bool(std::string secret)> reached;
    /// Instead of that, if the database is there but can't be used as it is. The last call.
    std::function<void(const storage::Error& error)> refused;
    /// Once, when it has been tried for the first time and was reached, or is away.
    std::function<void()> tried;
    /// After `reached`, when that has changed: whether the database can be used.
    std::function<void(bool usable)> usable;
  };

  /// What it is given outlives it; somebody runs `io`.
  DatabaseWatch(storage::Storage& storage, boost::asio::io_context& io, Listener listener);
  /// Stops as by `stop`.
  ~DatabaseWatch();

  /// No call is made any more when this returns. A statement that runs is waited for.
  void stop();

 private:
  using Clock = std::chrono::steady_clock;

  void work();
  /// False: it can't be, or this is the end.
  bool reach();
  /// With the mutex.
  void tried();
  /// Whether it answers.
  bool probe();
  void check_silence();
  /// With the mutex.
  void set_usable(bool usable);
  /// True: at the end.
  bool wait(std::chrono::milliseconds time);

  storage::Storage& storage_;
  const Listener listener_;

  std::mutex mutex_;  // guards what follows, and calls of the listener
  std::condition_variable changed_;
  bool tried_ = false;
  bool usable_ = false;
  bool stopping_ = false;
  std::optional<Clock::time_point> asked_;  // while an answer is waited for

  Periodic silence_;
  std::thread thread_;
};

}  // namespace orderd::ops
