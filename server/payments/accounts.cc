#include "server/payments/accounts.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <utility>

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>

#include <deque>
#include <mutex>
#include <optional>

#include "server/orders/errors.h"

namespace orderd::payments {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Priority = Accounts::Priority;

constexpr milliseconds kRetryDelay{1'000};

}  // namespace

/// One account: its gateway, its threads with two queues before them, and its circuit breaker.
class Account {
 public:
  Account(std::string name, std::unique_ptr<Gateway> gateway, const Accounts::Limits& limits)
      : name_(std::move(name)),
        gateway_(std::move(gateway)),
        limits_(limits),
        threads_(static_cast<std::size_t>(limits.threads)) {}

  Gateway& gateway() { return *gateway_; }

  absl::Status available() const {
    const auto open_until = open_until_.load();
    const auto now = Clock::now().time_since_epoch().count();
    if (now < open_until) {
      const auto rest = Clock::duration(open_until - now);
      return errors::gateway_unavailable(name_, std::chrono::ceil<milliseconds>(rest));
    }
    if (waiting_.load() >= limits_.waiting) return errors::overloaded(kRetryDelay);
    return absl::OkStatus();
  }

  Accounts::State state() const {
    return {waiting_, Clock::now().time_since_epoch().count() < open_until_};
  }

  bool enter() {
    auto open_until = open_until_.load();
    if (open_until == kClosed) return true;
    const auto now = Clock::now();
    if (now.time_since_epoch().count() < open_until) return false;
    // Whoever moves the time on is the one that probes.
    return open_until_.compare_exchange_strong(open_until, pause_from(now));
  }

  void leave(bool answered) {
    if (answered) {
      failures_ = 0;
      if (open_until_.exchange(kClosed) != kClosed) {
        spdlog::info("the gateway of account {} answers again", name_);
      }
    } else if (failures_.fetch_add(1) + 1 >= limits_.failures) {
      if (open_until_.exchange(pause_from(Clock::now())) == kClosed) {
        spdlog::warn("the gateway of account {} does not answer and is left alone for a while",
                     name_);
      }
    }
  }

  void run(Priority priority, std::function<void()> job) {
    {
      std::lock_guard lock(mutex_);
      if (stopping_) return;
      if (priority == Priority::kCaller) {
        callers_.push_back(std::move(job));
        ++waiting_;
      } else {
        background_.push_back(std::move(job));
      }
    }
    boost::asio::post(threads_, [this] { run_next(); });
  }

  /// The jobs that wait are destroyed without the mutex, and before those that run have ended: some
  /// answer a caller with their end.
  void drop_waiting() {
    std::deque<std::function<void()>> callers;
    std::deque<std::function<void()>> background;
    std::lock_guard lock(mutex_);
    stopping_ = true;
    callers.swap(callers_);
    background.swap(background_);
    waiting_ = 0;
  }

  void stop() {
    drop_waiting();
    threads_.join();
  }

 private:
  using Ticks = Clock::rep;
  static constexpr Ticks kClosed = 0;

  Ticks pause_from(Clock::time_point now) const {
    return (now + limits_.pause).time_since_epoch().count();
  }

  /// One of these is posted per job. It may find that the job has to wait for a background one to
  /// end, which then takes it along.
  void run_next() {
    const int most_background = std::max(1, limits_.threads - 1);
    while (true) {
      std::function<void()> job;
      bool in_background = false;
      {
        std::lock_guard lock(mutex_);
        if (!callers_.empty()) {
          job = std::move(callers_.front());
          callers_.pop_front();
          --waiting_;
        } else if (!background_.empty() && running_background_ < most_background) {
          job = std::move(background_.front());
          background_.pop_front();
          ++running_background_;
          in_background = true;
        } else {
          return;
        }
      }
      try {
        job();
      } catch (const std::exception&) {
        // What an exception says may be a gateway's text.
        spdlog::error("a job of the payment account {} failed", name_);
      }
      job = nullptr;
      if (!in_background) return;
      std::lock_guard lock(mutex_);
      --running_background_;
    }
  }

  const std::string name_;
  const std::unique_ptr<Gateway> gateway_;
  const Accounts::Limits limits_;

  /// The circuit: open until that time of the steady clock; then one may try.
  std::atomic<Ticks> open_until_ = kClosed;
  std::atomic<int> failures_ = 0;
  /// The size of `callers_`.
  std::atomic<int> waiting_ = 0;

  std::mutex mutex_;  // guards what follows
  std::deque<std::function<void()>> callers_;
  std::deque<std::function<void()>> background_;
  int running_background_ = 0;
  bool stopping_ = false;

  boost::asio::thread_pool threads_;
};

Accounts::Accounts(const Limits& limits) : limits_(limits) {}

Accounts::~Accounts() { stop(); }

void Accounts::add(const std::string& name, std::unique_ptr<Gateway> gateway) {
  accounts_[name] = std::make_unique<Account>(name, std::move(gateway), limits_);
}

bool Accounts::configured(std::string_view account) const {
  return accounts_.find(account) != accounts_.end();
}

bool Accounts::representable(std::string_view account, const pb::Money& amount) const {
  Gateway* gateway = find(account);
  return gateway != nullptr && gateway->representable(amount) == Representable::kYes;
}

absl::Status Accounts::available(std::string_view account) const {
  const auto it = accounts_.find(account);
  if (it == accounts_.end()) return errors::gateway_unavailable(account, kRetryDelay);
  return it->second->available();
}

Gateway* Accounts::find(std::string_view account) const {
  const auto it = accounts_.find(account);
  return it == accounts_.end() ? nullptr : &it->second->gateway();
}

std::vector<std::string> Accounts::names() const {
  std::vector<std::string> names;
  for (const auto& [name, account] : accounts_) names.push_back(name);
  return names;
}

Accounts::State Accounts::state(std::string_view account) const {
  const auto it = accounts_.find(account);
  return it == accounts_.end() ? State() : it->second->state();
}

void Accounts::run(std::string_view account, Priority priority, std::function<void()> job) {
  const auto it = accounts_.find(account);
  if (it != accounts_.end()) it->second->run(priority, std::move(job));
}

bool Accounts::enter(std::string_view account) {
  const auto it = accounts_.find(account);
  return it != accounts_.end() && it->second->enter();
}

void Accounts::leave(std::string_view account, bool answered) {
  const auto it = accounts_.find(account);
  if (it != accounts_.end()) it->second->leave(answered);
}

void Accounts::drop_waiting() {
  for (auto& [name, account] : accounts_) account->drop_waiting();
}

void Accounts::stop() {
  for (auto& [name, account] : accounts_) account->stop();
}

}  // namespace orderd::payments
