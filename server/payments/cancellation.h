#pragma once

#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <vector>

#include "server/engine/engine.h"
#include "server/engine/reader.h"
#include "server/orders/cancellation.h"
#include "server/payments/accounts.h"
#include "server/payments/caller.h"
#include "server/payments/sender.h"

namespace orderd::payments {

/// Drives cancellations from their begin to their end, as far as that is possible now: reads all
/// gateways of the order, lets one command decide (`rules::advance_cancellation`), sends what it
/// wrote, and so on. It keeps nothing that the order does not say, so another server, or this one
/// after a crash, goes on from wherever it ended; and two that drive the same order at once only
/// read more than they need. Thread-safe; no thread waits for a gateway but the account's own.
class Cancellations : public std::enable_shared_from_this<Cancellations> {
 public:
  struct Options {
    /// How long a gateway has to answer.
    std::chrono::milliseconds call_timeout{};
    /// For how long an attempt belongs to its sender.
    std::chrono::milliseconds lease{};
    rules::Mailing mailing;
  };
  /// Held by whatever is under way.
  using Work = std::shared_ptr<void>;

  struct Start {
    OrderPtr order;
    Accounts::Priority priority{};
    /// No call is begun that might not end before.
    Deadline until = Deadline::max();
    /// Whether to wait for the attempts of others, which is never longer than they last.
    bool waits = false;
    /// Of the call that began it, if there is one.
    engine::TraceContext trace{};
    /// Hears of the order after each command; destroyed when the driving ends.
    std::function<void(const engine::Answer&)> progress;
    Work work;
  };

  Cancellations(engine::Engine& engine, engine::Reader& reader, Accounts& accounts, Sender& sender,
                boost::asio::io_context& timers, std::shared_ptr<Callers> callers, Options options);

  const Options& options() const { return options_; }

  /// Runs a command whose rule is `rules::begin_cancellation`, then drives the order.
  /// `command.done` hears once: of a refusal or a replay; of what `validate_only` would do after a
  /// sync; of the end of the driving; or, at `answer_by`, of the order as it is then.
  void cancel(engine::Command command, Deadline answer_by, Work work);

  /// Drives an order whose cancellation is IN_PROGRESS.
  void drive(Start start);
  /// Whether this process is at it.
  bool driving(const Uuid& order_id);

  /// Nothing new is begun any more.
  void stop();

 private:
  class Drive;
  class Preview;

  bool stopping();
  /// Unless it is stopped before; then `then` is destroyed.
  void after(std::chrono::milliseconds pause, std::function<void()> then);
  void wake(std::int64_t id);
  /// The order as it is; null if it can't be read.
  void look(const Uuid& order_id, std::function<void(OrderPtr)> then);

  engine::Engine& engine_;
  engine::Reader& reader_;
  Accounts& accounts_;
  Sender& sender_;
  boost::asio::io_context& timers_;
  const std::shared_ptr<Callers> callers_;
  const Options options_;

  struct Pause {
    boost::asio::steady_timer timer;
    std::function<void()> then;
  };
  std::mutex mutex_;  // guards what follows
  bool stopping_ = false;
  std::multiset<Uuid> driven_;
  std::map<std::int64_t, std::unique_ptr<Pause>> pauses_;
  std::int64_t last_pause_ = 0;
};

}  // namespace orderd::payments
