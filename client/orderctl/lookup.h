#pragma once

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/client.h"

namespace orderd::cli {

/// The id of an order named on the command line: by its id (a UUID), or by its order number, which
/// is looked up. NOT_FOUND if there is no such number.
absl::StatusOr<std::string> order_id_of(const client::Client& client, const std::string& order);

/// The whole order, by its id.
absl::StatusOr<orders::v1::Order> full_order(const client::Client& client,
                                             const std::string& order_id);

/// Checks an `a=b` argument and splits it at the first "=". Throws LocalError; `what` names the
/// option.
std::pair<std::string, std::string> key_value(const std::string& text, const std::string& what);

}  // namespace orderd::cli
