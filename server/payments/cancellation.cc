#include "server/payments/cancellation.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <utility>
#include <vector>

#include "server/failpoint.h"
#include "server/orders/errors.h"
#include "server/orders/fields.h"
#include "server/payments/caller.h"
#include "server/payments/questions.h"

namespace orderd::payments {
namespace {

using engine::Answer;
using engine::Command;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using AnswerOr = absl::StatusOr<Answer>;
using Clock = std::chrono::steady_clock;
using Priority = Accounts::Priority;

/// Readings in a row that other movements of money made stale.
constexpr int kMaxReadings = 20;
/// Decisions of one driving. An ordinary cancellation takes three: void, refund, complete.
constexpr int kMaxRounds = 20;
constexpr milliseconds kFirstPause{20};
constexpr milliseconds kLongestPause{1'000};
constexpr milliseconds kRetryDelay{1'000};

bool in_progress(const pb::Order& order) {
  return order.cancellation().status() == pb::CANCELLATION_STATUS_IN_PROGRESS;
}

bool is_stale(const AnswerOr& answer) { return errors::reason(answer.status()) == "STALE_READING"; }

milliseconds longer(milliseconds pause) {
  return std::clamp(pause * 2, kFirstPause, kLongestPause);
}

bool money_moved(const pb::Order& before, const pb::Order& after) {
  if (before.payments_size() != after.payments_size()) return true;
  for (int i = 0; i < before.payments_size(); ++i) {
    if (before.payments(i).revision() != after.payments(i).revision()) return true;
  }
  return false;
}

/// The attempts without an answer that an order has after a decision.
struct Unanswered {
  /// Written by it, or left behind by a sender that is gone.
  std::vector<pb::PaymentTransaction> to_send;
  /// How long others may still be at theirs.
  std::optional<microseconds> wait;
};

Unanswered unanswered_in(const pb::Order& order, const rules::Change& change,
                         const Settings& settings, Micros now, microseconds lease) {
  Unanswered found;
  const auto is_new = [&](const pb::PaymentTransaction& attempt) {
    return std::any_of(change.transactions_created.begin(), change.transactions_created.end(),
                       [&](const pb::PaymentTransaction& created) {
                         return created.transaction_id() == attempt.transaction_id();
                       });
  };
  for (const pb::Payment& payment : order.payments()) {
    for (const pb::PaymentTransaction& attempt : payment.open_transactions()) {
      if (attempt.status() != pb::TRANSACTION_STATUS_UNKNOWN || is_new(attempt)) continue;
      const microseconds rest{rules::to_micros(attempt.create_time()) + lease.count() - now};
      if (rest.count() > 0) found.wait = std::max(found.wait.value_or(rest), rest);
    }
    for (auto& attempt : rules::to_send_again(order, payment, settings, now)) {
      const bool left_behind = rules::to_micros(attempt.create_time()) + lease.count() <= now;
      if (is_new(attempt) || left_behind) found.to_send.push_back(std::move(attempt));
    }
  }
  return found;
}

}  // namespace

/// One order on its way. Each step ends by handing a pointer to this on to the next; when the last
/// one goes the driving has ended.
class Cancellations::Drive : public std::enable_shared_from_this<Drive> {
 public:
  Drive(std::shared_ptr<Cancellations> owner, Start start)
      : work_(std::move(start.work)),
        owner_(std::move(owner)),
        priority_(start.priority),
        until_(start.until),
        waits_(start.waits),
        trace_(std::move(start.trace)),
        progress_(std::move(start.progress)),
        order_(std::move(start.order)),
        order_id_(order_->id) {
    std::lock_guard lock(owner_->mutex_);
    driven_ = owner_->driven_.insert(order_id_);
  }
  ~Drive() {
    std::lock_guard lock(owner_->mutex_);
    owner_->driven_.erase(driven_);
  }
  Drive(const Drive&) = delete;
  Drive& operator=(const Drive&) = delete;

  void next_round() {
    if (!in_progress(order_->order) || owner_->stopping()) return;
    if (until_ != Deadline::max() && Clock::now() + owner_->options_.call_timeout > until_) return;
    ask_gateways(owner_->accounts_, owner_->sender_, order_, priority_, until_, trace_,
                 [self = shared_from_this()](Said said) { self->decide(std::move(said)); });
  }

 private:
  void decide(Said said) {
    if (!said.complete || owner_->stopping()) return;
    if (++rounds_ > kMaxRounds) {
      spdlog::warn("the cancellation of order {} does not come to an end and is tried again later",
                   order_id_.to_string());
      return;
    }
    failpoint("cancel_before_advance");
    lease_end_ = Clock::now() + owner_->options_.lease;
    // The rule may run several times; the last one counts.
    const auto found = std::make_shared<Unanswered>();
    Command command = own_command(order_id_);
    command.wants_ledger = true;
    command.rule = [=, owner = owner_, readings = std::move(said.readings), ids = Uuid::generate()](
                       const rules::Target& target,
                       const rules::Context& context) -> rules::Result {
      rules::CancellationContext cancellation;
      cancellation.ids = ids;
      cancellation.lease = owner->options_.lease;
      cancellation.gateways = &owner->accounts_;
      cancellation.mailing = &owner->options_.mailing;
      auto change = rules::advance_cancellation(readings, cancellation, target, context);
      if (!change.ok()) return change;
      *found = unanswered_in(change->after ? *change->after : *target.order, *change,
                             *context.settings, context.now, owner->options_.lease);
      return change;
    };
    command.done = [self = shared_from_this(), found](AnswerOr answer) {
      self->decided(std::move(answer), *found);
    };
    owner_->engine_.submit(std::move(command));
  }

  void decided(AnswerOr answer, const Unanswered& found) {
    if (is_stale(answer) && ++stale_ < kMaxReadings) {
      --rounds_;
      pause_ = longer(pause_);
      return owner_->after(pause_, [self = shared_from_this()] { self->look_again(); });
    }
    if (!answer.ok()) {
      spdlog::info("the cancellation of order {} goes on later: {}", order_id_.to_string(),
                   errors::reason(answer.status()));
      return;
    }
    if (answer->changed) failpoint("cancel_after_advance");
    stale_ = 0;
    pause_ = milliseconds(0);
    order_ = answer->order;
    progress_(*answer);
    if (!in_progress(order_->order)) return;

    std::vector<pb::PaymentTransaction> attempts;
    for (const pb::PaymentTransaction& attempt : found.to_send) {
      // What stays without an answer has to wait for the reconciler.
      if (tried_.insert(attempt.transaction_id()).second) attempts.push_back(attempt);
    }
    if (!attempts.empty()) return send(attempts);
    if (found.wait && waits_ && !only_tried(order_->order)) {
      wait_end_ = Clock::now() + *found.wait;
      wait();
    }
  }

  /// Whether all attempts without an answer are of this driving.
  bool only_tried(const pb::Order& order) const {
    for (const pb::Payment& payment : order.payments()) {
      for (const pb::PaymentTransaction& attempt : payment.open_transactions()) {
        const bool unknown = attempt.status() == pb::TRANSACTION_STATUS_UNKNOWN;
        if (unknown && !tried_.contains(attempt.transaction_id())) return false;
      }
    }
    return true;
  }

  void send(const std::vector<pb::PaymentTransaction>& attempts) {
    // When the last of them has begun, its end may change all of this.
    const OrderPtr order = order_;
    missing_ = attempts.size();
    // A visit of the reconciler's has its claim.
    const Deadline end = until_ == Deadline::max() ? lease_end_ : until_;
    for (const pb::PaymentTransaction& attempt : attempts) {
      const pb::Payment* payment = rules::find_payment(order->order, attempt.payment_id());
      owner_->accounts_.run(
          payment->gateway_account(), priority_,
          [self = shared_from_this(), order, payment, attempt, end] {
            const engine::TraceScope trace(self->trace_);
            self->sent(self->owner_->sender_.send(self->order_id_, *payment, attempt, end));
          });
    }
  }

  void sent(const std::optional<Answer>& settled) {
    {
      std::lock_guard lock(mutex_);
      if (settled && settled->order->version > order_->version) {
        order_ = settled->order;
        progress_(*settled);
      }
    }
    if (missing_.fetch_sub(1) == 1) next_round();
  }

  /// Somebody else waits for a gateway's answer: what becomes of that shows in the order.
  void wait() {
    pause_ = longer(pause_);
    owner_->after(pause_, [self = shared_from_this()] {
      self->owner_->look(self->order_id_, [self](OrderPtr order) {
        if (order == nullptr) return;
        const bool news = money_moved(self->order_->order, order->order);
        if (!news && Clock::now() < self->wait_end_) return self->wait();
        self->go_on_from(std::move(order));
      });
    });
  }

  void look_again() {
    owner_->look(order_id_, [self = shared_from_this()](OrderPtr order) {
      if (order != nullptr) self->go_on_from(std::move(order));
    });
  }

  /// Others drive the same order, or settle what it waits for: the caller hears of that too.
  void go_on_from(OrderPtr order) {
    if (order->version > order_->version) {
      Answer now;
      now.order = order;
      now.order_id = order_id_;
      progress_(now);
    }
    order_ = std::move(order);
    next_round();
  }

  const Work work_;
  const std::shared_ptr<Cancellations> owner_;
  const Priority priority_;
  const Deadline until_;
  const bool waits_;
  const engine::TraceContext trace_;
  const std::function<void(const Answer&)> progress_;
  std::multiset<Uuid>::iterator driven_;

  OrderPtr order_;
  const Uuid order_id_;
  int rounds_ = 0;
  int stale_ = 0;
  milliseconds pause_{0};
  Deadline lease_end_;
  Deadline wait_end_;
  /// The attempts that have been sent.
  std::set<std::string> tried_;

  std::mutex mutex_;  // guards `order_` while attempts are under way
  std::atomic<std::size_t> missing_ = 0;
};

/// What a cancellation would do, for one caller. He is answered with what was known before if the
/// gateways take longer than he does.
class Cancellations::Preview : public std::enable_shared_from_this<Preview> {
 public:
  Preview(std::shared_ptr<Cancellations> owner, Command command, std::shared_ptr<Caller> caller,
          Work work)
      : work_(std::move(work)),
        owner_(std::move(owner)),
        command_(std::move(command)),
        caller_(std::move(caller)) {}

  /// A refusal, and a retry, need no gateway.
  void start() { submit(command_.rule, &Preview::looked); }

 private:
  void submit(rules::Rule rule, void (Preview::*then)(AnswerOr)) {
    if (!caller_->begin_command()) return;
    Command command = command_;
    command.wants_ledger = true;
    command.rule = std::move(rule);
    command.done = [self = shared_from_this(), then](AnswerOr answer) {
      (*self.*then)(std::move(answer));
    };
    owner_->engine_.submit(std::move(command));
  }

  void looked(AnswerOr answer) {
    const bool asks = answer.ok() && answer->changed && !answer->replayed &&
                      std::any_of(answer->order->order->payments().begin(),
                                  answer->order->order->payments().end(), has_gateway);
    if (!asks) return caller_->answer(std::move(answer));
    known_ = *std::move(answer);
    known_.outcome.mutable_cancellation()->set_provisional(true);
    caller_->committed(known_);
    ask(known_.order);
  }

  void ask(const OrderPtr& order) {
    ask_gateways(owner_->accounts_, owner_->sender_, order, Priority::kCaller, caller_->answer_by(),
                 command_.trace,
                 [self = shared_from_this()](Said said) { self->fold(std::move(said)); });
  }

  /// What the caller's rule says to the order as it would be after a sync.
  void fold(Said said) {
    complete_ = said.complete;
    rules::Rule fold = [readings = std::move(said.readings), ids = Uuid::generate()](
                           const rules::Target& target, const rules::Context& context) {
      return rules::fold_readings(readings, ids, target, context);
    };
    submit(after_fold(std::move(fold), command_.rule), &Preview::folded);
  }

  void folded(AnswerOr answer) {
    if (is_stale(answer)) {
      if (++stale_ == kMaxReadings) return caller_->answer(errors::overloaded(kRetryDelay));
      caller_->committed(known_);
      pause_ = longer(pause_);
      return owner_->after(pause_, [self = shared_from_this()] {
        self->owner_->look(self->command_.order_id, [self](OrderPtr order) {
          if (order != nullptr) self->ask(order);
        });
      });
    }
    if (answer.ok() && !complete_) answer->outcome.mutable_cancellation()->set_provisional(true);
    caller_->answer(std::move(answer));
  }

  const Work work_;
  const std::shared_ptr<Cancellations> owner_;
  const Command command_;
  const std::shared_ptr<Caller> caller_;
  Answer known_;
  bool complete_ = false;
  int stale_ = 0;
  milliseconds pause_{0};
};

Cancellations::Cancellations(engine::Engine& engine, engine::Reader& reader, Accounts& accounts,
                             Sender& sender, boost::asio::io_context& timers,
                             std::shared_ptr<Callers> callers, Options options)
    : engine_(engine),
      reader_(reader),
      accounts_(accounts),
      sender_(sender),
      timers_(timers),
      callers_(std::move(callers)),
      options_(std::move(options)) {}

void Cancellations::cancel(Command command, Deadline answer_by, Work work) {
  const auto caller = Caller::make(timers_, callers_, answer_by,
                                   [work, done = std::move(command.done)](AnswerOr answer) {
                                     if (answer.ok() && answer->changed)
                                       failpoint("cancel_before_answer");
                                     done(std::move(answer));
                                   });
  command.done = nullptr;
  if (stopping()) return;
  if (command.validate_only) {
    return std::make_shared<Preview>(shared_from_this(), std::move(command), caller, work)->start();
  }
  if (!caller->begin_command()) return;
  command.done = [self = shared_from_this(), caller, work, trace = command.trace](AnswerOr answer) {
    if (!answer.ok() || !answer->changed || answer->replayed) {
      return caller->answer(std::move(answer));
    }
    failpoint("cancel_after_begin");
    if (!in_progress(answer->order->order)) return caller->answer(std::move(answer));
    caller->committed(*answer);
    Start start;
    start.order = answer->order;
    start.priority = Priority::kCaller;
    start.waits = true;
    start.trace = trace;
    start.work = work;
    start.progress = [caller, outcome = answer->outcome](const Answer& now) {
      Answer known;
      known.order = now.order;
      known.order_id = now.order_id;
      known.etag = now.order->order->etag();
      known.outcome = outcome;
      known.changed = true;
      caller->committed(std::move(known));
    };
    self->drive(std::move(start));
  };
  engine_.submit(std::move(command));
}

void Cancellations::drive(Start start) {
  std::make_shared<Drive>(shared_from_this(), std::move(start))->next_round();
}

bool Cancellations::driving(const Uuid& order_id) {
  std::lock_guard lock(mutex_);
  return driven_.contains(order_id);
}

void Cancellations::look(const Uuid& order_id, std::function<void(OrderPtr)> then) {
  reader_.get({order_id}, nullptr,
              [then = std::move(then)](const absl::StatusOr<engine::Reader::Orders>& orders) {
                then(orders.ok() ? orders->front() : nullptr);
              });
}

bool Cancellations::stopping() {
  std::lock_guard lock(mutex_);
  return stopping_;
}

void Cancellations::after(milliseconds time, std::function<void()> then) {
  std::lock_guard lock(mutex_);
  if (stopping_) return;
  const std::int64_t id = ++last_pause_;
  auto pause =
      std::make_unique<Pause>(Pause{boost::asio::steady_timer(timers_, time), std::move(then)});
  pause->timer.async_wait([weak = weak_from_this(), id](const boost::system::error_code& error) {
    if (error) return;
    if (const auto self = weak.lock()) self->wake(id);
  });
  pauses_.emplace(id, std::move(pause));
}

void Cancellations::wake(std::int64_t id) {
  std::unique_ptr<Pause> pause;
  {
    std::lock_guard lock(mutex_);
    const auto it = pauses_.find(id);
    if (it == pauses_.end()) return;
    pause = std::move(it->second);
    pauses_.erase(it);
  }
  pause->then();
}

void Cancellations::stop() {
  decltype(pauses_) dropped;  // destroyed without the mutex: that ends drivings
  std::lock_guard lock(mutex_);
  stopping_ = true;
  dropped.swap(pauses_);
}

}  // namespace orderd::payments
