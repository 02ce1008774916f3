#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "server/engine/engine.h"
#include "server/orders/readings.h"
#include "server/payments/accounts.h"

namespace orderd::payments {

/// The calls to gateways and what is written of them, step by step. Everything here blocks, for as
/// long as a gateway takes and the engine's commit after it: for threads of the accounts only.
class Sender {
 public:
  Sender(engine::Engine& engine, Accounts& accounts, std::chrono::milliseconds call_timeout,
         std::chrono::microseconds first_check, GatewayObserver observer)
      : engine_(engine),
        accounts_(accounts),
        call_timeout_(call_timeout),
        first_check_(first_check),
        observer_(std::move(observer)) {}

  std::variant<Reading, FetchError> fetch(const pb::Payment& payment,
                                          const std::string& currency_code, Deadline deadline);

  /// Sends an attempt that is committed, and settles it. The answer is the attempt as it is then.
  /// Nothing if that is left to the reconciler: the time is over, or the result can't be written.
  /// `again`: it may have been sent before, so a state conflict does not say by itself that it was
  /// not carried out.
  std::optional<engine::Answer> send(const Uuid& order_id, const pb::Payment& payment,
                                     const pb::PaymentTransaction& attempt, Deadline lease_end,
                                     bool again = true);

  struct Folded {
    absl::StatusOr<engine::Answer> answer{};
    /// What is to be sent again then.
    std::vector<pb::PaymentTransaction> send_again{};
    /// When the gateway is to be asked again if nothing happens. Absent: never.
    std::optional<Micros> next_check{};
    /// With an error: for how long the gateway wants to be left alone, if it says so.
    std::optional<std::chrono::milliseconds> retry_after{};
  };
  /// Asks the gateway of one payment and folds what it says; again while money moves meanwhile.
  /// `order`: as it was just now, or null. An external payment has no reading.
  Folded read_and_fold(const Uuid& order_id, OrderPtr order, const std::string& payment_id,
                       Deadline deadline);

  /// Waits; not after `stop`.
  void pause(std::chrono::milliseconds time);
  void stop();

 private:
  CallResult call(const pb::Payment& payment, const pb::PaymentTransaction& attempt,
                  Deadline lease_end);
  CallResult call_gateway(Gateway& gateway, const pb::Payment& payment,
                          const pb::PaymentTransaction& attempt, Deadline deadline);
  absl::StatusOr<engine::Answer> run(engine::Command command);
  /// Until it is not refused for a reason that passes, or the time is over.
  absl::StatusOr<engine::Answer> run_until(const engine::Command& command, Deadline end);
  Deadline call_deadline(Deadline end) const;
  /// Tells the circuit breaker how a call ended that had time until `deadline`.
  void report(const std::string& account, bool answered, Deadline began, Deadline deadline);
  void observe(std::string_view account, std::string_view operation, std::string_view outcome,
               Deadline began) const;

  engine::Engine& engine_;
  Accounts& accounts_;
  const std::chrono::milliseconds call_timeout_;
  const std::chrono::microseconds first_check_;
  const GatewayObserver observer_;

  std::mutex mutex_;  // guards what follows
  std::condition_variable wake_;
  bool stopping_ = false;
};

/// What else is changed does not put off the question what became of an attempt without an answer:
/// it is asked `first_check` after the attempt was made, or at once if that is over.
void ask_in_time(rules::Change& change, Micros now, std::chrono::microseconds first_check);
/// The rule of who only looks at an order.
rules::Result change_nothing(const rules::Target&, const rules::Context&);
/// What `rule` says to an order as `fold` would leave it.
rules::Rule after_fold(rules::Rule fold, rules::Rule rule);
/// A command of the server itself.
engine::Command own_command(const Uuid& order_id);
/// Why a reading could not be had, as an error.
absl::Status to_status(const FetchError& error, const pb::Payment& payment);

}  // namespace orderd::payments
