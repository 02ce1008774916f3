#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "orders/v1/order_service.grpc.pb.h"
#include "tests/process/replay.h"

namespace orderd::test {

/// Watchers that break off and go on at random, at any of the servers, and a record of what each
/// was told, which is checked against the tables.
class Watchers {
 public:
  struct Kind {
    orders::v1::WatchFilter filter = {};
    bool from_snapshot = false;
    /// Takes its time over each message.
    bool slow = false;
  };
  /// (order, etag)
  using Heard = std::vector<std::pair<std::string, std::string>>;

  /// A watch ends with the change that adds a note with this body.
  Watchers(std::vector<std::string> addresses, std::uint64_t seed, std::string last_note);
  ~Watchers();

  /// Returns when the watch has begun, and has its snapshot.
  void add(const Kind& kind);
  /// Waits until each has heard of the last note; or, with a failure, for two minutes.
  void finish();

  /// What one has heard, and how often its watch was resumed.
  struct Record {
    Kind kind;
    Heard heard;
    Replay replay;
    int resumed = 0;
  };
  /// After `finish`.
  const std::vector<std::unique_ptr<Record>>& records() const { return records_; }

 private:
  void watch(Record& record, std::uint64_t seed);
  void note(const orders::v1::WatchOrdersResponse& message, Record& record, bool& last);

  const std::vector<std::string> addresses_;
  const std::uint64_t seed_;
  const std::string last_note_;
  std::vector<std::unique_ptr<Record>> records_;
  std::vector<std::thread> threads_;
  std::atomic<bool> giving_up_ = false;

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  int begun_ = 0;
  int done_ = 0;
};

/// What a watcher with this filter hears of everything that the tables hold, from the beginning: by
/// the events alone, without what the server filters by.
Watchers::Heard expected_of(const std::string& database_url, const orders::v1::WatchFilter& filter);

}  // namespace orderd::test
