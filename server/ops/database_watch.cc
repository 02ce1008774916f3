#include "server/ops/database_watch.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace orderd::ops {
namespace {

using Kind = storage::Error::Kind;
using std::chrono::milliseconds;

constexpr milliseconds kRefresh{500};
/// While it can't be reached; at the start, doubled up to `kLongestPause`.
constexpr milliseconds kPause{200};
constexpr milliseconds kLongestPause{2'000};
constexpr std::chrono::seconds kSessionWait{2};
/// A database that takes longer to answer a single-row read is not served from.
constexpr std::chrono::seconds kSilence{5};
constexpr milliseconds kLook{250};
/// So many times in a row: one alone may be a session that was ended.
constexpr int kFailures = 2;

bool may_pass(const storage::Error& error) {
  return error.kind() != Kind::kSchema && error.kind() != Kind::kInternal;
}

}  // namespace

DatabaseWatch::DatabaseWatch(storage::Storage& storage, boost::asio::io_context& io,
                             Listener listener)
    : storage_(storage),
      listener_(std::move(listener)),
      silence_(io, kLook, [this] { check_silence(); }),
      thread_([this] { work(); }) {}

DatabaseWatch::~DatabaseWatch() { stop(); }

void DatabaseWatch::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void DatabaseWatch::work() {
  if (!reach()) return;
  int failures = 0;
  while (!wait(failures == 0 ? kRefresh : kPause)) {
    const bool answers = probe();
    failures = answers ? 0 : failures + 1;
    std::lock_guard lock(mutex_);
    if (answers) {
      set_usable(true);
    } else if (failures >= kFailures) {
      set_usable(false);
    }
  }
}

bool DatabaseWatch::reach() {
  bool told = false;
  for (milliseconds pause = kPause;; pause = std::min(pause * 2, kLongestPause)) {
    try {
      storage_.prepare();
      std::string secret = storage_.secret();
      const auto tx = storage_.begin_read(storage::Clock::now() + kSessionWait);
      tx->snapshot();
      listener_.read(*tx);
      std::lock_guard lock(mutex_);
      if (stopping_) return false;
      if (!listener_.reached(std::move(secret))) return false;
      if (told) spdlog::info("the database is there");
      usable_ = true;
      tried();
      return true;
    } catch (const storage::Error& error) {
      std::lock_guard lock(mutex_);
      if (stopping_) return false;
      if (!may_pass(error)) {
        listener_.refused(error);
        return false;
      }
      if (!std::exchange(told, true)) {
        spdlog::warn("{}; orders are not served until it can be used", error.what());
      }
      tried();
    }
    if (wait(pause)) return false;
  }
}

void DatabaseWatch::tried() {
  if (!std::exchange(tried_, true)) listener_.tried();
}

bool DatabaseWatch::probe() {
  {
    std::lock_guard lock(mutex_);
    asked_ = Clock::now();
  }
  bool answers = false;
  try {
    const auto tx = storage_.begin_read(storage::Clock::now() + kSessionWait);
    tx->snapshot();
    listener_.read(*tx);
    answers = true;
  } catch (const storage::Error& error) {
    // Whoever says that a lock is held, or that there is a conflict, is there.
    answers = error.kind() == Kind::kConflict || error.kind() == Kind::kLockWait;
    if (!answers) spdlog::debug("the settings can't be read: {}", error.what());
  }
  std::lock_guard lock(mutex_);
  asked_.reset();
  return answers;
}

void DatabaseWatch::check_silence() {
  std::lock_guard lock(mutex_);
  if (asked_ && Clock::now() - *asked_ > kSilence) set_usable(false);
}

void DatabaseWatch::set_usable(bool usable) {
  if (stopping_ || std::exchange(usable_, usable) == usable) return;
  if (usable) {
    spdlog::info("the database answers again; orders are served");
  } else {
    spdlog::warn("the database does not answer; orders are not served until it does");
  }
  listener_.usable(usable);
}

bool DatabaseWatch::wait(milliseconds time) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, time, [this] { return stopping_; });
}

}  // namespace orderd::ops
