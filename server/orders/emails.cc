#include "server/orders/emails.h"

#include <algorithm>

#include "server/orders/fields.h"
#include "server/orders/text.h"

namespace orderd::rules {
namespace {

constexpr Micros kMinute = 60'000'000;
constexpr Micros kHour = 60 * kMinute;
constexpr Micros kDay = 24 * kHour;
constexpr Micros kFirstDelay = kMinute;
constexpr Micros kLongestDelay = 6 * kHour;
constexpr Micros kGiveUpAfter = 3 * kDay;

/// How long after its n-th failure an e-mail is tried again.
Micros delay_after(std::int32_t tries) {
  Micros delay = kFirstDelay;
  for (std::int32_t i = 1; i < tries && delay < kLongestDelay; ++i) delay *= 2;
  return std::min(delay, kLongestDelay);
}

/// Whether so many failures, each followed by its delay, fill the time after which an e-mail is
/// given up. Not judged by the e-mail's age: one that is retried by hand, or that nobody could try
/// because no server ran, has all of its tries before it.
bool tried_for_too_long(std::int32_t tries) {
  Micros total = 0;
  for (std::int32_t i = 1; i <= tries && total < kGiveUpAfter; ++i) total += delay_after(i);
  return total >= kGiveUpAfter;
}

bool is_usable(const std::string& address) {
  errors::Violations violations;
  check_email(address, "email", violations);
  return !address.empty() && violations.empty();
}

/// The change that writes the e-mail `after`.
Change changed(const pb::Order& order, const pb::Email& before, const pb::Email& after) {
  Change change;
  change.after = order;
  change.email_updated = after;
  change.outcome.set_email_id(after.email_id());
  auto& event = *change.events.emplace_back().mutable_email_changed();
  *event.mutable_before() = before;
  *event.mutable_after() = after;
  return change;
}

Change unchanged(const pb::Email& email) {
  Change change;
  change.outcome.set_email_id(email.email_id());
  return change;
}

}  // namespace

absl::Status validate(const pb::ListEmailsRequest& request) {
  errors::Violations violations;
  check_text(request.order_id(), 0, 64, "order_id", violations);
  check_enum(pb::EmailStatus_IsValid(request.status()), "status", violations);
  check_page_size(request.page_size(), violations);
  return violations.status();
}

absl::Status validate(const pb::RetryEmailRequest& request) {
  errors::Violations violations;
  check_mutation(request, violations);
  check_id(request.email_id(), "email_id", violations);
  check_email(request.recipient(), "recipient", violations);
  return violations.status();
}

bool has_usable_email(const pb::Order& order) { return is_usable(order.customer().email()); }

pb::Email cancellation_email(const pb::Order& order, const Uuid& email_id, const Mailing& mailing,
                             Micros now) {
  pb::Email email;
  email.set_email_id(email_id.to_string());
  email.set_order_id(order.order_id());
  email.set_kind(pb::EMAIL_KIND_ORDER_CANCELED);
  email.set_message_id("<" + email.email_id() + "@" +
                       (mailing.domain.empty() ? "localhost" : mailing.domain) + ">");
  *email.mutable_create_time() = to_timestamp(now);
  if (!has_usable_email(order)) {
    email.set_status(pb::EMAIL_STATUS_DEAD);
    email.set_last_error("CUSTOMER_EMAIL_MISSING");
    return email;
  }
  email.set_status(pb::EMAIL_STATUS_PENDING);
  email.set_recipient(order.customer().email());
  *email.mutable_next_time() = to_timestamp(now);
  return email;
}

Result record_send(const SendResult& result, const Target& target, const Context& context) {
  const pb::Order& order = *target.order;
  if (target.email == nullptr) return errors::email_not_found(order.order_id(), "");
  const pb::Email& before = *target.email;
  if (before.status() != pb::EMAIL_STATUS_PENDING) return unchanged(before);

  pb::Email email = before;
  email.set_tries(before.tries() + 1);
  email.set_last_code(result.code);
  email.clear_next_time();
  if (result.sent) {
    email.set_status(pb::EMAIL_STATUS_SENT);
    email.clear_last_error();
    *email.mutable_send_time() = to_timestamp(context.now);
  } else {
    email.set_last_error(result.error);
    if (result.refused_for_good || tried_for_too_long(email.tries())) {
      email.set_status(pb::EMAIL_STATUS_DEAD);
    } else {
      *email.mutable_next_time() = to_timestamp(context.now + delay_after(email.tries()));
    }
  }
  return changed(order, before, email);
}

Result retry_email(const pb::RetryEmailRequest& request, const Target& target,
                   const Context& context) {
  const pb::Order& order = *target.order;
  if (target.email == nullptr) {
    return errors::email_not_found(order.order_id(), request.email_id());
  }
  const pb::Email& before = *target.email;
  if (before.status() == pb::EMAIL_STATUS_SENT) return errors::email_sent(before.email_id());
  if (order.has_customer_erase_time()) return errors::customer_erased();

  pb::Email email = before;
  if (!request.recipient().empty()) email.set_recipient(request.recipient());
  if (!is_usable(email.recipient())) return errors::customer_email_missing();
  // Of one that was given up, all begins anew.
  if (before.status() == pb::EMAIL_STATUS_DEAD) email.set_tries(0);
  email.set_status(pb::EMAIL_STATUS_PENDING);
  const bool due = before.has_next_time() && to_micros(before.next_time()) <= context.now;
  if (!due) *email.mutable_next_time() = to_timestamp(context.now);
  if (email.SerializeAsString() == before.SerializeAsString()) return unchanged(before);
  return changed(order, before, email);
}

}  // namespace orderd::rules
