#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "orders/v1/order.pb.h"

namespace orderd::cli {

/// Which payment of the order a command is about. `named` is its id or its reference at the
/// gateway; what the order does not have is passed on, for the server to refuse. Empty: the only
/// payment that allows the action, or else the only one.
absl::StatusOr<std::string> choose_payment(const orders::v1::Order& order,
                                           orders::v1::ActionKind action, const std::string& named);

/// The payment of that id, or null.
const orders::v1::Payment* find_payment(const orders::v1::Order& order,
                                        const std::string& payment_id);

/// "sandbox pay-17": where the payment is.
std::string payment_name(const orders::v1::Order& order, const std::string& payment_id);

/// The id of the payment that `named` is the id or the reference of; else `named` itself.
std::string payment_id_of(const orders::v1::Order& order, const std::string& named);

}  // namespace orderd::cli
