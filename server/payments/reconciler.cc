#include "server/payments/reconciler.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "storage/wall_clock.h"

namespace orderd::payments {
namespace {

using std::chrono::microseconds;
using Clock = std::chrono::steady_clock;
using Visit = Processor::Visit;

constexpr Micros kOverdue = 24LL * 3600 * 1'000'000;
/// How many payments are remembered as warned of.
constexpr std::size_t kMaxWarned = 10'000;

/// Up to a fifth more or less, so that what failed together does not come back together.
microseconds jittered(microseconds delay) {
  thread_local std::mt19937_64 random{std::random_device{}()};
  const auto fifth = delay.count() / 5;
  return delay + microseconds(std::uniform_int_distribution<Micros>(-fifth, fifth)(random));
}

}  // namespace

class Reconciler::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(storage::Storage& storage, Processor& processor, const Options& options)
      : storage_(storage), processor_(processor), options_(options) {}

  int pass();
  void stop();

 private:
  struct Pass {
    Micros lease_until = 0;
    int left = 0;
    int news = 0;
    int nothing = 0;
    int not_asked = 0;
  };

  std::vector<std::string> accounts_to_ask() const;
  void finish(Pass& pass, const storage::DueCheck& check, const Visit& visit);
  void warn_if_overdue(const storage::DueCheck& check, const Visit& visit);
  microseconds backoff(int tries) const;
  /// Writes what visits have asked for since the last time.
  void postpone();

  storage::Storage& storage_;
  Processor& processor_;
  const Options options_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable idle_;
  int in_flight_ = 0;
  bool stopping_ = false;
  std::vector<storage::Postponement> postponed_;
  std::set<std::string> warned_;
};

std::vector<std::string> Reconciler::Impl::accounts_to_ask() const {
  // What can't be asked now stays due, and its tries are not counted.
  const Accounts& accounts = processor_.accounts();
  std::vector<std::string> names = accounts.names();
  std::erase_if(names, [&](const auto& name) { return !accounts.available(name).ok(); });
  return names;
}

int Reconciler::Impl::pass() {
  postpone();
  int room = 0;
  {
    std::lock_guard lock(mutex_);
    if (!stopping_) room = options_.batch - in_flight_;
  }
  if (room <= 0) return 0;

  const Deadline until = Clock::now() + options_.claim;
  const Micros now = wall_clock();
  const auto run = std::make_shared<Pass>();
  run->lease_until = now + options_.claim.count();
  std::vector<storage::DueCheck> due;
  try {
    due = storage_.claim_due_checks(accounts_to_ask(), now, run->lease_until, room);
  } catch (const storage::Error& error) {
    spdlog::warn("payments to reconcile could not be claimed: {}", error.what());
    return 0;
  }
  {
    std::lock_guard lock(mutex_);
    run->left = static_cast<int>(due.size());
    in_flight_ += run->left;
  }
  for (const storage::DueCheck& check : due) {
    processor_.reconcile(check.order_id, check.payment_id, until,
                         [self = shared_from_this(), run, check](const Visit& visit) {
                           self->finish(*run, check, visit);
                         });
  }
  return static_cast<int>(due.size());
}

/// On whatever thread the visit ends, so nothing here blocks.
void Reconciler::Impl::finish(Pass& pass, const storage::DueCheck& check, const Visit& visit) {
  std::lock_guard lock(mutex_);
  microseconds delay = options_.first_delay;
  switch (visit.result) {
    case Visit::Result::kNews:
      ++pass.news;
      break;
    case Visit::Result::kNothing:
      ++pass.nothing;
      delay = backoff(check.tries);
      break;
    case Visit::Result::kNotAsked:
      ++pass.not_asked;
      break;
  }
  if (visit.result != Visit::Result::kNews) {
    postponed_.push_back({check.order_id, check.payment_id, pass.lease_until,
                          std::max(visit.not_before, wall_clock() + jittered(delay).count()),
                          visit.result != Visit::Result::kNotAsked});
  }
  warn_if_overdue(check, visit);
  if (--pass.left == 0) {
    spdlog::info("reconciled payments: {} with news, {} without, {} not asked", pass.news,
                 pass.nothing, pass.not_asked);
  }
  if (--in_flight_ == 0) idle_.notify_all();
}

void Reconciler::Impl::warn_if_overdue(const storage::DueCheck& check, const Visit& visit) {
  if (!visit.open_since) {
    warned_.erase(check.payment_id);
    return;
  }
  if (wall_clock() - *visit.open_since < kOverdue) return;
  if (warned_.size() >= kMaxWarned) warned_.clear();
  if (!warned_.insert(check.payment_id).second) return;
  spdlog::warn("payment {} of order {} has been unresolved for more than a day", check.payment_id,
               check.order_id.to_string());
}

microseconds Reconciler::Impl::backoff(int tries) const {
  microseconds delay = options_.first_delay;
  for (int i = 1; i < tries && delay < options_.longest_delay; ++i) delay *= 2;
  return std::min(delay, options_.longest_delay);
}

void Reconciler::Impl::postpone() {
  std::vector<storage::Postponement> group;
  {
    std::lock_guard lock(mutex_);
    group.swap(postponed_);
  }
  if (group.empty()) return;
  try {
    storage_.postpone_checks(group);
  } catch (const storage::Error& error) {
    // They come due again when their claims end.
    spdlog::warn("{} payments could not be postponed: {}", group.size(), error.what());
  }
}

void Reconciler::Impl::stop() {
  {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    idle_.wait(lock, [this] { return in_flight_ == 0; });
  }
  postpone();
}

Reconciler::Reconciler(storage::Storage& storage, Processor& processor, const Options& options)
    : impl_(std::make_shared<Impl>(storage, processor, options)) {}

Reconciler::~Reconciler() { stop(); }

int Reconciler::pass() { return impl_->pass(); }

void Reconciler::stop() { impl_->stop(); }

}  // namespace orderd::payments
