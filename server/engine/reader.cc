#include "server/engine/reader.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <utility>

#include "server/orders/errors.h"

namespace orderd::engine {
namespace {

using storage::Clock;
using Kind = storage::Error::Kind;

constexpr std::chrono::milliseconds kRetryDelay{200};
constexpr std::chrono::seconds kSessionWait{2};
constexpr std::chrono::seconds kStaleShows{1};
constexpr int kMaxAttempts = 3;

absl::Status to_status(const storage::Error& error) {
  if (error.kind() == Kind::kUnavailable) return errors::database_unavailable(kRetryDelay);
  if (error.kind() == Kind::kConflict || error.kind() == Kind::kLockWait) {
    return errors::overloaded(kRetryDelay);
  }
  spdlog::error("a read failed: {}", error.what());
  return errors::internal();
}

/// The same for the same page.
std::string key_of(const storage::ListQuery& query, bool whole) {
  std::string key = query.filter.SerializeAsString();
  const auto add = [&](std::int64_t number) {
    key.append(reinterpret_cast<const char*>(&number), sizeof number);
  };
  add(whole);
  add(query.by_state);
  add(static_cast<std::int64_t>(query.sort));
  add(query.ascending);
  add(query.limit);
  if (query.after) {
    add(query.after->sort_key);
    key += query.after->id.raw();
  }
  return key;
}

}  // namespace

class Reader::Impl {
 public:
  struct Get {
    std::vector<Uuid> ids;
    std::function<bool()> abandoned;
    std::function<void(absl::StatusOr<Orders>)> done;
  };
  struct Job {
    std::function<bool()> abandoned;
    std::function<void(storage::ReadTransaction&)> work;
    std::function<void(absl::Status)> failed;
  };

  /// A page that waits for its turn, or is read, and those who want it.
  struct List {
    struct Caller {
      std::function<bool()> abandoned;
      std::function<void(absl::StatusOr<Page>)> done;
    };
    storage::ListQuery query;
    bool whole = false;
    std::string key;
    std::vector<Caller> callers;
  };

  Impl(storage::Storage& storage, OrderCache& cache, const ReaderLimits& limits)
      : storage_(storage), cache_(cache), limits_(limits) {
    for (int i = 0; i < std::max(1, limits.threads); ++i) {
      threads_.emplace_back([this] { serve(); });
    }
  }

  template <typename Read>
  bool enqueue(std::deque<Read>& queue, Read& read, absl::Status& refusal);
  void stop();
  void serve();
  void get_all(std::vector<Get> batch);
  void run_job(Job job);
  /// The page that is asked for, if it is not waiting already; else the caller waits with it.
  std::shared_ptr<List> join_list(const storage::ListQuery& query, bool whole, List::Caller caller);
  /// From here on nobody joins.
  void close(const List& list);
  /// Runs `read` with a session, again if the database says so.
  template <typename Work>
  absl::Status with_session(Work work);

  std::unordered_map<Uuid, OrderPtr> find(storage::ReadTransaction& reads,
                                          const std::vector<Uuid>& ids);

  storage::Storage& storage_;
  OrderCache& cache_;
  const ReaderLimits limits_;

  ReaderCounters counters() const {
    std::lock_guard lock(mutex_);
    return {gets_.size() + jobs_.size(), reads_, batches_};
  }

  mutable std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  std::uint64_t reads_ = 0;
  std::uint64_t batches_ = 0;
  std::deque<Get> gets_;
  std::deque<Job> jobs_;
  std::unordered_map<std::string, std::shared_ptr<List>> lists_;
  bool jobs_turn_ = false;
  bool stopping_ = false;

  std::vector<std::thread> threads_;
};

template <typename Read>
bool Reader::Impl::enqueue(std::deque<Read>& queue, Read& read, absl::Status& refusal) {
  std::lock_guard lock(mutex_);
  if (stopping_) {
    refusal = errors::shutting_down();
  } else if (gets_.size() + jobs_.size() >= limits_.queue) {
    refusal = errors::overloaded(kRetryDelay);
  } else {
    queue.push_back(std::move(read));
    wake_.notify_one();
    return true;
  }
  return false;
}

void Reader::Impl::serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [&] { return stopping_ || !gets_.empty() || !jobs_.empty(); });
    if (gets_.empty() && jobs_.empty()) return;
    // Turn by turn, so that neither kind starves the other.
    if (!jobs_.empty() && (jobs_turn_ || gets_.empty())) {
      jobs_turn_ = false;
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      ++reads_;
      ++batches_;
      lock.unlock();
      run_job(std::move(job));
    } else {
      jobs_turn_ = true;
      std::vector<Get> batch;
      std::size_t orders = 0;
      while (!gets_.empty()) {
        orders += gets_.front().ids.size();
        if (!batch.empty() && orders > static_cast<std::size_t>(limits_.batch_orders)) break;
        batch.push_back(std::move(gets_.front()));
        gets_.pop_front();
      }
      reads_ += batch.size();
      ++batches_;
      lock.unlock();
      get_all(std::move(batch));
    }
    lock.lock();
  }
}

template <typename Work>
absl::Status Reader::Impl::with_session(Work work) {
  const auto began = Clock::now();
  for (int attempt = 1;; ++attempt) {
    try {
      const auto session = storage_.begin_read(Clock::now() + kSessionWait);
      work(*session);
      return absl::OkStatus();
    } catch (const storage::Error& error) {
      // A session that was only stale shows that at once.
      const bool away = error.kind() == Kind::kUnavailable && Clock::now() - began > kStaleShows;
      if (attempt == kMaxAttempts || error.kind() == Kind::kInternal || away) {
        return to_status(error);
      }
    } catch (const std::exception& error) {
      spdlog::error("a read failed: {}", error.what());
      return errors::internal();
    }
  }
}

void Reader::Impl::run_job(Job job) {
  if (job.abandoned && job.abandoned()) return job.failed(errors::cancelled());
  const absl::Status status = with_session(job.work);
  if (!status.ok()) job.failed(status);
}

std::shared_ptr<Reader::Impl::List> Reader::Impl::join_list(const storage::ListQuery& query,
                                                            bool whole, List::Caller caller) {
  std::string key = key_of(query, whole);
  std::lock_guard lock(mutex_);
  std::shared_ptr<List>& waiting = lists_[key];
  if (waiting != nullptr) {
    waiting->callers.push_back(std::move(caller));
    ++reads_;
    return nullptr;
  }
  waiting = std::make_shared<List>();
  waiting->query = query;
  waiting->whole = whole;
  waiting->key = std::move(key);
  waiting->callers.push_back(std::move(caller));
  return waiting;
}

void Reader::Impl::close(const List& list) {
  std::lock_guard lock(mutex_);
  const auto it = lists_.find(list.key);
  if (it != lists_.end() && it->second.get() == &list) lists_.erase(it);
}

void Reader::Impl::get_all(std::vector<Get> batch) {
  std::vector<Uuid> ids;
  for (Get& get : batch) {
    if (get.abandoned && get.abandoned()) {
      get.done(errors::cancelled());
      get.done = nullptr;
    } else {
      ids.insert(ids.end(), get.ids.begin(), get.ids.end());
    }
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());

  std::unordered_map<Uuid, OrderPtr> found;
  absl::Status status;
  if (!ids.empty()) {
    status = with_session([&](storage::ReadTransaction& reads) { found = find(reads, ids); });
  }
  for (Get& get : batch) {
    if (!get.done) continue;
    if (!status.ok()) {
      get.done(status);
      continue;
    }
    Orders orders;
    orders.reserve(get.ids.size());
    for (const Uuid& id : get.ids) {
      const auto it = found.find(id);
      orders.push_back(it == found.end() ? nullptr : it->second);
    }
    get.done(std::move(orders));
  }
}

std::unordered_map<Uuid, OrderPtr> Reader::Impl::find(storage::ReadTransaction& reads,
                                                      const std::vector<Uuid>& ids) {
  std::unordered_map<Uuid, OrderPtr> found;
  std::size_t cached = 0;
  const auto look_up = [&] {
    cached = 0;
    found.clear();
    for (const storage::OrderVersion& order : reads.versions(ids)) {
      OrderPtr kept = cache_.find(order.id, order.version);
      if (kept != nullptr) ++cached;
      found.emplace(order.id, std::move(kept));
    }
    return cached == found.size();
  };
  // One statement sees one moment, so if the cache has all, no transaction is needed. Otherwise the
  // versions are read again, in the moment in which the rest is loaded; if all is loaded, they
  // don't matter.
  if (look_up()) return found;
  reads.snapshot();
  if (cached > 0 && look_up()) return found;

  std::vector<Uuid> stale;
  for (const auto& [id, order] : found) {
    if (order == nullptr) stale.push_back(id);
  }
  std::sort(stale.begin(), stale.end());
  for (OrderPtr& order : reads.load_orders(stale)) {
    cache_.put(order);
    found[order->id] = std::move(order);
  }
  return found;
}

void Reader::Impl::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

Reader::Reader(storage::Storage& storage, OrderCache& cache, const ReaderLimits& limits)
    : impl_(std::make_unique<Impl>(storage, cache, limits)) {}

Reader::~Reader() { stop(); }

void Reader::get(std::vector<Uuid> ids, std::function<bool()> abandoned,
                 std::function<void(absl::StatusOr<Orders>)> done) {
  Impl::Get get{std::move(ids), std::move(abandoned), std::move(done)};
  absl::Status refusal;
  if (!impl_->enqueue(impl_->gets_, get, refusal)) get.done(std::move(refusal));
}

void Reader::run(std::function<bool()> abandoned,
                 std::function<void(storage::ReadTransaction&)> job,
                 std::function<void(absl::Status)> failed) {
  Impl::Job work{std::move(abandoned), std::move(job), std::move(failed)};
  absl::Status refusal;
  if (!impl_->enqueue(impl_->jobs_, work, refusal)) work.failed(std::move(refusal));
}

void Reader::list(const storage::ListQuery& query, bool whole, std::function<bool()> abandoned,
                  std::function<void(absl::StatusOr<Page>)> done) {
  const auto list = impl_->join_list(query, whole, {std::move(abandoned), std::move(done)});
  if (list == nullptr) return;
  const auto answer = [list](const absl::StatusOr<Page>& page) {
    for (auto& caller : list->callers) caller.done(page);
  };
  run(
      nullptr,
      [this, list, answer](storage::ReadTransaction& tx) {
        impl_->close(*list);
        const auto gone = [](const auto& caller) { return caller.abandoned && caller.abandoned(); };
        if (std::ranges::all_of(list->callers, gone)) return answer(errors::cancelled());
        tx.snapshot();
        auto page = std::make_shared<storage::ListPage>(tx.list_orders(list->query));
        if (list->whole) {
          std::vector<storage::OrderVersion> versions;
          for (const OrderPtr& order : page->orders)
            versions.push_back({order->id, order->version});
          page->orders = load(tx, versions);
        }
        answer(Page(std::move(page)));
      },
      [this, list, answer](const absl::Status& status) {
        impl_->close(*list);
        answer(status);
      });
}

Reader::Orders Reader::load(storage::Reads& reads,
                            std::span<const storage::OrderVersion> versions) {
  Orders orders;
  orders.reserve(versions.size());
  std::vector<Uuid> missing;
  for (const storage::OrderVersion& order : versions) {
    orders.push_back(impl_->cache_.find(order.id, order.version));
    if (orders.back() == nullptr) missing.push_back(order.id);
  }
  if (missing.empty()) return orders;
  std::sort(missing.begin(), missing.end());
  std::unordered_map<Uuid, OrderPtr> loaded;
  for (OrderPtr& order : reads.load_orders(missing)) {
    impl_->cache_.put(order);
    loaded.emplace(order->id, std::move(order));
  }
  for (std::size_t i = 0; i < orders.size(); ++i) {
    if (orders[i] == nullptr) orders[i] = loaded[versions[i].id];
  }
  return orders;
}

void Reader::stop() { impl_->stop(); }

ReaderCounters Reader::counters() const { return impl_->counters(); }

}  // namespace orderd::engine
