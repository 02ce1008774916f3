#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <variant>

#include "server/payments/gateway.h"
#include "server/payments/sandbox_ledger.h"

namespace orderd::payments {

/// The built-in gateway: real bookkeeping, no real money, and every way to fail on request.
///
/// The book is in a file (see SandboxLedger) and may be shared by several servers. Faults, and what
/// is under way, belong to this object: a server that starts has none. Thread-safe.
class Sandbox : public Gateway {
 public:
  enum class Operation { kFetch, kCapture, kVoid, kRefund };

  struct Fault {
    enum class Kind {
      /// The gateway says no, with `reason`, and will say so again for this key. A fetch fails with
      /// kUnavailable and `reason`, as it does with wrong credentials.
      kRefuse,
      /// It takes `delay`. If the deadline comes first the caller is told UNKNOWN at the deadline,
      /// and the gateway does what was asked for all the same. What a fetch answers is as of the
      /// beginning of the delay.
      kDelay,
      /// Done, but the answer is lost: UNKNOWN.
      kDropAnswer,
      /// The request does not arrive: NOT_EXECUTED.
      kNotExecuted,
      /// The gateway has an error, and answers the same for this key as long as it remembers it:
      /// UNKNOWN. Nothing was done.
      kServerError,
      /// The same, but it was done.
      kServerErrorApplied,
      /// No answer until the deadline, and nothing done: UNKNOWN.
      kHang,
      /// Refunds only: PENDING; the refund fails with `reason` after `delay`, by the sandbox's
      /// clock. Without a delay it waits for `SandboxLedger::settle_refund`.
      kPendingRefund,
    };
    Kind kind{};
    std::string reason = {};
    std::optional<std::chrono::microseconds> delay = {};
    /// How many calls it meets, before the next fault of the operation takes its place; absent:
    /// all. A call whose key has a recorded answer counts, and gets that answer unless it gets
    /// none.
    std::optional<int> times = 1;
  };

  Sandbox(const std::string& ledger_path, SandboxLedger::Clock clock);

  /// Adds a fault behind those that the operation has. Throws std::invalid_argument if the fault
  /// does not exist for the operation, lacks its `delay`, or `times` is not above 0.
  void add_fault(Operation operation, const Fault& fault);
  /// Calls that are held up by a delay or a hang go on at once.
  void clear_faults(Operation operation);
  void clear_faults();
  /// What is left, next one first.
  std::vector<Fault> faults(Operation operation) const;

  /// Returns when so many calls are held up by a delay or a hang; false: not before the deadline.
  bool wait_until_held(int calls, Deadline deadline) const;

  /// The book, with what customers, banks and the dashboard do.
  SandboxLedger& ledger() { return ledger_; }

  std::variant<Reading, FetchError> fetch(const PaymentRef& payment, Deadline deadline) override;
  CallResult capture(const PaymentRef& payment, const Attempt& attempt, Deadline deadline) override;
  CallResult void_remainder(const PaymentRef& payment, const Attempt& attempt,
                            Deadline deadline) override;
  CallResult refund(const PaymentRef& payment, const Attempt& attempt, Deadline deadline) override;
  Representable representable(const pb::Money& amount) const override;

 private:
  class UnderWay;

  std::optional<Fault> take_fault(Operation operation);
  /// Waits for the delay, or until the faults of the operation are cleared. False: the deadline
  /// came first.
  bool hold(Operation operation, std::optional<std::chrono::microseconds> delay, Deadline deadline);
  CallResult move(Operation operation, const SandboxLedger::Request& request, Deadline deadline);
  std::variant<Reading, FetchError> read(const PaymentRef& payment);

  SandboxLedger ledger_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  // All guarded by mutex_.
  std::map<Operation, std::vector<Fault>> faults_;
  /// How often the faults of the operation have been cleared.
  std::map<Operation, int> clearings_;
  int held_ = 0;
  std::set<std::string> keys_under_way_;
  std::map<std::string, int> payments_under_way_;
};

}  // namespace orderd::payments
