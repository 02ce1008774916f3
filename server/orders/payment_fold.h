#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/orders/rule.h"
#include "server/payments/gateway.h"

namespace orderd::rules {

/// Sums of money can be anything that a gateway says; what is computed with them does not overflow.
__extension__ typedef __int128 Wide;

/// An id is one among those of its kind. A view of what outlives it.
using Name = std::pair<pb::TransactionKind, std::string_view>;

inline bool is_open(const pb::PaymentTransaction& transaction) {
  return transaction.status() == pb::TRANSACTION_STATUS_UNKNOWN ||
         transaction.status() == pb::TRANSACTION_STATUS_PENDING;
}
inline bool succeeded(const pb::PaymentTransaction& transaction) {
  return transaction.status() == pb::TRANSACTION_STATUS_SUCCEEDED;
}
/// Why a movement FAILED.
inline std::string failure(const payments::GatewayMovement& movement) {
  return movement.reason.empty() ? "FAILED" : movement.reason;
}

/// Whether an attempt is too old to be sent again with its key: less than an hour before the
/// gateway forgets the key, or later.
bool too_old_to_send(const pb::PaymentTransaction& transaction,
                     const pb::GatewayCapabilities& capabilities, Micros now);

/// Whether `found` was found at the gateway after the attempt was made, so that the attempt may be
/// hidden in it where readings carry no attempt ids.
bool may_hide(const pb::PaymentTransaction& found, const pb::PaymentTransaction& attempt);

/// One reading, folded into one payment and its transactions. The rules are those of
/// `fold_readings`.
class PaymentFold {
 public:
  /// `ledger`: of the whole order, oldest first. `next_id`: ids for what is booked, in order.
  PaymentFold(const pb::Payment& before, const std::vector<pb::PaymentTransaction>& ledger,
              const payments::Reading& reading, const std::string& currency_code, Micros now,
              std::function<std::string()> next_id);

  void run();

  /// All below: after `run`.
  bool changed() const { return changed_; }
  const pb::Payment& payment() const { return payment_; }
  /// Transactions that are new.
  std::vector<pb::PaymentTransaction> created() const;
  /// Transactions that were there and differ from before.
  std::vector<pb::PaymentTransaction> updated() const;
  /// When the last refund succeeded.
  std::optional<Micros> last_refund() const;

 private:
  /// A transaction, and what has become of it.
  struct Entry {
    pb::PaymentTransaction transaction;
    bool created = false;
    bool changed = false;
    /// A movement of the reading has been found to be this one.
    bool claimed = false;
  };
  struct Movement {
    const payments::GatewayMovement* reported = nullptr;
    bool matched = false;
  };
  /// The sums that a reading has: authorized, captured, refunded, voided.
  static constexpr std::size_t kSums = 4;
  struct Sum {
    /// What the gateway says it is.
    Wide reported = 0;
    /// What its movements add up to.
    Wide listed = 0;
    /// What ours add up to, without ADJUSTMENTs; and those.
    Wide booked = 0;
    Wide adjusted = 0;
    /// The part of `booked` that has ids which the reading does not list.
    Wide unlisted = 0;
  };

  void read_movements();
  void match_by_gateway_id();
  void match_by_attempt();
  void match_by_amount();
  void match_nameless();
  void add_up();
  void book_foreign();
  void book_rest(std::size_t sum);
  void adjust(std::size_t sum);
  void find_missing();
  void take_over_payment();

  Entry* find_unclaimed(const std::function<bool(const pb::PaymentTransaction&)>& accepts);
  void match(Entry& entry, Movement& movement);
  /// An open transaction of ours that a movement without a name of ours may be.
  Entry* likely_attempt(const payments::GatewayMovement& movement);
  pb::PaymentTransaction& book(const payments::GatewayMovement& movement,
                               std::int64_t amount_minor);
  /// The capture of ours of which the movement is the release, or null.
  const Entry* releasing_capture(const payments::GatewayMovement& movement) const;
  bool sum_has_moved_since(const pb::PaymentTransaction& attempt) const;
  pb::Money money(Wide minor);
  Micros plausible(Micros time) const;

  const payments::Reading& reading_;
  const std::string& currency_code_;
  const Micros now_;
  const std::function<std::string()> next_id_;
  const std::string before_;
  pb::Payment payment_;
  std::vector<Entry> entries_;
  std::vector<Movement> movements_;
  std::array<Sum, kSums> sums_;
  bool changed_ = false;
  bool attention_ = false;
  bool discrepancy_ = false;
};

}  // namespace orderd::rules
