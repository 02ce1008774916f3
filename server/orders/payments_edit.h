#pragma once

#include <string>
#include <string_view>

#include "server/orders/rule.h"

namespace orderd::rules {

/// What a gateway is about to be asked for; nobody knows yet what becomes of it.
pb::PaymentTransaction new_attempt(const Uuid& transaction_id, std::string_view request_id,
                                   const std::string& payment_id, pb::TransactionKind kind,
                                   const pb::Money& amount, const Context& context);

/// A change of one payment in the making: keeps the payment, its ledger and its event together.
class PaymentEdit {
 public:
  /// `payment` is one of the order's.
  PaymentEdit(const pb::Order& order, const pb::Payment& payment);

  pb::Payment& payment() { return *payment_; }

  /// Adds an attempt, which is open.
  void attempt(const pb::PaymentTransaction& transaction);
  /// Adds a transaction that was never open, and books it. False: 64 bits don't hold a sum.
  [[nodiscard]] bool add(const pb::PaymentTransaction& transaction);
  /// Overwrites an open transaction, which stays open.
  void update(const pb::PaymentTransaction& transaction);
  /// Overwrites an open transaction that has found its end, and books it, with the VOID of the rest
  /// if it is a final capture that succeeded. False: 64 bits don't hold a sum.
  [[nodiscard]] bool settle(const pb::PaymentTransaction& transaction, Micros now);

  /// What follows from it all, the event and when the gateway is to be asked next. At most once.
  Change done(Micros now, const std::string& reason = "");

 private:
  /// The status that a transaction leaves which has succeeded.
  void set_status(const pb::PaymentTransaction& transaction);

  pb::Payment before_;
  Change change_;
  pb::Payment* payment_ = nullptr;
};

}  // namespace orderd::rules
