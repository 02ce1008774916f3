#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "server/engine/commit_listener.h"
#include "server/watch/change.h"
#include "storage/storage.h"

namespace orderd::watch {

/// One who reads the feed. Called on the feed's thread, which it must not block, without any lock
/// of the feed's.
class Watcher {
 public:
  virtual ~Watcher() = default;

  /// Once, first: everything that was committed before `Feed::add` has a position up to this one.
  virtual void begin(std::int64_t position) = 0;
  /// There may be more to read. Also called a few times a second when there is not, and while the
  /// database can't be reached before `begin`.
  virtual void look() = 0;
  /// This server ends. The last call.
  virtual void end() = 0;

  /// Up to where it has read. Called on any thread and with the feed's mutex held: takes no lock.
  virtual std::int64_t position() const = 0;
};

/// The newest changes, for all watchers of this server. What this server commits it hands over
/// itself (`committed`); what others do is read from the database, once for all watchers, and only
/// while there are any. Everything here is durable and without a gap. Thread-safe.
class Feed final : public engine::CommitListener {
 public:
  struct Options {
    /// How often the database is asked for what other servers have committed.
    std::chrono::milliseconds poll{20};
    /// What is kept for watchers that are behind.
    std::size_t changes = 50'000;
    std::size_t bytes = 32u << 20;
    std::size_t watchers = 1'000;
  };

  Feed(storage::Storage& storage, const Options& options);
  /// Stops as by `stop`.
  ~Feed() override;

  /// Nothing is done and false is returned if there are too many, or the feed ends. Until `remove`,
  /// or `end`, the watcher is called.
  bool add(std::shared_ptr<Watcher> watcher);
  /// It may be in a call still when this returns.
  void remove(const Watcher* watcher);

  struct Page {
    /// The changes that follow are not kept here any more: ask the database.
    bool behind = false;
    /// They had to make room for newer ones, rather than that they were erased.
    bool evicted = false;
    std::vector<ChangePtr> changes;
  };
  /// The changes behind a position that a watcher got from here, at most `limit`.
  Page read(std::int64_t after, std::size_t limit) const;
  /// Up to where everything is known.
  std::int64_t position() const;

  /// As of the storage, for what a watcher read by itself.
  void make_durable() { storage_.make_durable(); }

  bool listening() const override { return listening_; }
  void committed(std::vector<storage::FeedChange> changes) override;

  /// For metrics.
  struct State {
    std::int64_t position = 0;
    std::size_t watchers = 0;
    /// By how many changes the slowest watcher is behind.
    std::int64_t behind = 0;
    /// What is kept.
    std::size_t changes = 0;
    std::size_t bytes = 0;
  };
  State state() const;

  bool stopping() const;
  /// Takes no more watchers and ends those that there are; does not wait for the database.
  void end_watchers();
  /// That, and waits for the threads.
  void stop();

 private:
  struct Member {
    std::shared_ptr<Watcher> watcher;
    std::uint64_t number = 0;
    /// The database has been read since it was added.
    bool may_begin = false;
    bool begun = false;
  };

  /// Takes what the engine hands over and calls the watchers; never waits for the database.
  void serve();
  /// Reads what the engine does not hand over.
  void follow();
  /// What the database has come to; nothing if it can't be reached.
  std::optional<std::int64_t> read_position();
  /// Reads what the database has behind the position. False if it can't be reached.
  bool read_database();
  /// Log that the database can't be reached, and that it can again.
  void failed(const std::exception& error);
  // Under the mutex.
  void append(std::vector<ChangePtr> changes);
  /// Takes over what the engine has handed over, if that is what comes next.
  void take_handed(std::unique_lock<std::mutex>& lock);
  void forget();
  /// Lets go of what was kept of an order whose customer was erased; who is behind asks the
  /// database, where it is erased too.
  void forget_order(const Uuid& order_id);
  void answered();

  storage::Storage& storage_;
  const Options options_;
  std::atomic<bool> listening_ = false;

  mutable std::mutex mutex_;        // guards what follows
  std::condition_variable wake_;    // of `serve`
  std::condition_variable follow_;  // of `follow`
  std::vector<Member> watchers_;
  std::uint64_t added_ = 0;
  /// Whether `position_` means anything.
  bool known_ = false;
  std::int64_t position_ = 0;
  /// Up to here this server has seen COMMIT return, so everything before it is on disk too.
  std::int64_t durable_ = 0;
  /// A position that the database has come to and this has not; 0: none.
  std::int64_t suspected_ = 0;
  /// Of this server, each batch's; not looked at yet.
  std::deque<std::vector<storage::FeedChange>> handed_;
  std::chrono::steady_clock::time_point last_handed_;
  /// The last changes, up to `position_`.
  std::deque<ChangePtr> ring_;
  std::size_t ring_bytes_ = 0;
  /// The last change that had to make room.
  std::int64_t evicted_ = 0;
  bool news_ = false;
  bool beginners_ = false;
  bool must_read_ = false;
  bool failing_ = false;
  bool stopping_ = false;

  std::thread serving_;
  std::thread following_;
};

}  // namespace orderd::watch
