#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "client/orderctl/text.h"
#include "orders/v1/order.pb.h"
#include "orders/v1/payment_calls.pb.h"

namespace orderd::cli {

/// PAYMENT_STATUS_PARTLY_CAPTURED -> partly captured
std::string enum_text(std::string name, std::string_view prefix);

std::string payment_status_text(orders::v1::PaymentStatus status);
std::string transaction_kind_text(orders::v1::TransactionKind kind);
std::string transaction_status_text(orders::v1::TransactionStatus status);

/// "capture of 10.00 EUR is failed: CARD_DECLINED"
std::string transaction_words(const orders::v1::PaymentTransaction& transaction);

/// The payments of an order, one below the other: where it is, its status and amounts, and what
/// can't be done with it although there is money in it.
void print_payments(const orders::v1::Order& order);

/// What happened to payments, in the order given. With more than one payment, each row says of
/// which.
void print_transactions(const std::vector<orders::v1::PaymentTransaction>& transactions,
                        bool with_payment, int indent = 0);

/// The table of payments that are not settled: one row for each open transaction, and one for a
/// payment without any.
Table unresolved_table();
void add_unresolved(Table& table, const orders::v1::UnresolvedPayment& unresolved);

}  // namespace orderd::cli
