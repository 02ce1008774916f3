#include "server/payments/stripe.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "server/payments/stripe_amounts.h"
#include "server/payments/stripe_errors.h"
#include "server/payments/stripe_json.h"
#include "server/payments/stripe_reading.h"
#include "storage/uuid.h"

namespace orderd::payments {
namespace {

using Json = nlohmann::json;
using Kind = CallResult::Kind;

constexpr char kVersion[] = "2025-03-31.basil";
constexpr char kPageSize[] = "100";
constexpr int kMaxPages = 100;
constexpr std::int64_t kMicrosPerSecond = 1'000'000;

std::string checked_base_url(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  const bool local = [&] {
    for (const std::string host : {"http://127.0.0.1", "http://[::1]", "http://localhost"}) {
      if (url.starts_with(host) && (url.size() == host.size() || url[host.size()] == ':')) {
        return url.find('@') == std::string::npos;
      }
    }
    return false;
  }();
  if (!local && !url.starts_with("https://")) {
    throw std::invalid_argument("the base URL of a Stripe account must be https");
  }
  return url;
}

/// Whether it is the id of a PaymentIntent, and so can be a part of a path as it is. A client
/// secret, which begins like one, is none: it must not get into a log.
bool is_intent_id(const std::string& id) {
  return id.starts_with("pi_") && stripe::plain_id(id) &&
         id.find_first_of("_-", 3) == std::string::npos;
}

std::string encoded(const std::vector<std::pair<std::string, std::string>>& parameters) {
  std::string out;
  for (const auto& [name, value] : parameters) {
    if (!out.empty()) out += '&';
    out += percent_encode(name) + '=' + percent_encode(value);
  }
  return out;
}

std::string metadata(const char* key) { return std::string("metadata[") + key + "]"; }

bool succeeded(const std::variant<HttpAnswer, HttpFailure>& answer) {
  const auto* http = std::get_if<HttpAnswer>(&answer);
  return http != nullptr && http->status >= 200 && http->status < 300;
}

Json parsed(const std::variant<HttpAnswer, HttpFailure>& answer) {
  return Json::parse(std::get<HttpAnswer>(answer).body, nullptr, /*allow_exceptions=*/false);
}

/// Of a movement that Stripe has an id for.
CallResult moved(Kind kind, std::string id, std::optional<Micros> time) {
  CallResult result;
  result.kind = kind;
  result.gateway_transaction_id = std::move(id);
  result.time = time;
  return result;
}

/// What was carried out, but with an answer that does not say what.
CallResult unreadable() { return ended(Kind::kUnknown, "UNREADABLE_ANSWER"); }

std::optional<Micros> seconds(const Json& object, const char* name) {
  if (!stripe::child(object, name).is_number_integer()) return std::nullopt;
  const std::int64_t value = stripe::need_integer(object, name);
  if (value < 0 || value > INT64_MAX / kMicrosPerSecond) return std::nullopt;
  return value * kMicrosPerSecond;
}

/// Only words of ours and the payment's reference get into the log.
CallResult logged(const char* operation, const PaymentRef& payment, CallResult outcome) {
  if (outcome.kind != Kind::kSucceeded && outcome.kind != Kind::kPending) {
    spdlog::warn("stripe: {} of {} ended with {}", operation, payment.gateway_reference,
                 outcome.reason);
  }
  return outcome;
}

}  // namespace

Stripe::Stripe(ApiKey key, Options options)
    : key_(std::move(key)),
      options_{checked_base_url(std::move(options.base_url)), std::move(options.ca_file)},
      http_({.ca_file = options_.ca_file}) {}

Stripe::Answer Stripe::send(HttpRequest request) {
  const auto key = key_.get();
  if (!key) return HttpAnswer{401, {}, std::nullopt};
  request.headers.push_back("Authorization: Bearer " + *key);
  request.headers.push_back(std::string("Stripe-Version: ") + kVersion);
  return http_.send(request);
}

Stripe::Answer Stripe::get(const std::string& path, const Parameters& query, Deadline deadline) {
  HttpRequest request;
  request.url = options_.base_url + path + "?" + encoded(query);
  request.deadline = deadline;
  return send(std::move(request));
}

Stripe::Answer Stripe::post(const std::string& path, const Parameters& form,
                            const std::string& idempotency_key, Deadline deadline) {
  HttpRequest request;
  request.method = HttpRequest::Method::kPost;
  request.url = options_.base_url + path;
  request.headers = {"Content-Type: application/x-www-form-urlencoded",
                     "Idempotency-Key: " + idempotency_key};
  request.body = encoded(form);
  request.deadline = deadline;
  return send(std::move(request));
}

std::variant<Json, FetchError> Stripe::get_object(const std::string& path, const Parameters& query,
                                                  Deadline deadline) {
  const Answer answer = get(path, query, deadline);
  if (!succeeded(answer)) return stripe::fetch_error(answer);
  Json object = parsed(answer);
  if (!object.is_object()) {
    return FetchError{FetchError::Kind::kUnavailable, "UNREADABLE_ANSWER", std::nullopt};
  }
  return object;
}

std::variant<std::vector<Json>, FetchError> Stripe::get_list(const std::string& path,
                                                             const std::string& intent_id,
                                                             Deadline deadline) {
  const FetchError unusable{FetchError::Kind::kUnusable, "UNREADABLE_ANSWER", std::nullopt};
  std::vector<Json> all;
  Parameters query = {{"payment_intent", intent_id}, {"limit", kPageSize}};
  for (int page = 0; page < kMaxPages; ++page) {
    auto answer = get_object(path, query, deadline);
    if (const auto* error = std::get_if<FetchError>(&answer)) return *error;
    Json& list = std::get<Json>(answer);
    const auto data = list.find("data");
    const auto more = list.find("has_more");
    if (data == list.end() || !data->is_array() || more == list.end() || !more->is_boolean()) {
      return unusable;
    }
    for (Json& object : *data) all.push_back(std::move(object));
    if (!more->get<bool>()) return all;
    const std::string last = data->empty() ? std::string() : stripe::text(all.back(), "id");
    if (last.empty()) return unusable;
    query.resize(2);
    query.emplace_back("starting_after", last);
  }
  return unusable;
}

std::variant<Reading, FetchError> Stripe::fetch(const PaymentRef& payment, Deadline deadline) {
  const std::string& id = payment.gateway_reference;
  const auto failed = [&](const FetchError& error) {
    spdlog::warn("stripe: reading {} ended with {}", id, error.reason);
    return error;
  };
  if (!is_intent_id(id)) return FetchError{FetchError::Kind::kNotFound, "PAYMENT_NOT_FOUND", {}};

  stripe::Documents documents;
  const auto read_list = [&](const char* path, std::vector<Json>& into) {
    auto list = get_list(path, id, deadline);
    if (auto* found = std::get_if<std::vector<Json>>(&list)) into = std::move(*found);
    return std::get_if<FetchError>(&list) != nullptr
               ? std::optional<FetchError>(std::get<FetchError>(list))
               : std::nullopt;
  };
  if (const auto error = read_list("/v1/charges", documents.charges)) return failed(*error);
  const bool disputed = std::any_of(
      documents.charges.begin(), documents.charges.end(),
      [](const Json& charge) { return stripe::child(charge, "disputed") == Json(true); });
  if (disputed) {
    if (const auto error = read_list("/v1/disputes", documents.disputes)) return failed(*error);
  }
  if (const auto error = read_list("/v1/refunds", documents.refunds)) return failed(*error);
  auto intent = get_object("/v1/payment_intents/" + id,
                           {{"expand[]", "latest_charge.balance_transaction"}}, deadline);
  if (const auto* error = std::get_if<FetchError>(&intent)) return failed(*error);
  documents.intent = std::move(std::get<Json>(intent));

  auto reading = stripe::fold(documents, payment.currency_code);
  if (const auto* error = std::get_if<FetchError>(&reading)) return failed(*error);
  return reading;
}

CallResult Stripe::capture(const PaymentRef& payment, const Attempt& attempt, Deadline deadline) {
  const std::string& id = payment.gateway_reference;
  if (!is_intent_id(id)) return refused("PAYMENT_NOT_FOUND");
  const auto amount = stripe::to_stripe(payment.currency_code, attempt.amount_minor);
  if (!amount) return refused("AMOUNT_NOT_REPRESENTABLE");

  Parameters form = {{"amount_to_capture", std::to_string(*amount)},
                     {metadata(stripe::kAttemptKey), attempt.attempt_id},
                     {metadata(stripe::kAmountKey), std::to_string(*amount)}};
  if (attempt.final_capture) form.emplace_back(metadata(stripe::kFinalKey), "true");
  // Stripe's default is true. The parameter is refused where multicapture is not available.
  if (attempt.multi_capture) {
    form.emplace_back("final_capture", attempt.final_capture ? "true" : "false");
  }
  form.emplace_back("expand[]", "latest_charge.balance_transaction");
  const Answer answer =
      post("/v1/payment_intents/" + id + "/capture", form, attempt.idempotency_key, deadline);
  if (!succeeded(answer)) return logged("capture", payment, stripe::call_error(answer));
  const Json intent = parsed(answer);
  try {
    const auto received =
        stripe::from_stripe(payment.currency_code, stripe::need_integer(intent, "amount_received"));
    const Json& charge = stripe::child(intent, "latest_charge");
    const std::string charge_id = stripe::id_of(charge);
    if (!received || *received < attempt.amount_minor || !stripe::plain_id(charge_id)) {
      return logged("capture", payment, unreadable());
    }
    return moved(Kind::kSucceeded, stripe::capture_id(charge_id, attempt.attempt_id),
                 seconds(stripe::child(charge, "balance_transaction"), "created"));
  } catch (const stripe::Unusable&) {
    return logged("capture", payment, unreadable());
  }
}

CallResult Stripe::void_remainder(const PaymentRef& payment, const Attempt& attempt,
                                  Deadline deadline) {
  const std::string& id = payment.gateway_reference;
  if (!is_intent_id(id)) return refused("PAYMENT_NOT_FOUND");
  const std::string path = "/v1/payment_intents/" + id;
  // A cancellation takes no metadata, so the attempt's id is written down first. Whatever goes
  // wrong with that, nothing was released. It has a new key each time: to write it again is
  // harmless, and a 5xx would be repeated for its key.
  const Answer tag = post(path, {{metadata(stripe::kVoidKey), attempt.attempt_id}},
                          Uuid::generate().to_string(), deadline);
  CallResult untagged = succeeded(tag) ? unreadable() : stripe::call_error(tag);
  if (untagged.kind == Kind::kUnknown) untagged.kind = Kind::kNotExecuted;
  if (!succeeded(tag)) return logged("void", payment, std::move(untagged));
  bool captured = false;
  try {
    captured = stripe::need_integer(parsed(tag), "amount_received") > 0;
  } catch (const stripe::Unusable&) {
    return logged("void", payment, std::move(untagged));
  }
  // What is captured in part can't be canceled: a last capture of nothing releases the rest
  // (https://docs.stripe.com/payments/multicapture).
  const Answer answer =
      captured ? post(path + "/capture", {{"amount_to_capture", "0"}, {"final_capture", "true"}},
                      attempt.idempotency_key + "-release", deadline)
               : post(path + "/cancel", {}, attempt.idempotency_key, deadline);
  if (!succeeded(answer)) return logged("void", payment, stripe::call_error(answer));
  const Json intent = parsed(answer);
  if (stripe::text(intent, "status") != (captured ? "succeeded" : "canceled")) {
    return logged("void", payment, unreadable());
  }
  return moved(Kind::kSucceeded, stripe::void_id(id), seconds(intent, "canceled_at"));
}

CallResult Stripe::refund(const PaymentRef& payment, const Attempt& attempt, Deadline deadline) {
  const std::string& id = payment.gateway_reference;
  if (!is_intent_id(id)) return refused("PAYMENT_NOT_FOUND");
  const auto amount = stripe::to_stripe(payment.currency_code, attempt.amount_minor);
  if (!amount) return refused("AMOUNT_NOT_REPRESENTABLE");

  const Answer answer = post("/v1/refunds",
                             {{"payment_intent", id},
                              {"amount", std::to_string(*amount)},
                              {metadata(stripe::kAttemptKey), attempt.attempt_id}},
                             attempt.idempotency_key, deadline);
  if (!succeeded(answer)) return logged("refund", payment, stripe::call_error(answer));
  const Json refund = parsed(answer);
  const std::string refund_id = stripe::text(refund, "id");
  const std::string status = stripe::text(refund, "status");
  const auto time = refund.is_object() ? seconds(refund, "created") : std::nullopt;
  if (!stripe::plain_id(refund_id)) return logged("refund", payment, unreadable());
  if (status == "succeeded") return moved(Kind::kSucceeded, refund_id, time);
  if (status == "pending" || status == "requires_action") {
    return moved(Kind::kPending, refund_id, std::nullopt);
  }
  if (status == "failed" || status == "canceled") {
    CallResult failed = refused(
        status == "canceled" ? "CANCELED"
                             : stripe::refund_failure(stripe::text(refund, "failure_reason")));
    failed.gateway_transaction_id = refund_id;
    return logged("refund", payment, std::move(failed));
  }
  return logged("refund", payment, unreadable());
}

Representable Stripe::representable(const pb::Money& amount) const {
  return stripe::to_stripe(amount.currency_code(), amount.amount_minor()) ? Representable::kYes
                                                                          : Representable::kNo;
}

}  // namespace orderd::payments
