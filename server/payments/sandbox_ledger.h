#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/payments/sandbox_database.h"
#include "server/payments/sandbox_judgement.h"

namespace orderd::payments {

/// The default of a new payment in the sandbox: everything, and keys for 24 hours.
pb::GatewayCapabilities all_capabilities();

/// The sandbox's own book, in an SQLite file of its own. It knows nothing of orders: it is what an
/// order's ledger is compared with.
///
/// Several processes may use one file at the same time. What a function has answered is on disk.
/// Every change is judged and booked in one transaction that keeps all other writers out; together
/// with it the answer is recorded for its idempotency key. What the clock makes true (an
/// authorization expires, a pending refund fails) is booked by the first call that comes after it.
///
/// Thread-safe. The calls take milliseconds, or up to ten seconds while another process holds the
/// file; then, and if the file can't be read or written, they throw LedgerError.
class SandboxLedger {
 public:
  using Clock = std::function<Micros()>;
  SandboxLedger(const std::string& path, Clock clock);

  // What the customer, the gateway's dashboard and the banks do. These answer like any call to a
  // gateway; none of it has an idempotency key, and readings show it without an attempt.

  struct NewPayment {
    /// Chosen by the ledger if empty.
    std::string reference = {};
    std::string currency_code = {};
    std::int64_t amount_minor = 0;
    std::optional<Micros> expire_time = {};
    pb::GatewayCapabilities capabilities = all_capabilities();
  };
  /// A payment that the customer has still to make. Gives its reference; nothing if there is one
  /// with this reference, or the amount is not above 0.
  std::optional<std::string> open(const NewPayment& payment);
  /// The customer has paid by card and the bank takes its time.
  CallResult start_processing(const std::string& reference);
  /// The customer has paid: the whole amount is authorized.
  CallResult pay(const std::string& reference);
  /// `open` and `pay` in one.
  std::optional<std::string> authorize(const NewPayment& payment);

  /// The rest of the authorization runs out now; an open payment can't be paid any more.
  CallResult expire(const std::string& reference);
  CallResult charge_back(const std::string& reference, std::int64_t amount_minor);
  CallResult reverse_chargeback(const std::string& reference, std::int64_t amount_minor);
  /// A capture, void or refund made from the dashboard.
  CallResult move_from_dashboard(const std::string& reference, MoneyOperation operation,
                                 std::int64_t amount_minor, bool final_capture = false);
  /// Ends a PENDING refund: with a reason it fails, without it succeeds. One that has SUCCEEDED can
  /// still fail: the customer's bank sends the money back.
  CallResult settle_refund(const std::string& transaction_id, const std::string& fail_reason);

  /// False: no such payment.
  bool set_capabilities(const std::string& reference, const pb::GatewayCapabilities& capabilities);

  // What the API does.

  struct Request {
    MoneyOperation operation{};
    PaymentRef payment;
    Attempt attempt;
  };
  /// How the gateway comes to an answer, if not by its rules alone. An answer once recorded for the
  /// key is given again whatever the course.
  struct Course {
    enum class Kind {
      kNormal,
      /// kRefused with `reason`.
      kRefuse,
      /// kUnknown with SERVER_ERROR, having done nothing, or having done what was asked for.
      kServerError,
      kServerErrorApplied,
      /// Refunds: PENDING. It fails with `reason` after `fail_after`; without, it waits.
      kPending,
    };
    Kind kind = Kind::kNormal;
    std::string reason = {};
    std::optional<std::chrono::microseconds> fail_after = {};
  };
  /// Does what is asked for at most once per key. The answer is recorded, whatever it is, and given
  /// again to the same request for as long as the payment's `key_lifetime` says; another request
  /// with the key is refused (IDEMPOTENCY_KEY_REUSED). Without a key nothing is recorded.
  CallResult execute(const Request& request, const Course& course);
  CallResult execute(const Request& request) { return execute(request, Course()); }

  // Reading.

  std::optional<LedgerPayment> read(const std::string& reference);
  /// In the order of their references.
  std::vector<std::string> references();

  struct RecordedAnswer {
    std::string idempotency_key;
    std::string reference;
    CallResult answer;
  };
  /// All that are recorded for a payment: the forgotten ones too, until their key is used again.
  std::vector<RecordedAnswer> answers(const std::string& reference);

  /// What can't be, over the whole book: of each payment its first violation. Empty: all is well.
  std::vector<std::string> violations();

 private:
  using Transaction = SandboxDatabase::Transaction;

  std::optional<LedgerPayment> load(const std::string& reference);
  /// As `load`, after booking what has become true by now.
  std::optional<LedgerPayment> load_current(const std::string& reference, Micros now);
  void set_stage(LedgerPayment& payment, LedgerStage stage);
  /// Fills in what is missing, writes it and adds it to the payment.
  LedgerMovement& book(LedgerPayment& payment, LedgerMovement movement, Micros time);
  void book_expiry(LedgerPayment& payment, Micros time);
  void settle(LedgerMovement& refund, const std::string& fail_reason, Micros time);
  CallResult perform(LedgerPayment& payment, const Request& request, const Course& course,
                     Micros now);
  std::optional<CallResult> recorded(const Request& request, const std::string& fingerprint,
                                     Micros now);
  void record(const Request& request, const std::string& fingerprint, const CallResult& answer,
              const LedgerPayment& payment, Micros now);
  /// Runs `change` on the payment as it is now, checks what comes out, and commits.
  CallResult change(const std::string& reference,
                    const std::function<CallResult(LedgerPayment&, Micros)>& change);

  const Clock clock_;
  std::mutex mutex_;
  SandboxDatabase database_;  // guarded by mutex_
};

}  // namespace orderd::payments
