#include "server/payments/stripe_errors.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <string_view>

namespace orderd::payments::stripe {
namespace {

using Json = nlohmann::json;
using Kind = CallResult::Kind;

/// The codes whose meaning a caller can use; all others get a general reason. Sorted.
struct Code {
  std::string_view code;
  Kind kind;
  std::string_view reason;
};
constexpr std::string_view kNotFound = "PAYMENT_NOT_FOUND";
constexpr std::array kCodes = {
    Code{"amount_too_large", Kind::kRefused, "AMOUNT_TOO_LARGE"},
    Code{"amount_too_small", Kind::kRefused, "AMOUNT_TOO_SMALL"},
    Code{"balance_insufficient", Kind::kRefused, "GATEWAY_BALANCE_INSUFFICIENT"},
    Code{"capture_charge_authorization_expired", Kind::kStateConflict, "AUTHORIZATION_EXPIRED"},
    Code{"capture_unauthorized_payment", Kind::kStateConflict, "NOT_AUTHORIZED"},
    Code{"card_declined", Kind::kRefused, "CARD_DECLINED"},
    Code{"charge_already_captured", Kind::kStateConflict, "ALREADY_CAPTURED"},
    Code{"charge_already_refunded", Kind::kStateConflict, "ALREADY_REFUNDED"},
    Code{"charge_disputed", Kind::kStateConflict, "DISPUTED"},
    Code{"charge_expired_for_capture", Kind::kStateConflict, "AUTHORIZATION_EXPIRED"},
    Code{"charge_not_refundable", Kind::kStateConflict, "NOT_REFUNDABLE"},
    Code{"expired_card", Kind::kRefused, "CARD_EXPIRED"},
    Code{"idempotency_key_in_use", Kind::kNotExecuted, "KEY_IN_USE"},
    Code{"insufficient_funds", Kind::kRefused, "INSUFFICIENT_FUNDS"},
    Code{"invalid_charge_amount_no_decimal_compatible", Kind::kRefused, "AMOUNT_NOT_REPRESENTABLE"},
    Code{"lock_timeout", Kind::kNotExecuted, "GATEWAY_BUSY"},
    Code{"payment_intent_action_required", Kind::kStateConflict, "UNEXPECTED_STATE"},
    Code{"payment_intent_unexpected_state", Kind::kStateConflict, "UNEXPECTED_STATE"},
    Code{"rate_limit", Kind::kNotExecuted, "RATE_LIMITED"},
    Code{"refund_disputed_payment", Kind::kStateConflict, "DISPUTED"},
    Code{"resource_missing", Kind::kRefused, kNotFound},
};
static_assert([] {
  for (std::size_t i = 1; i < kCodes.size(); ++i) {
    if (kCodes[i - 1].code >= kCodes[i].code) return false;
  }
  return true;
}());

const Code* find_code(std::string_view code) {
  const auto* it = std::lower_bound(
      kCodes.begin(), kCodes.end(), code,
      [](const Code& entry, std::string_view wanted) { return entry.code < wanted; });
  return it != kCodes.end() && it->code == code ? it : nullptr;
}

struct ErrorBody {
  std::string type;  // empty: the answer is not one of Stripe's errors
  std::string code;
};

ErrorBody read_error(const std::string& body) {
  ErrorBody result;
  const Json json = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return result;
  const auto error = json.find("error");
  if (error == json.end() || !error->is_object()) return result;
  const auto text = [&](const char* name) {
    const auto it = error->find(name);
    return it != error->end() && it->is_string() ? it->get<std::string>() : std::string();
  };
  result.type = text("type");
  result.code = text("code");
  return result;
}

CallResult from_status(const HttpAnswer& answer) {
  // Decided by the status alone, because these also come from what stands in front of Stripe.
  if (answer.status >= 500) return ended(Kind::kUnknown, "GATEWAY_ERROR");
  if (answer.status == 401) return ended(Kind::kNotExecuted, "CREDENTIALS_REFUSED");
  if (answer.status == 403) return ended(Kind::kNotExecuted, "PERMISSION_DENIED");

  const ErrorBody error = read_error(answer.body);
  const Code* known = find_code(error.code);
  // 409: another request with the key is still at work. This one was not carried out; what becomes
  // of that one the next says.
  if (answer.status == 429 || answer.status == 409) {
    if (known != nullptr && known->kind == Kind::kNotExecuted)
      return ended(known->kind, std::string(known->reason));
    return ended(Kind::kNotExecuted, answer.status == 429 ? "RATE_LIMITED" : "KEY_IN_USE");
  }
  if (answer.status < 400 || error.type.empty()) {
    return ended(Kind::kUnknown, "UNREADABLE_ANSWER");
  }
  // The key was used with other parameters: this request did nothing, but that one may have.
  if (error.type == "idempotency_error") return ended(Kind::kUnknown, "KEY_REUSED");
  if (error.type == "card_error") {
    return known != nullptr ? ended(known->kind, std::string(known->reason))
                            : ended(Kind::kRefused, "CARD_DECLINED");
  }
  if (error.type == "invalid_request_error") {
    return known != nullptr ? ended(known->kind, std::string(known->reason))
                            : ended(Kind::kRefused, "REQUEST_REFUSED");
  }
  return ended(Kind::kUnknown, "GATEWAY_ERROR");
}

}  // namespace

CallResult call_error(const std::variant<HttpAnswer, HttpFailure>& answer) {
  if (const auto* failure = std::get_if<HttpFailure>(&answer)) {
    return *failure == HttpFailure::kNotSent ? ended(Kind::kNotExecuted, "NO_CONNECTION")
                                             : ended(Kind::kUnknown, "NO_ANSWER");
  }
  const auto& http = std::get<HttpAnswer>(answer);
  CallResult result = from_status(http);
  if (result.kind == Kind::kNotExecuted) result.retry_after = http.retry_after;
  return result;
}

FetchError fetch_error(const std::variant<HttpAnswer, HttpFailure>& answer) {
  CallResult call = call_error(answer);
  FetchError result;
  result.reason = std::move(call.reason);
  result.retry_after = call.retry_after;
  if (call.kind == Kind::kRefused) {
    result.kind =
        result.reason == kNotFound ? FetchError::Kind::kNotFound : FetchError::Kind::kUnusable;
  }
  return result;
}

}  // namespace orderd::payments::stripe
