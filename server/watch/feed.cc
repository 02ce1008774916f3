#include "server/watch/feed.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

namespace orderd::watch {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

/// Changes that one statement reads.
constexpr int kRead = 200;
/// Between two reads of the database, however many commits of others show.
constexpr milliseconds kPace{5};
/// How long what this server itself commits may take from being visible to being handed over.
constexpr milliseconds kHandOver{5};
/// Between two calls of the watchers for news: under load a message then holds many changes, which
/// is what makes watchers cheap.
constexpr milliseconds kLook{10};
/// Watchers look at their clocks.
constexpr milliseconds kTick{250};
constexpr milliseconds kAfterFailure{500};
constexpr std::chrono::seconds kSessionWait{2};

bool erases(const Change& change) {
  return std::any_of(change.events.begin(), change.events.end(), [](const auto& event) {
    return event.type == pb::OrderEvent::kCustomerErasedFieldNumber;
  });
}

}  // namespace

Feed::Feed(storage::Storage& storage, const Options& options)
    : storage_(storage),
      options_(options),
      serving_([this] { serve(); }),
      following_([this] { follow(); }) {}

Feed::~Feed() { stop(); }

bool Feed::add(std::shared_ptr<Watcher> watcher) {
  std::lock_guard lock(mutex_);
  if (stopping_ || watchers_.size() >= options_.watchers) return false;
  watchers_.push_back({std::move(watcher), ++added_});
  // Whatever is committed from here on is handed over, or read below.
  listening_ = true;
  must_read_ = true;
  wake_.notify_one();
  follow_.notify_one();
  return true;
}

void Feed::remove(const Watcher* watcher) {
  std::shared_ptr<Watcher> removed;  // destroyed without the mutex
  std::lock_guard lock(mutex_);
  const auto it = std::find_if(watchers_.begin(), watchers_.end(), [&](const Member& member) {
    return member.watcher.get() == watcher;
  });
  if (it == watchers_.end()) return;
  removed = std::move(it->watcher);
  watchers_.erase(it);
}

Feed::Page Feed::read(std::int64_t after, std::size_t limit) const {
  Page page;
  std::lock_guard lock(mutex_);
  const std::int64_t behind = position_ - after;
  if (!known_ || behind > static_cast<std::int64_t>(ring_.size())) {
    page.behind = true;
    page.evicted = !known_ || after < evicted_;
  } else if (behind > 0) {
    const auto first = ring_.end() - behind;
    const auto count = std::min<std::int64_t>(behind, static_cast<std::int64_t>(limit));
    page.changes.assign(first, first + count);
  }
  return page;
}

std::int64_t Feed::position() const {
  std::lock_guard lock(mutex_);
  return position_;
}

Feed::State Feed::state() const {
  std::lock_guard lock(mutex_);
  State state{position_, watchers_.size(), 0, ring_.size(), ring_bytes_};
  for (const Member& member : watchers_) {
    if (!known_ || !member.begun) continue;
    state.behind = std::max(state.behind, position_ - member.watcher->position());
  }
  return state;
}

void Feed::committed(std::vector<storage::FeedChange> changes) {
  if (changes.empty()) return;
  std::lock_guard lock(mutex_);
  if (!listening_) return;
  durable_ = std::max(durable_, changes.back().position);
  handed_.push_back(std::move(changes));
  wake_.notify_one();
}

void Feed::take_handed(std::unique_lock<std::mutex>& lock) {
  // A gap before what is handed over shows what others have done, so nobody need ask meanwhile.
  if (!handed_.empty()) last_handed_ = Clock::now();
  while (!handed_.empty()) {
    auto changes = std::move(handed_.front());
    handed_.pop_front();
    if (!known_ || changes.front().position > position_ + 1) {
      // Another server's changes come first, and all of them are read at once.
      handed_.clear();
      must_read_ = true;
      follow_.notify_one();
      return;
    }
    lock.unlock();
    std::vector<ChangePtr> made;
    made.reserve(changes.size());
    for (storage::FeedChange& change : changes) {
      made.push_back(std::make_shared<const Change>(std::move(change)));
    }
    lock.lock();
    append(std::move(made));
    news_ = true;
  }
}

void Feed::append(std::vector<ChangePtr> changes) {
  for (ChangePtr& change : changes) {
    if (change->position != position_ + 1) continue;  // known already
    if (erases(*change)) forget_order(change->order_id);
    position_ = change->position;
    ring_bytes_ += change->bytes;
    ring_.push_back(std::move(change));
  }
  while (ring_.size() > options_.changes || (ring_bytes_ > options_.bytes && ring_.size() > 1)) {
    evicted_ = ring_.front()->position;
    ring_bytes_ -= ring_.front()->bytes;
    ring_.pop_front();
  }
}

void Feed::forget_order(const Uuid& order_id) {
  // What is kept has no gaps, so all that is older goes as well.
  const auto last = std::find_if(ring_.rbegin(), ring_.rend(), [&](const ChangePtr& change) {
    return change->order_id == order_id;
  });
  for (auto count = ring_.rend() - last; count > 0; --count) {
    ring_bytes_ -= ring_.front()->bytes;
    ring_.pop_front();
  }
}

void Feed::forget() {
  known_ = false;
  must_read_ |= !handed_.empty();
  handed_.clear();
  ring_.clear();
  ring_bytes_ = 0;
  // They may be of a database that has been set back since.
  durable_ = suspected_ = 0;
}

std::optional<std::int64_t> Feed::read_position() {
  try {
    return storage_.begin_read(Clock::now() + kSessionWait)->feed_position();
  } catch (const std::exception& error) {
    failed(error);
    return std::nullopt;
  }
}

void Feed::failed(const std::exception& error) {
  std::lock_guard lock(mutex_);
  if (!std::exchange(failing_, true)) {
    spdlog::warn("the feed can't be read and is tried again: {}", error.what());
  }
}

void Feed::answered() {
  if (std::exchange(failing_, false)) spdlog::info("the feed can be read again");
}

bool Feed::read_database() {
  try {
    while (true) {
      std::int64_t after = 0;
      std::int64_t durable = 0;
      bool known = false;
      {
        std::lock_guard lock(mutex_);
        after = position_;
        durable = durable_;
        known = known_;
      }
      std::vector<ChangePtr> changes;
      std::int64_t last = after;
      {
        const auto tx = storage_.begin_read(Clock::now() + kSessionWait);
        if (!known) {
          last = tx->feed_position();
        } else {
          for (auto& change : tx->list_changes(after, kRead)) {
            changes.push_back(std::make_shared<const Change>(std::move(change)));
          }
          if (!changes.empty()) last = changes.back()->position;
        }
      }
      if (last > durable) storage_.make_durable();

      std::lock_guard lock(mutex_);
      const bool gap = !changes.empty() && changes.front()->position > position_ + 1;
      if (!known || gap) {
        // Nobody was there to hand over what came before; or more than was kept was missed.
        if (gap) spdlog::error("the feed goes on behind a gap after position {}", position_);
        forget();
        durable_ = position_ = last;
        known_ = true;
        news_ = true;
        return true;
      }
      durable_ = std::max(durable_, last);
      if (changes.empty()) return true;
      const bool more = changes.size() == static_cast<std::size_t>(kRead);
      append(std::move(changes));
      news_ = true;
      if (!more) return true;
    }
  } catch (const std::exception& error) {
    failed(error);
    return false;
  }
}

void Feed::follow() {
  const bool polls = storage_.dialect() != "sqlite";  // else nobody else writes
  Clock::time_point next_read;                        // not before
  Clock::time_point next_poll;
  Clock::time_point next_suspicion;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (watchers_.empty()) {
      follow_.wait(lock, [this] { return stopping_ || !watchers_.empty(); });
      continue;
    }
    const auto now = Clock::now();
    next_poll = std::max(next_poll, last_handed_ + options_.poll);
    if (polls && known_ && now >= next_poll) {
      lock.unlock();
      const auto head = read_position();
      lock.lock();
      if (head) answered();
      next_poll = now + (head ? options_.poll : kAfterFailure);
      if (head && *head < position_) {
        spdlog::error("the database has been set back from position {} to {}", position_, *head);
        forget();
        must_read_ = true;
      } else if (head && *head > position_) {
        suspected_ = *head;
        next_suspicion = Clock::now() + kHandOver;
      }
    }
    if (suspected_ > position_ && now >= next_suspicion) {
      // Not ours, or it would have been handed over.
      suspected_ = 0;
      must_read_ = true;
    }
    if (must_read_ && now >= next_read) {
      must_read_ = false;
      const std::uint64_t last_added = added_;
      lock.unlock();
      const bool done = read_database();
      lock.lock();
      next_read = Clock::now() + (done ? kPace : kAfterFailure);
      must_read_ |= !done;
      if (done) answered();
      for (Member& member : watchers_) {
        if (!done || member.may_begin || member.number > last_added) continue;
        member.may_begin = beginners_ = true;
      }
      wake_.notify_one();
    }
    auto until = now + kTick;
    if (polls) until = std::min(until, next_poll);
    if (suspected_ > position_) until = std::min(until, next_suspicion);
    if (must_read_) until = std::min(until, next_read);
    const bool must_read = must_read_;
    follow_.wait_until(lock, until,
                       [&] { return stopping_ || watchers_.empty() || must_read_ != must_read; });
  }
}

void Feed::serve() {
  Clock::time_point next_look;
  Clock::time_point next_tick;
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (watchers_.empty()) {
      listening_ = false;
      forget();
      wake_.wait(lock, [this] { return stopping_ || !watchers_.empty(); });
      continue;
    }
    take_handed(lock);
    const auto now = Clock::now();
    std::vector<std::shared_ptr<Watcher>> beginning;
    if (std::exchange(beginners_, false)) {
      for (Member& member : watchers_) {
        if (member.begun || !member.may_begin) continue;
        member.begun = true;
        beginning.push_back(member.watcher);
      }
    }
    std::vector<std::shared_ptr<Watcher>> looking;
    if ((news_ && now >= next_look) || now >= next_tick) {
      news_ = false;
      next_look = now + kLook;
      next_tick = now + kTick;
      for (const Member& member : watchers_) looking.push_back(member.watcher);
    }
    const std::int64_t position = position_;
    lock.unlock();
    for (const auto& watcher : beginning) watcher->begin(position);
    for (const auto& watcher : looking) watcher->look();
    beginning.clear();  // destroyed without the mutex
    looking.clear();
    lock.lock();
    const auto until = news_ ? std::min(next_tick, next_look) : next_tick;
    const bool news = news_;
    wake_.wait_until(lock, until, [&] {
      return stopping_ || watchers_.empty() || !handed_.empty() || beginners_ || news_ != news;
    });
  }
  take_handed(lock);
  std::vector<Member> last;
  last.swap(watchers_);
  listening_ = false;
  lock.unlock();
  for (const Member& member : last) member.watcher->end();
}

bool Feed::stopping() const {
  std::lock_guard lock(mutex_);
  return stopping_;
}

void Feed::end_watchers() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
    follow_.notify_all();
  }
  if (serving_.joinable()) serving_.join();
}

void Feed::stop() {
  end_watchers();
  if (following_.joinable()) following_.join();
}

}  // namespace orderd::watch
