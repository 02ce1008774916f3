#include "server/engine/engine.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <random>
#include <thread>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "server/engine/batch.h"
#include "server/orders/errors.h"
#include "storage/wall_clock.h"

namespace orderd::engine {
namespace {

using storage::Clock;
using Kind = storage::Error::Kind;
using std::chrono::milliseconds;

constexpr milliseconds kRetryDelay{200};
constexpr std::chrono::seconds kSessionWait{2};
constexpr std::chrono::seconds kStaleShows{1};
/// A batch that fails this often is split, a command that does so alone is refused.
constexpr int kMaxReruns = 12;
/// The same for waits in vain, each of which takes seconds: for orders once, since then they are
/// skipped, and for what can't be skipped (a claim, the feed's head) twice more.
constexpr int kMaxLockWaits = 3;

struct Pending {
  Command command;
  Clock::time_point queued;
};

milliseconds jitter(milliseconds most) {
  thread_local std::mt19937 random{std::random_device{}()};
  return milliseconds(std::uniform_int_distribution<long>(1, most.count())(random));
}

}  // namespace

class Engine::Impl {
 public:
  Impl(storage::Storage& storage, OrderCache& cache, SettingsCache& settings, const Limits& limits,
       CommitListener* listener, BatchObserver observer)
      : storage_(storage),
        cache_(cache),
        settings_(settings),
        limits_(limits),
        listener_(listener),
        observer_(std::move(observer)) {
    const int lanes = storage.dialect() == "sqlite" ? 1 : std::max(1, limits.lanes);
    for (int i = 0; i < lanes; ++i) lanes_.push_back(std::make_unique<Lane>());
    for (auto& lane : lanes_) {
      lane->thread = std::thread([this, &own = *lane] { serve(own); });
    }
  }

  void submit(std::vector<Command> commands);
  void stop();
  Counters counters() const;
  Waiting waiting() const;

 private:
  struct Lane {
    std::deque<Pending> queue;
    /// What somebody else has locked; goes ahead of the queue.
    std::deque<Pending> contended;
    std::condition_variable wake;
    std::thread thread;
  };
  using Pendings = std::vector<Pending>;

  bool admit(const std::vector<Command>& commands);
  /// Both with the mutex held: the command waits no more; these wait (again), for a lock.
  void count_out(const Command& command);
  void put_back(Lane& lane, std::size_t position, Pendings contended);
  void serve(Lane& lane);
  Pendings take(Lane& lane, bool& with_contended);
  void run(Lane& lane, Pendings batch, storage::LockMode mode);
  /// False: to be run again.
  bool attempt(Lane& lane, Pendings& batch, storage::LockMode mode);
  /// Whether the batch is committed; nothing if the engine stops before that can be told.
  std::optional<bool> settle(Lane& lane, const Uuid& batch_key);
  void finish(Lane& lane, Pendings batch, std::unique_ptr<Batch> done);
  void drop_abandoned(Pendings& batch);
  void answer_all(Pendings batch, const absl::Status& status);
  /// `done`: what is not needed any more, to be taken apart where it holds up no batch.
  void answer(std::vector<std::pair<Command::Done, absl::StatusOr<Answer>>> answers,
              std::unique_ptr<Batch> done = nullptr);
  void split(Lane& lane, Pendings batch, storage::LockMode mode);
  /// Waits; true if the engine is stopping.
  bool pause(Lane& lane, milliseconds time);

  storage::Storage& storage_;
  OrderCache& cache_;
  SettingsCache& settings_;
  const Limits limits_;
  CommitListener* const listener_;
  const BatchObserver observer_;

  mutable std::mutex mutex_;  // guards what follows, and the queues of the lanes
  std::size_t waiting_commands_ = 0;
  std::size_t waiting_bytes_ = 0;
  std::unordered_map<std::string, std::size_t> waiting_by_caller_;
  bool stopping_ = false;

  std::vector<std::unique_ptr<Lane>> lanes_;
  /// Answers are built and sent here, while the lane goes on with the next batch.
  boost::asio::thread_pool answers_{1};

  std::atomic<std::uint64_t> batches_{0}, commands_{0}, reruns_{0}, splits_{0}, settled_{0};
};

void Engine::Impl::submit(std::vector<Command> commands) {
  std::unique_lock lock(mutex_);
  const bool stopping = stopping_;
  if (stopping || !admit(commands)) {
    lock.unlock();
    const absl::Status refusal =
        stopping ? errors::shutting_down() : errors::overloaded(kRetryDelay);
    for (Command& command : commands) command.done(refusal);
    return;
  }
  const auto now = Clock::now();
  for (Command& command : commands) {
    Lane& lane = *lanes_[std::hash<Uuid>{}(command.order_id) % lanes_.size()];
    lane.queue.push_back({std::move(command), now});
    if (lane.queue.size() == 1) lane.wake.notify_one();
  }
}

bool Engine::Impl::admit(const std::vector<Command>& commands) {
  std::size_t bytes = 0;
  std::unordered_map<std::string_view, std::size_t> callers;
  for (const Command& command : commands) {
    bytes += command.bytes;
    ++callers[command.actor];
  }
  if (waiting_commands_ + commands.size() > limits_.queue_commands) return false;
  if (waiting_bytes_ + bytes > limits_.queue_bytes) return false;
  for (const auto& [caller, count] : callers) {
    const auto found = waiting_by_caller_.find(std::string(caller));
    const std::size_t waiting = found == waiting_by_caller_.end() ? 0 : found->second;
    if (waiting + count > limits_.caller_commands) return false;
  }
  waiting_commands_ += commands.size();
  waiting_bytes_ += bytes;
  for (const auto& [caller, count] : callers) waiting_by_caller_[std::string(caller)] += count;
  return true;
}

void Engine::Impl::count_out(const Command& command) {
  --waiting_commands_;
  waiting_bytes_ -= command.bytes;
  const auto caller = waiting_by_caller_.find(command.actor);
  if (--caller->second == 0) waiting_by_caller_.erase(caller);
}

void Engine::Impl::put_back(Lane& lane, std::size_t position, Pendings contended) {
  for (const Pending& pending : contended) {
    ++waiting_commands_;
    waiting_bytes_ += pending.command.bytes;
    ++waiting_by_caller_[pending.command.actor];
  }
  lane.contended.insert(lane.contended.begin() + static_cast<std::ptrdiff_t>(position),
                        std::make_move_iterator(contended.begin()),
                        std::make_move_iterator(contended.end()));
}

void Engine::Impl::serve(Lane& lane) {
  while (true) {
    bool with_contended = false;
    Pendings batch = take(lane, with_contended);
    if (batch.empty()) return;
    const auto mode = with_contended ? storage::LockMode::kSkipLocked : storage::LockMode::kWait;
    run(lane, std::move(batch), mode);
  }
}

Engine::Impl::Pendings Engine::Impl::take(Lane& lane, bool& with_contended) {
  std::unique_lock lock(mutex_);
  if (!lane.contended.empty() && lane.queue.empty()) {
    // Nothing else to do: leave the other holder of the locks some time.
    lane.wake.wait_for(lock, jitter(milliseconds(20)), [&] { return !lane.queue.empty(); });
  }
  lane.wake.wait(lock, [&] { return stopping_ || !lane.queue.empty() || !lane.contended.empty(); });

  Pendings batch;
  Pendings expired;
  int cost = 0;
  const auto oldest = Clock::now() - limits_.queue_age;
  const auto take_from = [&](std::deque<Pending>& queue) {
    Pending next = std::move(queue.front());
    queue.pop_front();
    count_out(next.command);
    if (next.queued < oldest) {
      expired.push_back(std::move(next));
    } else {
      cost += next.command.cost;
      batch.push_back(std::move(next));
    }
  };
  const auto fits = [&](const std::deque<Pending>& queue, int most) {
    return !queue.empty() && (batch.empty() || cost + queue.front().command.cost <= most);
  };

  batch.reserve(std::min(lane.contended.size() + lane.queue.size(),
                         static_cast<std::size_t>(limits_.batch_cost)));
  // What waits for a lock goes first, but leaves room for the others.
  with_contended = !lane.contended.empty();
  while (fits(lane.contended, limits_.batch_cost / 2)) take_from(lane.contended);
  std::unordered_set<Uuid> behind;
  for (const Pending& pending : lane.contended) behind.insert(pending.command.order_id);
  while (fits(lane.queue, limits_.batch_cost)) {
    if (behind.contains(lane.queue.front().command.order_id)) {
      lane.contended.push_back(std::move(lane.queue.front()));
      lane.queue.pop_front();
    } else {
      take_from(lane.queue);
    }
  }
  lock.unlock();
  const bool again = batch.empty() && !expired.empty();
  answer_all(std::move(expired), errors::overloaded(kRetryDelay));
  return again ? take(lane, with_contended) : std::move(batch);
}

void Engine::Impl::run(Lane& lane, Pendings batch, storage::LockMode mode) {
  absl::Status failure = errors::internal();
  int lock_waits = 0;
  const auto began = Clock::now();
  bool was_unavailable = false;
  for (int attempts = 0; attempts < kMaxReruns; ++attempts) {
    drop_abandoned(batch);
    if (batch.empty()) return;
    if (attempts > 0) ++reruns_;
    try {
      if (attempt(lane, batch, mode)) return;
    } catch (const storage::Error& error) {
      if (error.kind() == Kind::kConflict) {
        failure = errors::overloaded(kRetryDelay);
        pause(lane, jitter(milliseconds(5 * (attempts + 1))));
      } else if (error.kind() == Kind::kLockWait) {
        failure = errors::overloaded(kRetryDelay);
        mode = storage::LockMode::kSkipLocked;
        if (++lock_waits == kMaxLockWaits) break;
      } else if (error.kind() == Kind::kUnavailable) {
        // The first time the session may only have been stale, which shows at once.
        if (std::exchange(was_unavailable, true) || Clock::now() - began > kStaleShows) {
          drop_abandoned(batch);
          return answer_all(std::move(batch), errors::database_unavailable(kRetryDelay));
        }
      } else if (error.kind() != Kind::kDuplicate) {
        // (Duplicate: another server was faster, and the next attempt sees what it did.)
        spdlog::error("a batch of {} failed: {}", batch.size(), error.what());
        failure = errors::internal();
        break;
      }
    } catch (const std::exception& error) {
      spdlog::error("a batch of {} failed: {}", batch.size(), error.what());
      failure = errors::internal();
      break;
    } catch (...) {
      spdlog::error("a batch of {} failed", batch.size());
      failure = errors::internal();
      break;
    }
  }
  if (batch.size() == 1) return answer_all(std::move(batch), failure);
  split(lane, std::move(batch), mode);
}

bool Engine::Impl::attempt(Lane& lane, Pendings& batch, storage::LockMode mode) {
  std::vector<const Command*> commands;
  commands.reserve(batch.size());
  for (const Pending& pending : batch) commands.push_back(&pending.command);

  const SettingsPtr settings = settings_.get();
  const auto began = Clock::now();
  auto tx = storage_.begin_write(began + kSessionWait);
  auto work = std::make_unique<Batch>(*tx, cache_, *settings, wall_clock(), commands);
  try {
    if (work->execute(mode) == Batch::Outcome::kSettingsChanged) {
      settings_.put(tx->load_settings());
      return false;
    }
  } catch (const storage::Error& error) {
    if (error.kind() != Kind::kCommitUnknown) throw;
    tx.reset();
    const std::optional<bool> committed = settle(lane, work->key());
    if (!committed) {
      answer_all(std::move(batch), errors::deadline_exceeded());
      return true;
    }
    if (!*committed) return false;
  }
  tx.reset();
  ++batches_;
  if (observer_) {
    const auto oldest = std::ranges::min_element(batch, {}, &Pending::queued)->queued;
    observer_({batch.size(), began - oldest, Clock::now() - began});
  }
  finish(lane, std::move(batch), std::move(work));
  return true;
}

std::optional<bool> Engine::Impl::settle(Lane& lane, const Uuid& batch_key) {
  // Until this is decided nobody may be answered and nothing may be run again.
  while (true) {
    try {
      const bool committed = storage_.settle_commit(batch_key, Clock::now() + kSessionWait);
      ++settled_;
      spdlog::warn("the answer to a COMMIT was lost; the batch {}",
                   committed ? "is committed" : "is not committed and runs again");
      return committed;
    } catch (const std::exception& error) {
      spdlog::warn("the answer to a COMMIT was lost and can't be decided yet: {}", error.what());
      if (pause(lane, jitter(milliseconds(200)))) return std::nullopt;
    }
  }
}

void Engine::Impl::finish(Lane& lane, Pendings batch, std::unique_ptr<Batch> done) {
  for (OrderPtr& order : done->changed_orders()) cache_.put(std::move(order));
  if (listener_ != nullptr && listener_->listening()) listener_->committed(done->take_changes());
  std::vector<std::pair<Command::Done, absl::StatusOr<Answer>>> answers;
  answers.reserve(batch.size());
  Pendings contended;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    Batch::Result& result = done->results()[i];
    if (result.contended) {
      contended.push_back(std::move(batch[i]));
    } else {
      answers.emplace_back(std::move(batch[i].command.done), std::move(result.answer));
    }
  }
  commands_ += answers.size();
  if (!contended.empty()) {
    std::lock_guard lock(mutex_);
    put_back(lane, 0, std::move(contended));
  }
  answer(std::move(answers), std::move(done));
}

void Engine::Impl::drop_abandoned(Pendings& batch) {
  Pendings gone;
  const auto kept = std::stable_partition(batch.begin(), batch.end(), [](const Pending& pending) {
    return !pending.command.abandoned || !pending.command.abandoned();
  });
  std::move(kept, batch.end(), std::back_inserter(gone));
  batch.erase(kept, batch.end());
  answer_all(std::move(gone), errors::cancelled());
}

void Engine::Impl::answer_all(Pendings batch, const absl::Status& status) {
  std::vector<std::pair<Command::Done, absl::StatusOr<Answer>>> answers;
  answers.reserve(batch.size());
  for (Pending& pending : batch) answers.emplace_back(std::move(pending.command.done), status);
  answer(std::move(answers));
}

void Engine::Impl::answer(std::vector<std::pair<Command::Done, absl::StatusOr<Answer>>> answers,
                          std::unique_ptr<Batch> done_with) {
  if (answers.empty()) return;
  boost::asio::post(answers_,
                    [answers = std::move(answers), done_with = std::move(done_with)]() mutable {
                      for (auto& [done, result] : answers) done(std::move(result));
                    });
}

void Engine::Impl::split(Lane& lane, Pendings batch, storage::LockMode mode) {
  ++splits_;
  const auto middle = batch.begin() + static_cast<std::ptrdiff_t>(batch.size() / 2);
  Pendings second(std::make_move_iterator(middle), std::make_move_iterator(batch.end()));
  batch.erase(middle, batch.end());
  std::unique_lock lock(mutex_);
  const std::size_t waiting = lane.contended.size();
  lock.unlock();
  run(lane, std::move(batch), mode);

  // What the first half could not lock waits now; later commands on those orders wait behind it.
  lock.lock();
  const std::size_t added = lane.contended.size() - waiting;
  std::unordered_set<Uuid> contended;
  for (std::size_t i = 0; i < added; ++i) contended.insert(lane.contended[i].command.order_id);
  const auto behind = std::stable_partition(second.begin(), second.end(), [&](const Pending& next) {
    return !contended.contains(next.command.order_id);
  });
  put_back(lane, added, {std::make_move_iterator(behind), std::make_move_iterator(second.end())});
  second.erase(behind, second.end());
  lock.unlock();
  run(lane, std::move(second), mode);
}

bool Engine::Impl::pause(Lane& lane, milliseconds time) {
  std::unique_lock lock(mutex_);
  return lane.wake.wait_for(lock, time, [&] { return stopping_; });
}

void Engine::Impl::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    for (auto& lane : lanes_) lane->wake.notify_all();
  }
  for (auto& lane : lanes_) {
    if (lane->thread.joinable()) lane->thread.join();
  }
  answers_.join();
}

Counters Engine::Impl::counters() const {
  return {batches_, commands_, reruns_, splits_, settled_};
}

Waiting Engine::Impl::waiting() const {
  std::lock_guard lock(mutex_);
  return {waiting_commands_, waiting_bytes_};
}

Engine::Engine(storage::Storage& storage, OrderCache& cache, SettingsCache& settings,
               const Limits& limits, CommitListener* listener, BatchObserver observer)
    : impl_(std::make_unique<Impl>(storage, cache, settings, limits, listener,
                                   std::move(observer))) {}

Engine::~Engine() { stop(); }

void Engine::submit(Command command) {
  std::vector<Command> commands;
  commands.push_back(std::move(command));
  impl_->submit(std::move(commands));
}

void Engine::submit(std::vector<Command> commands) { impl_->submit(std::move(commands)); }

void Engine::stop() { impl_->stop(); }

Counters Engine::counters() const { return impl_->counters(); }

Waiting Engine::waiting() const { return impl_->waiting(); }

}  // namespace orderd::engine
