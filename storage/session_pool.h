#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "storage/session.h"
#include "storage/storage.h"

namespace orderd::storage {

class SessionPool;

/// A session on loan. Given back by the destructor: rolled back if it is in a transaction, thrown
/// away if it is doubtful.
class Lease {
 public:
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease&&) = delete;
  ~Lease();

  Session& operator*() const { return *session_; }
  Session* operator->() const { return session_.get(); }

 private:
  friend class SessionPool;
  Lease(SessionPool& pool, Role role) : pool_(&pool), role_(role) {}

  SessionPool* pool_;
  Role role_;
  std::unique_ptr<Session> session_;
};

/// Sessions, opened when they are needed. Thread-safe; must outlive its leases.
class SessionPool {
 public:
  /// At most `max_sessions` are open, and at most `max_writers` on loan for writing.
  /// A session that was idle for longer than `trust` is asked whether it still lives.
  SessionPool(const Database& database, int max_sessions, int max_writers,
              Session::Listener listener, Clock::duration trust = std::chrono::seconds(15))
      : database_(database),
        max_sessions_(max_sessions),
        max_writers_(max_writers),
        listener_(std::move(listener)),
        trust_(trust) {}

  /// A session that works, or did a moment ago, in the right role. Throws kUnavailable if none is
  /// free at the deadline.
  Lease lease(Role role, Clock::time_point deadline);

  const Database& database() const { return database_; }

  Sessions sessions() const;

 private:
  friend class Lease;

  struct Idle {
    std::unique_ptr<Session> session;
    Clock::time_point since;
  };

  std::unique_ptr<Session> open();
  /// Takes a session of that role if there is one, else any; null if there is none.
  std::unique_ptr<Session> take_idle(Role role, Clock::time_point& since);
  std::unique_ptr<Session> ready(std::unique_ptr<Session> session, Clock::time_point since);
  void give_back(std::unique_ptr<Session> session, Role role) noexcept;

  const Database database_;
  const int max_sessions_;
  const int max_writers_;
  const Session::Listener listener_;
  const Clock::duration trust_;

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::vector<Idle> idle_;
  int leased_ = 0;
  int writers_ = 0;
  int waiting_ = 0;

  std::atomic<std::uint64_t> opened_ = 0, refused_ = 0, discarded_ = 0, missed_ = 0;
};

}  // namespace orderd::storage
