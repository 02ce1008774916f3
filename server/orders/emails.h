#pragma once

#include <chrono>
#include <string>

#include "orders/v1/cancellation.pb.h"
#include "server/orders/cancellation.h"
#include "server/orders/rule.h"

// The rules of the outbox. An e-mail is PENDING until the mail server has accepted it (SENT) or it
// is given up (DEAD); DEAD ones can be tried again.

namespace orderd::rules {

absl::Status validate(const pb::ListEmailsRequest& request);
absl::Status validate(const pb::RetryEmailRequest& request);

/// Whether the order's customer has an address to which an e-mail can go.
bool has_usable_email(const pb::Order& order);

/// The e-mail that tells the customer that the order is canceled. PENDING, due now. If the order
/// has no usable address any more: DEAD `CUSTOMER_EMAIL_MISSING`, which RetryEmail can give one.
pb::Email cancellation_email(const pb::Order& order, const Uuid& email_id, const Mailing& mailing,
                             Micros now);

/// How a try to send an e-mail ended.
struct SendResult {
  bool sent = false;
  /// It will never be accepted (a 5xx reply to the recipient or the message): DEAD at once.
  bool refused_for_good = false;
  /// The server's reply code, 0 if there was none.
  int code = 0;
  /// As `Email.last_error`.
  std::string error;
};

/// Wants the command's `email_id` set. No change if the e-mail is no longer PENDING. Tried again
/// after 1 min, doubled each time up to 6 h; DEAD when these delays add up to three days.
Result record_send(const SendResult& result, const Target& target, const Context& context);

/// EMAIL_NOT_FOUND, EMAIL_SENT, CUSTOMER_EMAIL_MISSING. Counts the tries of a DEAD one from 0
/// again.
Result retry_email(const pb::RetryEmailRequest& request, const Target& target,
                   const Context& context);

}  // namespace orderd::rules
