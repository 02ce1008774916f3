#include "server/payments/processor.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>
#include <variant>
#include <vector>

#include "server/failpoint.h"
#include "server/orders/errors.h"
#include "server/orders/fields.h"
#include "server/orders/readings.h"
#include "server/payments/caller.h"
#include "server/payments/cancellation.h"
#include "server/payments/sender.h"
#include "storage/wall_clock.h"

namespace orderd::payments {
namespace {

using engine::Answer;
using engine::Command;
using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;
using Priority = Accounts::Priority;
using AnswerOr = absl::StatusOr<Answer>;

/// Readings of one call that other movements of money made stale.
constexpr int kMaxReadings = 20;
constexpr milliseconds kFirstPause{10};
constexpr milliseconds kLongestPause{200};
constexpr milliseconds kRetryDelay{1'000};

std::optional<Micros> open_since(const pb::Payment& payment) {
  std::optional<Micros> since;
  for (const pb::PaymentTransaction& transaction : payment.open_transactions()) {
    const Micros time = rules::to_micros(transaction.create_time());
    since = std::min(since.value_or(time), time);
  }
  return since;
}

}  // namespace

class Processor::Impl {
 public:
  Impl(engine::Engine& engine_in, engine::Reader& reader_in, Accounts& accounts_in,
       boost::asio::io_context& timers_in, const Options& options_in)
      : engine(engine_in),
        reader(reader_in),
        accounts(accounts_in),
        timers(timers_in),
        options(options_in),
        sender(engine_in, accounts_in, options_in.call_timeout, options_in.first_check,
               options_in.observer),
        cancellations(std::make_shared<Cancellations>(
            engine_in, reader_in, accounts_in, sender, timers_in, callers,
            Cancellations::Options{options_in.call_timeout, lease(), options_in.mailing})) {}

  class Call;
  class Reconciliation;

  /// Work under way; `stop` waits for the last of it.
  class Ticket {
   public:
    explicit Ticket(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {
      std::lock_guard lock(impl_->mutex_);
      ++impl_->tickets_;
    }
    ~Ticket() {
      std::lock_guard lock(impl_->mutex_);
      if (--impl_->tickets_ == 0) impl_->idle_.notify_all();
    }
    Ticket(const Ticket&) = delete;
    Ticket& operator=(const Ticket&) = delete;

    Impl* operator->() const { return impl_.get(); }

   private:
    const std::shared_ptr<Impl> impl_;
  };

  milliseconds lease() const { return options.call_timeout + options.lease_margin; }

  static void sync(const std::shared_ptr<Impl>& impl, Command command, std::string payment_id,
                   Deadline deadline);
  static void cancel(const std::shared_ptr<Impl>& impl, Command command, Deadline deadline);

  Deadline answer_by(Deadline deadline) const {
    const auto now = Clock::now();
    return deadline - std::min<Clock::duration>(options.answer_margin, (deadline - now) / 2);
  }

  bool stopping() {
    std::lock_guard lock(mutex_);
    return stopping_;
  }

  void drop_waiting() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    cancellations->stop();
    accounts.drop_waiting();
    callers->answer_all();
  }

  void stop() {
    drop_waiting();
    sender.stop();
    accounts.stop();
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return tickets_ == 0; });
  }

  engine::Engine& engine;
  engine::Reader& reader;
  Accounts& accounts;
  boost::asio::io_context& timers;
  const Options options;
  Sender sender;
  const std::shared_ptr<Callers> callers = std::make_shared<Callers>();
  const std::shared_ptr<Cancellations> cancellations;

 private:
  std::mutex mutex_;  // guards what follows
  std::condition_variable idle_;
  int tickets_ = 0;
  bool stopping_ = false;
};

/// A command and a gateway on their way to one caller's answer. Each step ends by handing a pointer
/// to this on to the next; whoever lets the last one go ends the call (see Caller).
class Processor::Impl::Call : public std::enable_shared_from_this<Call> {
 public:
  enum class Kind { kAttempt, kSync };

  Call(const std::shared_ptr<Impl>& impl, Kind kind, Command command, std::string payment_id,
       Deadline deadline)
      : impl_(impl),
        kind_(kind),
        payment_id_(std::move(payment_id)),
        caller_(Caller::make(impl->timers, impl->callers, impl->answer_by(deadline),
                             std::move(command.done))),
        command_(std::move(command)) {}

  void start() {
    if (impl_->stopping()) return;
    kind_ == Kind::kAttempt ? attempt() : look();
  }

 private:
  void submit(Command command, void (Call::*then)(AnswerOr)) {
    if (!caller_->begin_command()) return;
    command.done = [self = shared_from_this(), then](AnswerOr answer) {
      (*self.*then)(std::move(answer));
    };
    impl_->engine.submit(std::move(command));
  }

  // An attempt: the caller's command, the gateway, the settling.

  void attempt() {
    lease_end_ = Clock::now() + impl_->lease();
    submit(command_, &Call::attempted);
  }

  void attempted(AnswerOr answer) {
    if (errors::reason(answer.status()) == "PAYMENT_UNSYNCED") {
      caller_->go_on();
      return look();
    }
    const bool committed =
        answer.ok() && answer->changed && !answer->replayed && !command_.validate_only;
    if (!committed) return caller_->answer(std::move(answer));

    failpoint("after_transaction_one");
    // A refund that was confirmed has nothing to send.
    if (answer->transaction && answer->transaction->status() != pb::TRANSACTION_STATUS_UNKNOWN) {
      return caller_->answer(std::move(answer));
    }
    caller_->committed(*answer);
    const pb::Payment* payment = rules::find_payment(answer->order->order, payment_id_);
    if (payment == nullptr || !answer->transaction) {
      spdlog::error("an attempt without a payment or a transaction is left to the reconciler");
      return;
    }
    impl_->accounts.run(payment->gateway_account(), Priority::kCaller,
                        [self = shared_from_this(), payment, attempt = *std::move(answer)] {
                          self->send(*payment, attempt);
                        });
  }

  void send(const pb::Payment& payment, const Answer& attempt) {
    const engine::TraceScope trace(command_.trace);
    auto settled = impl_->sender.send(attempt.order_id, payment, *attempt.transaction, lease_end_,
                                      /*again=*/false);
    if (!settled) return;
    settled->outcome = attempt.outcome;
    settled->changed = true;
    caller_->answer(*std::move(settled));
  }

  // Readings: looking at the order, asking its gateways, folding.

  /// Also finds out whether this is a retry, which is answered even if the gateway is away.
  void look() {
    Command command = command_;
    command.rule = change_nothing;
    command.validate_only = true;
    submit(std::move(command), &Call::looked);
  }

  void looked(AnswerOr answer) {
    if (!answer.ok() || answer->replayed) return caller_->answer(std::move(answer));
    caller_->go_on();
    const pb::Payment* payment = rules::find_payment(answer->order->order, payment_id_);
    const bool synced = payment != nullptr && payment->status() != pb::PAYMENT_STATUS_UNSYNCED;
    if (kind_ == Kind::kAttempt && synced) return attempt();  // by another call, meanwhile
    ask(answer->order);
  }

  void ask(const OrderPtr& order) {
    payments_.clear();
    for (const pb::Payment& payment : order->order->payments()) {
      const bool wanted = payment_id_.empty() || payment.payment_id() == payment_id_;
      if (wanted && payment.gateway_account() != rules::kExternal) payments_.push_back(payment);
    }
    if (!payment_id_.empty() && rules::find_payment(order->order, payment_id_) == nullptr) {
      return caller_->answer(errors::payment_not_found(order->order->order_id(), payment_id_));
    }
    for (const pb::Payment& payment : payments_) {
      const std::string& account = payment.gateway_account();
      if (!impl_->accounts.configured(account)) {
        return caller_->answer(errors::gateway_not_configured(account));
      }
      const absl::Status available = impl_->accounts.available(account);
      if (!available.ok()) return caller_->answer(available);
    }
    if (payments_.empty()) return fold({});

    readings_.assign(payments_.size(), FetchError{});
    // When the last of them has begun, the answers may change all of this.
    const std::size_t count = payments_.size();
    missing_ = count;
    for (std::size_t i = 0; i < count; ++i) {
      impl_->accounts.run(payments_[i].gateway_account(), Priority::kCaller,
                          [self = shared_from_this(), i, order] { self->fetch(i, order); });
    }
  }

  void fetch(std::size_t index, const OrderPtr& order) {
    const engine::TraceScope trace(command_.trace);
    if (pause_ > milliseconds(0)) impl_->sender.pause(pause_);
    readings_[index] =
        impl_->sender.fetch(payments_[index], order->order->currency_code(), caller_->answer_by());
    if (missing_.fetch_sub(1) == 1) fetched();
  }

  void fetched() {
    std::vector<rules::PaymentReading> all;
    for (std::size_t i = 0; i < payments_.size(); ++i) {
      if (const auto* error = std::get_if<FetchError>(&readings_[i])) {
        return caller_->answer(to_status(*error, payments_[i]));
      }
      all.push_back({payments_[i].payment_id(), payments_[i].revision(),
                     std::get<Reading>(std::move(readings_[i]))});
    }
    fold(std::move(all));
  }

  void fold(std::vector<rules::PaymentReading> readings) {
    rules::Rule rule = [readings = std::move(readings), ids = Uuid::generate(),
                        first_check = impl_->options.first_check](const rules::Target& target,
                                                                  const rules::Context& context) {
      auto change = rules::fold_readings(readings, ids, target, context);
      if (change.ok()) ask_in_time(*change, context.now, first_check);
      return change;
    };
    if (kind_ == Kind::kSync || command_.validate_only) {
      Command command = command_;
      command.wants_ledger = true;
      command.rule =
          kind_ == Kind::kSync ? std::move(rule) : after_fold(std::move(rule), command_.rule);
      return submit(std::move(command), &Call::folded);
    }
    // The caller's etag is about the order before all of this, and is checked once.
    Command command = own_command(command_.order_id);
    command.expected_etag = command_.expected_etag;
    command.wants_ledger = true;
    command.rule = std::move(rule);
    submit(std::move(command), &Call::folded);
  }

  void folded(AnswerOr answer) {
    if (errors::reason(answer.status()) == "STALE_READING") {
      if (++stale_ == kMaxReadings) return caller_->answer(errors::overloaded(kRetryDelay));
      pause_ = std::clamp(pause_ * 2, kFirstPause, kLongestPause);
      caller_->go_on();
      return look();
    }
    if (kind_ == Kind::kSync || command_.validate_only || !answer.ok()) {
      return caller_->answer(std::move(answer));
    }
    caller_->go_on();
    if (!command_.expected_etag.empty()) command_.expected_etag = answer->etag;
    attempt();
  }

  const Ticket impl_;
  const Kind kind_;
  const std::string payment_id_;
  const std::shared_ptr<Caller> caller_;
  Command command_;
  Deadline lease_end_;

  /// The payments whose gateways are asked, as they were before, and what came of it.
  std::vector<pb::Payment> payments_;
  std::vector<std::variant<Reading, FetchError>> readings_;
  std::atomic<std::size_t> missing_ = 0;
  int stale_ = 0;
  milliseconds pause_{0};
};

/// One visit of the reconciler's; it is reported when the last pointer goes.
class Processor::Impl::Reconciliation {
 public:
  Reconciliation(const std::shared_ptr<Impl>& impl, std::string payment_id, Deadline until,
                 std::function<void(Processor::Visit)> done)
      : impl_(impl), payment_id_(std::move(payment_id)), until_(until), done_(std::move(done)) {}
  ~Reconciliation() { done_(visit_); }
  Reconciliation(const Reconciliation&) = delete;
  Reconciliation& operator=(const Reconciliation&) = delete;

  /// Instead of `run`: what a step of the order's cancellation came to.
  void canceling(const pb::Payment& before, const pb::Order& after) {
    note_open(after);
    const pb::Payment* payment = rules::find_payment(after, payment_id_);
    const bool news = payment != nullptr && payment->revision() != before.revision();
    visit_.result = news ? Processor::Visit::Result::kNews : Processor::Visit::Result::kNothing;
  }

  void run(const OrderPtr& order, const std::string& account) {
    note_open(order->order);
    if (Clock::now() + impl_->options.call_timeout > until_) return;
    if (account != rules::kExternal && !impl_->accounts.enter(account)) return;
    visit_.result = Processor::Visit::Result::kNothing;
    const auto folded = impl_->sender.read_and_fold(order->id, order, payment_id_, until_);
    if (!folded.answer.ok()) {
      spdlog::info("payment {} of order {} could not be reconciled: {}", payment_id_,
                   order->id.to_string(), errors::reason(folded.answer.status()));
      const std::chrono::microseconds wait = folded.retry_after.value_or(milliseconds(0));
      visit_.not_before = wall_clock() + wait.count();
      return;
    }
    note(*folded.answer);
    visit_.not_before = folded.next_check.value_or(INT64_MAX);
    const Micros leased_since = wall_clock() - std::chrono::microseconds(impl_->lease()).count();
    for (const pb::PaymentTransaction& attempt : folded.send_again) {
      // One that is younger belongs to its sender.
      if (rules::to_micros(attempt.create_time()) > leased_since || impl_->stopping()) continue;
      const pb::Payment* payment = rules::find_payment(folded.answer->order->order, payment_id_);
      const auto settled = impl_->sender.send(order->id, *payment, attempt, until_);
      if (settled) note(*settled);
    }
  }

 private:
  void note(const Answer& answer) {
    if (answer.changed) visit_.result = Processor::Visit::Result::kNews;
    note_open(answer.order->order);
  }
  void note_open(const pb::Order& order) {
    if (const auto* payment = rules::find_payment(order, payment_id_)) {
      visit_.open_since = open_since(*payment);
    }
  }

  const Ticket impl_;
  const std::string payment_id_;
  const Deadline until_;
  const std::function<void(Processor::Visit)> done_;
  Processor::Visit visit_;
};

Processor::Processor(engine::Engine& engine, engine::Reader& reader, Accounts& accounts,
                     boost::asio::io_context& timers, const Options& options)
    : impl_(std::make_shared<Impl>(engine, reader, accounts, timers, options)) {}

Processor::~Processor() { stop(); }

const Accounts& Processor::accounts() const { return impl_->accounts; }

std::chrono::microseconds Processor::lease() const { return impl_->lease(); }

const rules::Mailing& Processor::mailing() const { return impl_->options.mailing; }

void Processor::attempt(Command command, std::string payment_id, Deadline deadline) {
  using Call = Impl::Call;
  std::make_shared<Call>(impl_, Call::Kind::kAttempt, std::move(command), std::move(payment_id),
                         deadline)
      ->start();
}

void Processor::Impl::sync(const std::shared_ptr<Impl>& impl, Command command,
                           std::string payment_id, Deadline deadline) {
  std::make_shared<Call>(impl, Call::Kind::kSync, std::move(command), std::move(payment_id),
                         deadline)
      ->start();
}

/// With payments that no gateway has been asked about nothing is begun: they are synced first, and
/// the caller hears at once if that can't be done.
void Processor::Impl::cancel(const std::shared_ptr<Impl>& impl, Command command,
                             Deadline deadline) {
  Command begin = command;
  begin.done = [impl, command = std::move(command), deadline](AnswerOr answer) mutable {
    if (errors::reason(answer.status()) != "PAYMENT_UNSYNCED") {
      return command.done(std::move(answer));
    }
    Command first = own_command(command.order_id);
    first.order_id_text = command.order_id_text;
    first.expected_etag = command.expected_etag;
    first.trace = command.trace;
    first.done = [impl, command = std::move(command), deadline](AnswerOr synced) mutable {
      if (!synced.ok()) return command.done(synced.status());
      if (!command.expected_etag.empty()) command.expected_etag = synced->etag;
      cancel(impl, std::move(command), deadline);
    };
    sync(impl, std::move(first), "", deadline);
  };
  impl->cancellations->cancel(std::move(begin), impl->answer_by(deadline),
                              std::make_shared<Ticket>(impl));
}

void Processor::sync(Command command, std::string payment_id, Deadline deadline) {
  Impl::sync(impl_, std::move(command), std::move(payment_id), deadline);
}

void Processor::cancel(Command command, Deadline deadline) {
  Impl::cancel(impl_, std::move(command), deadline);
}

void Processor::reconcile(const Uuid& order_id, const std::string& payment_id, Deadline until,
                          std::function<void(Visit)> done) {
  const auto visit =
      std::make_shared<Impl::Reconciliation>(impl_, payment_id, until, std::move(done));
  impl_->reader.get(
      {order_id}, nullptr,
      [impl = impl_.get(), visit, payment_id,
       until](absl::StatusOr<engine::Reader::Orders> orders) {
        if (!orders.ok() || orders->front() == nullptr) return;
        const OrderPtr order = orders->front();
        const pb::Payment* payment = rules::find_payment(order->order, payment_id);
        if (payment == nullptr) return;
        if (order->order->cancellation().status() == pb::CANCELLATION_STATUS_IN_PROGRESS) {
          // One driving is enough for all payments of an order.
          if (impl->cancellations->driving(order->id)) return;
          const auto progress = [visit, order, payment](const Answer& answer) {
            visit->canceling(*payment, answer.order->order);
          };
          return impl->cancellations->drive({.order = order,
                                             .priority = Priority::kBackground,
                                             .until = until,
                                             .progress = progress,
                                             .work = visit});
        }
        const std::string& account = payment->gateway_account();
        impl->accounts.run(account, Priority::kBackground,
                           [visit, order, account] { visit->run(order, account); });
      });
}

void Processor::drop_waiting() { impl_->drop_waiting(); }

void Processor::stop() { impl_->stop(); }

}  // namespace orderd::payments
