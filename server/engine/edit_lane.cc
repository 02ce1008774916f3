#include "server/engine/edit_lane.h"

#include <spdlog/spdlog.h>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <mutex>
#include <thread>
#include <utility>

#include "server/orders/errors.h"

namespace orderd::engine {
namespace {

using ErrorKind = storage::Error::Kind;
using std::chrono::milliseconds;

constexpr int kMaxWaiting = 64;
constexpr int kMaxAttempts = 12;
constexpr milliseconds kRetryDelay{200};
constexpr std::chrono::seconds kSessionWait{5};

}  // namespace

class EditLane::Impl {
 public:
  explicit Impl(storage::Storage& storage) : storage_(storage) {}

  void submit(Attempt attempt, Abandoned abandoned, Done done) {
    absl::Status refusal;
    {
      std::lock_guard lock(mutex_);
      if (stopping_) {
        refusal = errors::shutting_down();
      } else if (waiting_ == kMaxWaiting) {
        refusal = errors::overloaded(kRetryDelay);
      } else {
        ++waiting_;
      }
    }
    if (!refusal.ok()) return done(refusal);
    boost::asio::post(worker_, [this, attempt = std::move(attempt),
                                abandoned = std::move(abandoned), done = std::move(done)] {
      const absl::Status status = execute(attempt, abandoned);
      {
        std::lock_guard lock(mutex_);
        --waiting_;
      }
      done(status);
    });
  }

  bool settle(const Uuid& batch_key, const Abandoned& abandoned) {
    while (true) {
      try {
        return storage_.settle_commit(batch_key, session_deadline());
      } catch (const storage::Error& error) {
        if (error.kind() != ErrorKind::kUnavailable || stopping() || (abandoned && abandoned())) {
          throw storage::Error(ErrorKind::kCommitUnknown, error.what());
        }
        std::this_thread::sleep_for(kRetryDelay);
      }
    }
  }

  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    worker_.join();
  }

 private:
  absl::Status execute(const Attempt& attempt, const Abandoned& abandoned);
  bool stopping() {
    std::lock_guard lock(mutex_);
    return stopping_;
  }

  storage::Storage& storage_;
  std::mutex mutex_;  // guards what follows
  int waiting_ = 0;
  bool stopping_ = false;
  boost::asio::thread_pool worker_{1};
};

absl::Status EditLane::Impl::execute(const Attempt& attempt, const Abandoned& abandoned) {
  absl::Status failure = errors::overloaded(kRetryDelay);
  for (int i = 0; i < kMaxAttempts; ++i) {
    if (abandoned && abandoned()) return errors::cancelled();
    try {
      if (const auto status = attempt()) return *status;
      failure = errors::overloaded(kRetryDelay);
    } catch (const storage::Error& error) {
      switch (error.kind()) {
        case ErrorKind::kConflict:
        case ErrorKind::kLockWait:
        case ErrorKind::kDuplicate:
          failure = errors::overloaded(kRetryDelay);
          break;
        case ErrorKind::kUnavailable:
          // The first time the session may only have been stale.
          if (i > 0) return errors::database_unavailable(kRetryDelay);
          break;
        case ErrorKind::kCommitUnknown:
          return errors::deadline_exceeded();
        case ErrorKind::kSchema:
        case ErrorKind::kInternal:
          spdlog::error("a change of settings or keys failed: {}", error.what());
          return errors::internal();
      }
    } catch (const std::exception& error) {
      spdlog::error("a change of settings or keys failed: {}", error.what());
      return errors::internal();
    }
  }
  return failure;
}

EditLane::EditLane(storage::Storage& storage) : impl_(std::make_unique<Impl>(storage)) {}

EditLane::~EditLane() { stop(); }

void EditLane::submit(Attempt attempt, Abandoned abandoned, Done done) {
  impl_->submit(std::move(attempt), std::move(abandoned), std::move(done));
}

bool EditLane::commit(std::unique_ptr<storage::WriteTransaction> tx, Micros now,
                      std::span<const RequestRecord> requests, const Abandoned& abandoned) {
  const Uuid batch_key = Uuid::generate();
  try {
    tx->save_requests(batch_key, now, requests);
    tx->commit();
    return true;
  } catch (const storage::Error& error) {
    if (error.kind() != ErrorKind::kCommitUnknown) throw;
  }
  tx.reset();  // what settles needs its session
  return impl_->settle(batch_key, abandoned);
}

void EditLane::stop() { impl_->stop(); }

storage::Clock::time_point EditLane::session_deadline() {
  return storage::Clock::now() + kSessionWait;
}

}  // namespace orderd::engine
