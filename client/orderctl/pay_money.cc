#include "client/orderctl/pay_money.h"

#include <fmt/core.h>

#include <cstdint>

#include "absl/strings/numbers.h"
#include "client/orderctl/amounts.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/payment_choice.h"
#include "client/orderctl/print_payments.h"
#include "client/request_id.h"

namespace orderd::cli {
namespace {

/// The words for one kind of command.
struct Words {
  pb::ActionKind action;
  const char* noun;
  const char* done;
  /// The metadata of a refusal that says how much would be possible.
  const char* most;
};
constexpr Words kCapture = {pb::ACTION_KIND_CAPTURE, "capture", "captured", "max_capturable_minor"};
constexpr Words kRefund = {pb::ACTION_KIND_REFUND, "refund", "refunded", "max_refundable_minor"};
constexpr Words kVoid = {pb::ACTION_KIND_VOID, "void", "voided", "max_capturable_minor"};

/// An error after which the server may have stored the attempt.
bool leaves_open(const absl::Status& status) {
  if (client::details(status).reason == "GATEWAY_UNAVAILABLE") return false;
  switch (status.code()) {
    case absl::StatusCode::kUnavailable:
    case absl::StatusCode::kDeadlineExceeded:
    case absl::StatusCode::kCancelled:
    case absl::StatusCode::kResourceExhausted:
    case absl::StatusCode::kUnknown:
    case absl::StatusCode::kInternal:
      return true;
    default:
      return false;
  }
}

int fail_money(const absl::Status& status, const Words& words, const pb::Order& order,
               const std::string& payment_id, const std::string& request_id) {
  const int code = fail(status);
  const auto metadata = client::details(status).metadata;
  const auto amount = [&](const char* key) {
    const auto found = metadata.find(key);
    pb::Money money;
    std::int64_t minor = 0;
    if (found == metadata.end() || !absl::SimpleAtoi(found->second, &minor)) return std::string();
    money.set_currency_code(order.currency_code());
    money.set_amount_minor(minor);
    return format_money(money);
  };
  if (const auto most = amount(words.most); !most.empty()) {
    fmt::print(stderr, "hint: {} can be {} at most\n", most, words.done);
  }
  if (const auto released = amount("released_minor"); !released.empty()) {
    fmt::print(stderr, "hint: --final captures it and releases the rest, {}\n", released);
  }
  if (leaves_open(status)) {
    fmt::print(stderr,
               "hint: the server may have begun it. The same command with\n"
               "  --payment {} --request-id {}\n"
               "  completes it or says how it ended, and never moves the money twice\n",
               printable(payment_id), printable(request_id));
  }
  return code;
}

void print_payment_after(const pb::Payment& payment) {
  fmt::print("payment {}: {}", printable(payment.payment_id()),
             payment_status_text(payment.status()));
  const auto part = [](const char* name, bool has, const pb::Money& money) {
    if (has) fmt::print(", {} {}", name, format_money(money));
  };
  part("captured", payment.has_captured(), payment.captured());
  part("refunded", payment.has_refunded(), payment.refunded());
  part("capturable", payment.has_capturable(), payment.capturable());
  part("refundable", payment.has_refundable(), payment.refundable());
  fmt::print("\n");
}

/// Says how the attempt stands; returns the exit code.
template <class Response>
int report(const Session& session, const MoneyFlags& flags, const Words& words,
           const std::string& request_id, const Response& response) {
  const pb::PaymentTransaction& transaction = response.transaction();
  const auto status = transaction.status();
  const int code = flags.dry_run || status == pb::TRANSACTION_STATUS_SUCCEEDED ? kOk
                   : status == pb::TRANSACTION_STATUS_FAILED                   ? kRefused
                                                                               : kUnsettled;
  if (session.json) {
    print_json(response);
    return code;
  }
  const std::string amount = format_money(transaction.amount());
  const std::string of = printable(payment_name(response.order(), transaction.payment_id()));
  const std::string id = printable(transaction.transaction_id());
  const std::string order = printable(flags.order);
  if (flags.dry_run) {
    fmt::print("would {} {} of {}{}\n", words.noun, amount, of,
               transaction.final_capture() ? ", and release the rest" : "");
    return code;
  }
  const char* before = response.replayed() ? "done before: " : "";
  const std::string what = fmt::format("the {} of {} of {}", words.noun, amount, of);
  if (status == pb::TRANSACTION_STATUS_SUCCEEDED) {
    fmt::print("{}{} {} of {} (transaction {})\n", before, words.done, amount, of, id);
    const pb::Payment* payment = find_payment(response.order(), transaction.payment_id());
    if (payment != nullptr) print_payment_after(*payment);
  } else if (status == pb::TRANSACTION_STATUS_FAILED) {
    fmt::print(stderr, "{}error: {} failed (transaction {}); no money moved\n", before, what, id);
    if (!transaction.reason().empty()) {
      fmt::print(stderr, "  reason: {}\n", printable(transaction.reason()));
    }
    fmt::print(stderr, "hint: this attempt is over; the command again is another one\n");
  } else if (status == pb::TRANSACTION_STATUS_PENDING && transaction.reason() == "MANUAL") {
    fmt::print("{}pending: {} has to be made by hand (transaction {})\n", before, what, id);
    fmt::print(stderr,
               "hint: when it has been made:\n"
               "  orderctl pay resolve {} {} succeeded --reason TEXT\n",
               order, id);
  } else if (status == pb::TRANSACTION_STATUS_PENDING) {
    fmt::print("{}pending: the gateway has accepted {}, but it is not final (transaction {})\n",
               before, what, id);
    fmt::print(stderr,
               "hint: the server goes on to find out; `orderctl pay show {}` shows how it ends\n",
               order);
  } else {
    fmt::print(
        "{}unknown: {} is under way, without an answer of the gateway so far"
        " (transaction {})\n",
        before, what, id);
    fmt::print(stderr,
               "hint: the server goes on to find out; `orderctl pay show {}` shows how it ends. Do "
               "not\n"
               "  repeat the command as it is, which would be another {}; with\n"
               "  --payment {} --request-id {} it says how this one stands\n",
               order, words.noun, printable(transaction.payment_id()), printable(request_id));
  }
  return code;
}

/// Sends the command, which `complete(request, order)` makes whole.
template <class Request, class Response, class Complete>
int move_money(Session& session, const MoneyFlags& flags, const Words& words,
               absl::StatusOr<Response> (client::Client::*call)(Request) const,
               const Complete& complete) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  const auto order = full_order(session.client, *id);
  if (!order.ok()) return fail(order.status());
  // Which payment is left may be another one when the command is repeated.
  if (!session.request_id.empty() && flags.payment.empty() && order->payments_size() > 1) {
    return fail(absl::InvalidArgumentError(
        "--request-id needs --payment, because the order has several payments"));
  }
  const auto payment_id = choose_payment(*order, words.action, flags.payment);
  if (!payment_id.ok()) return fail(payment_id.status());

  Request request;
  request.set_request_id(session.request_id.empty() ? client::new_request_id()
                                                    : session.request_id);
  request.set_order_id(*id);
  request.set_payment_id(*payment_id);
  request.set_etag(flags.etag);
  request.set_reason(flags.reason);
  request.set_validate_only(flags.dry_run);
  complete(request, *order);
  const auto response = (session.client.*call)(request);
  if (!response.ok()) {
    return fail_money(response.status(), words, *order, *payment_id, request.request_id());
  }
  return report(session, flags, words, request.request_id(), *response);
}

template <class Request>
void set_amount(const MoneyFlags& flags, const pb::Order& order, Request& request) {
  if (flags.amount.empty()) return;
  if (order.currency_code().empty()) {
    throw LocalError("the order has no currency, so there is nothing to be paid in it");
  }
  *request.mutable_amount() = parse_amount(flags.amount, order.currency_code(), "AMOUNT");
}

}  // namespace

int capture_money(Session& session, const MoneyFlags& flags) {
  return move_money(session, flags, kCapture, &client::Client::capture_payment,
                    [&](pb::CapturePaymentRequest& request, const pb::Order& order) {
                      set_amount(flags, order, request);
                      request.set_final_capture(flags.final_capture);
                    });
}

int refund_money(Session& session, const MoneyFlags& flags) {
  return move_money(session, flags, kRefund, &client::Client::refund_payment,
                    [&](pb::RefundPaymentRequest& request, const pb::Order& order) {
                      set_amount(flags, order, request);
                      request.set_confirm_external(flags.confirm);
                    });
}

int void_money(Session& session, const MoneyFlags& flags) {
  return move_money(session, flags, kVoid, &client::Client::void_payment,
                    [](pb::VoidPaymentRequest&, const pb::Order&) {});
}

}  // namespace orderd::cli
