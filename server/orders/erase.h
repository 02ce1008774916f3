#pragma once

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <utility>

#include "orders/v1/order_service.pb.h"
#include "server/orders/rule.h"

// Erasing a customer's personal data from an order and from all that is kept of it.

namespace orderd::rules {

absl::Status validate(const pb::EraseCustomerDataRequest& request);
absl::Status validate(const pb::ListErasuresRequest& request);

/// What stands for a customer who was erased: the same for the same customer, and not to be turned
/// back without the secret.
class Pseudonyms {
 public:
  explicit Pseudonyms(std::string secret) : secret_(std::move(secret)) {}

  /// A pseudonym stays as it is.
  std::string of_customer_id(std::string_view customer_id) const;
  /// The same whatever the case of ASCII letters.
  std::string of_email(std::string_view email) const;
  /// A code under the secret that proves that some bytes are the same as others.
  std::string code(std::string_view purpose, std::string_view bytes) const;

 private:
  std::string secret_;
};

/// Takes the personal data out of a message, wherever it is in there: of each Customer only a
/// pseudonym of its id stays, of each Address only the country; with `texts` also what people
/// wrote. Returns whether there was any.
bool erase_personal_data(const Pseudonyms& pseudonyms, bool texts,
                         google::protobuf::Message& message);

/// Why the order may still need its customer's data; OK if it does not.
absl::Status check_closed(const pb::Order& order, const Settings& settings);

/// Erases the order, its history, e-mails, notes and transactions, which it all wants to see
/// (`Command::wants_records`, `wants_ledger`). No change if nothing is left to erase, or if the
/// order is not one that the request selects any more. `emails_erased` is in the outcome.
Result erase_customer(const pb::EraseCustomerDataRequest& request, const Uuid& erasure_id,
                      const Pseudonyms& pseudonyms, const Target& target, const Context& context);

}  // namespace orderd::rules
