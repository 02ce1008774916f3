#include "server/payments/stripe_reading.h"

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

#include "server/orders/money.h"
#include "server/payments/stripe_amounts.h"
#include "server/payments/stripe_json.h"

namespace orderd::payments::stripe {
namespace {

using Json = nlohmann::json;

constexpr std::int64_t kMicrosPerSecond = 1'000'000;
// https://docs.stripe.com/payments/multicapture
constexpr std::int32_t kMaxCaptures = 50;
// https://docs.stripe.com/api/idempotent_requests: removed when at least 24 hours old.
constexpr std::int64_t kKeyLifetimeSeconds = 24 * 60 * 60;
// A release is told by a Refund that is made together with the capture.
constexpr Micros kReleaseWindow = 5 * kMicrosPerSecond;

class Fold {
 public:
  Fold(const Documents& documents, const std::string& currency_code)
      : documents_(documents), intent_(documents.intent), currency_(currency_code) {}

  Reading run();

 private:
  std::int64_t amount(const Json& object, const char* name) const {
    const auto minor = from_stripe(currency_, need_integer(object, name));
    if (!minor) throw Unusable{"AMOUNT_NOT_REPRESENTABLE"};
    return *minor;
  }
  Micros time(const Json& object, const char* name) const {
    const std::int64_t seconds = need_integer(object, name);
    if (seconds < 0 || seconds > std::numeric_limits<Micros>::max() / kMicrosPerSecond) {
      throw Unusable{"UNREADABLE_ANSWER"};
    }
    return seconds * kMicrosPerSecond;
  }
  void check_currency(const Json& object) const;
  std::string metadata(const Json& object, const char* key) const {
    return text(child(object, "metadata"), key);
  }

  void read_sums();
  void read_capabilities();
  void add_authorizations();
  void add_captures();
  void add_refunds();
  void add_release();
  void add_disputes();
  pb::PaymentStatus status() const;
  bool stands_for_release(const Json& refund) const;
  Micros capture_time() const;

  const Documents& documents_;
  const Json& intent_;
  const std::string& currency_;
  /// The latest charge, if it is one that was not declined; else null.
  Json charge_;
  std::string status_;
  std::int64_t capturable_ = 0;
  std::int64_t released_ = 0;
  std::string release_refund_;
  Reading reading_;
};

void Fold::check_currency(const Json& object) const {
  std::string code = need_text(object, "currency");
  for (char& c : code) c = static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
  if (code != currency_) throw Unusable{"CURRENCY_MISMATCH"};
}

void Fold::read_sums() {
  check_currency(intent_);
  status_ = need_text(intent_, "status");
  const Json& latest = child(intent_, "latest_charge");
  if (latest.is_object() && text(latest, "status") != "failed") charge_ = latest;

  const std::int64_t received = amount(intent_, "amount_received");
  capturable_ = amount(intent_, "amount_capturable");
  reading_.captured_minor = received;
  // Before a charge succeeded `amount` is only what is asked for.
  const bool authorized = received > 0 || capturable_ > 0 ||
                          (status_ == "canceled" && text(charge_, "status") == "succeeded");
  if (!authorized) return;
  reading_.authorized_minor = amount(intent_, "amount");
  // More can be captured than was authorized (overcapture); then nothing was released.
  released_ = std::max<std::int64_t>(0, reading_.authorized_minor - received - capturable_);
  reading_.voided_minor = released_;
}

void Fold::read_capabilities() {
  const Json& details = child(charge_, "payment_method_details");
  const std::string type = text(details, "type");
  const Json& method = type.empty() ? details : child(details, type.c_str());
  if (capturable_ > 0 && child(method, "capture_before").is_number_integer()) {
    reading_.expire_time = time(method, "capture_before");
  }
  const bool multi = text(child(method, "multicapture"), "status") == "available";
  auto& can = reading_.capabilities;
  can.set_multi_capture(multi);
  if (multi) can.set_max_captures(kMaxCaptures);
  can.set_partial_capture(true);
  can.set_partial_refund(true);
  can.set_refund_before_final_capture(multi);
  can.set_void_after_capture(multi);
  can.set_concurrent_operations(false);
  can.set_lookup_by_attempt(true);
  can.mutable_key_lifetime()->set_seconds(kKeyLifetimeSeconds);
}

/// When the last capture was; Stripe does not say so of an earlier one.
Micros Fold::capture_time() const {
  const Json& entry = child(charge_, "balance_transaction");
  if (child(entry, "created").is_number_integer()) return time(entry, "created");
  return time(charge_.is_object() ? charge_ : intent_, "created");
}

void Fold::add_authorizations() {
  const std::string latest = text(charge_, "id");
  for (const Json& charge : documents_.charges) {
    const std::string id = need_id(charge, "id");
    if (id == latest || text(charge, "status") != "failed") continue;
    check_currency(charge);
    reading_.movements.push_back({.gateway_transaction_id = id,
                                  .kind = pb::TRANSACTION_KIND_AUTHORIZATION,
                                  .status = pb::TRANSACTION_STATUS_FAILED,
                                  .amount_minor = amount(charge, "amount"),
                                  .time = time(charge, "created"),
                                  .attempt_id = {},
                                  .reason = "DECLINED"});
  }
  if (reading_.authorized_minor == 0) return;
  reading_.movements.push_back({.gateway_transaction_id = need_id(charge_, "id"),
                                .kind = pb::TRANSACTION_KIND_AUTHORIZATION,
                                .status = pb::TRANSACTION_STATUS_SUCCEEDED,
                                .amount_minor = reading_.authorized_minor,
                                .time = time(charge_, "created"),
                                .attempt_id = {},
                                .reason = {}});
}

void Fold::add_captures() {
  const std::int64_t captured = reading_.captured_minor;
  if (captured == 0) return;
  const std::string charge_id = need_id(charge_, "id");
  GatewayMovement capture{.gateway_transaction_id = {},
                          .kind = pb::TRANSACTION_KIND_CAPTURE,
                          .status = pb::TRANSACTION_STATUS_SUCCEEDED,
                          .amount_minor = captured,
                          .time = capture_time(),
                          .attempt_id = {},
                          .reason = {}};
  const std::string attempt = metadata(intent_, kAttemptKey);
  const auto own_amount = parse_integer(metadata(intent_, kAmountKey));
  const std::int64_t own = own_amount ? from_stripe(currency_, *own_amount).value_or(0) : 0;
  if (plain_id(attempt) && own > 0 && own <= captured) {
    capture.gateway_transaction_id = capture_id(charge_id, attempt);
    capture.attempt_id = attempt;
    capture.amount_minor = own;
  } else if (!reading_.capabilities.multi_capture()) {
    capture.gateway_transaction_id = capture_id(charge_id, std::to_string(captured));
  } else {
    return;
  }
  reading_.movements.push_back(std::move(capture));
}

bool Fold::stands_for_release(const Json& refund) const {
  if (released_ == 0 || !metadata(refund, kAttemptKey).empty()) return false;
  if (text(refund, "reason") == "expired_uncaptured_charge") return true;
  if (reading_.captured_minor == 0) return true;  // there is nothing else to give back
  if (amount(refund, "amount") != released_) return false;
  // With such a Refund goes an entry of the capture for all that was authorized. One for what was
  // captured says that there is none.
  const Json& entry = child(charge_, "balance_transaction");
  if (text(entry, "currency") == text(intent_, "currency") &&
      child(entry, "amount") == child(intent_, "amount_received")) {
    return false;
  }
  const Micros distance = time(refund, "created") - capture_time();
  return distance >= -kReleaseWindow && distance <= kReleaseWindow;
}

void Fold::add_refunds() {
  for (const Json& refund : documents_.refunds) {
    const std::string of = id_of(child(refund, "charge"));
    if (!of.empty() && of != text(charge_, "id")) continue;
    check_currency(refund);
    const std::string id = need_id(refund, "id");
    if (release_refund_.empty() && stands_for_release(refund)) {
      release_refund_ = id;
      continue;
    }
    GatewayMovement movement{.gateway_transaction_id = id,
                             .kind = pb::TRANSACTION_KIND_REFUND,
                             .status = pb::TRANSACTION_STATUS_SUCCEEDED,
                             .amount_minor = amount(refund, "amount"),
                             .time = time(refund, "created"),
                             .attempt_id = metadata(refund, kAttemptKey),
                             .reason = {}};
    const std::string state = need_text(refund, "status");
    if (state == "succeeded") {
      const auto sum = rules::add(reading_.refunded_minor, movement.amount_minor);
      if (!sum) throw Unusable{"AMOUNT_NOT_REPRESENTABLE"};
      reading_.refunded_minor = *sum;
    } else if (state == "pending" || state == "requires_action") {
      movement.status = pb::TRANSACTION_STATUS_PENDING;
    } else if (state == "failed" || state == "canceled") {
      movement.status = pb::TRANSACTION_STATUS_FAILED;
      movement.reason =
          state == "canceled" ? "CANCELED" : refund_failure(text(refund, "failure_reason"));
    } else {
      throw Unusable{"UNKNOWN_STATUS"};
    }
    reading_.movements.push_back(std::move(movement));
  }
}

bool expired(const Json& intent) {
  const std::string reason = text(intent, "cancellation_reason");
  return reason == "expired" || reason == "automatic";
}

void Fold::add_release() {
  const bool canceled = status_ == "canceled";
  // An intent that was canceled before anything was authorized gets a void of 0.
  if (released_ == 0 && !canceled) return;
  const bool expiry = canceled && released_ > 0 && expired(intent_);
  GatewayMovement movement{.gateway_transaction_id = void_id(need_id(intent_, "id")),
                           .kind = expiry ? pb::TRANSACTION_KIND_EXPIRY : pb::TRANSACTION_KIND_VOID,
                           .status = pb::TRANSACTION_STATUS_SUCCEEDED,
                           .amount_minor = released_,
                           .time = 0,
                           .attempt_id = {},
                           .reason = {}};
  if (!release_refund_.empty()) movement.gateway_transaction_id = release_refund_;
  movement.time = child(intent_, "canceled_at").is_number_integer() ? time(intent_, "canceled_at")
                                                                    : capture_time();
  if (!expiry) {
    movement.attempt_id = metadata(intent_, kVoidKey);
    const bool by_capture = !canceled && (!reading_.capabilities.multi_capture() ||
                                          metadata(intent_, kFinalKey) == "true");
    if (by_capture) movement.attempt_id = metadata(intent_, kAttemptKey);
  }
  reading_.movements.push_back(std::move(movement));
}

void Fold::add_disputes() {
  for (const Json& dispute : documents_.disputes) {
    if (id_of(child(dispute, "charge")) != text(charge_, "id")) continue;
    check_currency(dispute);
    const std::string id = need_id(dispute, "id");
    // An inquiry (warning_*) withdraws nothing. The entries are in the currency of the account, so
    // the amount is the dispute's.
    const Json& entries = child(dispute, "balance_transactions");
    if (!entries.is_array()) continue;
    for (const Json& entry : entries) {
      const bool withdrawn = need_integer(entry, "amount") < 0;
      reading_.movements.push_back({.gateway_transaction_id = withdrawn ? id : id + "/reversal",
                                    .kind = withdrawn ? pb::TRANSACTION_KIND_CHARGEBACK
                                                      : pb::TRANSACTION_KIND_CHARGEBACK_REVERSAL,
                                    .status = pb::TRANSACTION_STATUS_SUCCEEDED,
                                    .amount_minor = amount(dispute, "amount"),
                                    .time = time(entry, "created"),
                                    .attempt_id = {},
                                    .reason = {}});
    }
  }
}

pb::PaymentStatus Fold::status() const {
  if (status_ == "requires_payment_method" || status_ == "requires_confirmation" ||
      status_ == "requires_action") {
    return pb::PAYMENT_STATUS_OPEN;
  }
  if (status_ == "processing") return pb::PAYMENT_STATUS_PROCESSING;
  if (status_ == "requires_capture") {
    return reading_.captured_minor > 0 ? pb::PAYMENT_STATUS_PARTLY_CAPTURED
                                       : pb::PAYMENT_STATUS_AUTHORIZED;
  }
  if (status_ == "succeeded" || (status_ == "canceled" && reading_.captured_minor > 0)) {
    return reading_.captured_minor > 0 && reading_.refunded_minor >= reading_.captured_minor
               ? pb::PAYMENT_STATUS_REFUNDED
               : pb::PAYMENT_STATUS_CAPTURED;
  }
  if (status_ == "canceled") {
    return released_ > 0 && expired(intent_) ? pb::PAYMENT_STATUS_EXPIRED
                                             : pb::PAYMENT_STATUS_VOIDED;
  }
  throw Unusable{"UNKNOWN_STATUS"};
}

Reading Fold::run() {
  read_sums();
  read_capabilities();
  add_authorizations();
  add_captures();
  add_refunds();
  add_release();
  add_disputes();
  reading_.status = status();
  // Of the same second: in the order in which they were added, which is the one of a payment's
  // life.
  std::stable_sort(reading_.movements.begin(), reading_.movements.end(),
                   [](const auto& a, const auto& b) { return a.time < b.time; });
  return std::move(reading_);
}

}  // namespace

std::string capture_id(std::string_view charge_id, std::string_view which) {
  return std::string(charge_id) + "/" + std::string(which);
}

std::string refund_failure(const std::string& reason) {
  if (reason == "lost_or_stolen_card") return "CARD_LOST_OR_STOLEN";
  if (reason == "expired_or_canceled_card") return "CARD_EXPIRED_OR_CANCELED";
  if (reason == "charge_for_pending_refund_disputed") return "DISPUTED";
  if (reason == "insufficient_funds") return "GATEWAY_BALANCE_INSUFFICIENT";
  if (reason == "declined") return "DECLINED";
  if (reason == "merchant_request") return "CANCELED";
  return "REFUND_FAILED";
}

std::string void_id(std::string_view intent_id) { return std::string(intent_id) + "/void"; }

std::variant<Reading, FetchError> fold(const Documents& documents,
                                       const std::string& currency_code) {
  try {
    return Fold(documents, currency_code).run();
  } catch (const Unusable& unusable) {
    return FetchError{FetchError::Kind::kUnusable, unusable.reason, std::nullopt};
  }
}

}  // namespace orderd::payments::stripe
