#include "server/rpc/sandbox_service.h"

#include <google/protobuf/util/time_util.h>

#include <algorithm>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/post.hpp>

#include "server/orders/fields.h"
#include "server/orders/text.h"
#include "server/rpc/paging.h"

namespace orderd::rpc {
namespace {

using google::protobuf::util::TimeUtil;
using payments::CallResult;
using payments::MoneyOperation;
using payments::Sandbox;
using payments::SandboxLedger;
using Event = sandbox_pb::PaymentEvent;

constexpr std::chrono::seconds kLedgerRetry{1};

Sandbox::Operation operation(sandbox_pb::Operation from) {
  switch (from) {
    case sandbox_pb::OPERATION_CAPTURE:
      return Sandbox::Operation::kCapture;
    case sandbox_pb::OPERATION_VOID:
      return Sandbox::Operation::kVoid;
    case sandbox_pb::OPERATION_REFUND:
      return Sandbox::Operation::kRefund;
    default:
      return Sandbox::Operation::kFetch;
  }
}

/// The kinds of faults have the same order on both sides.
constexpr int kFirstFault = sandbox_pb::FAULT_KIND_REFUSE;
static_assert(static_cast<int>(Sandbox::Fault::Kind::kRefuse) + kFirstFault ==
              sandbox_pb::FAULT_KIND_REFUSE);
static_assert(static_cast<int>(Sandbox::Fault::Kind::kPendingRefund) + kFirstFault ==
              sandbox_pb::FAULT_KIND_PENDING_REFUND);

Sandbox::Fault fault(const sandbox_pb::Fault& from) {
  Sandbox::Fault to;
  to.kind = static_cast<Sandbox::Fault::Kind>(from.kind() - kFirstFault);
  to.reason = from.reason();
  if (from.has_delay()) {
    to.delay = std::chrono::microseconds(TimeUtil::DurationToMicroseconds(from.delay()));
  }
  to.times = from.times() == 0 ? std::nullopt : std::optional<int>(from.times());
  return to;
}

void write(const Sandbox::Fault& from, sandbox_pb::Operation operation, sandbox_pb::Fault& to) {
  to.set_operation(operation);
  to.set_kind(static_cast<sandbox_pb::FaultKind>(static_cast<int>(from.kind) + kFirstFault));
  to.set_reason(from.reason);
  if (from.delay) *to.mutable_delay() = TimeUtil::MicrosecondsToDuration(from.delay->count());
  to.set_times(from.times.value_or(0));
}

sandbox_pb::AnswerKind answer_kind(CallResult::Kind kind) {
  switch (kind) {
    case CallResult::Kind::kSucceeded:
      return sandbox_pb::ANSWER_KIND_SUCCEEDED;
    case CallResult::Kind::kPending:
      return sandbox_pb::ANSWER_KIND_PENDING;
    case CallResult::Kind::kRefused:
      return sandbox_pb::ANSWER_KIND_REFUSED;
    case CallResult::Kind::kStateConflict:
      return sandbox_pb::ANSWER_KIND_STATE_CONFLICT;
    default:
      return sandbox_pb::ANSWER_KIND_SERVER_ERROR;
  }
}

/// False: there is no such payment.
bool write(SandboxLedger& ledger, const std::string& reference, sandbox_pb::LedgerPayment& to) {
  const auto from = ledger.read(reference);
  if (!from) return false;
  to.set_gateway_reference(from->reference);
  to.set_currency_code(from->currency_code);
  to.set_due_minor(from->due_minor);
  to.set_status(from->status());
  to.set_authorized_minor(from->authorized());
  to.set_captured_minor(from->captured());
  to.set_refunded_minor(from->refunded());
  to.set_voided_minor(from->voided());
  if (from->expire_time) *to.mutable_expire_time() = rules::to_timestamp(*from->expire_time);
  *to.mutable_capabilities() = from->capabilities;
  for (const auto& movement : from->movements) {
    auto& line = *to.add_movements();
    line.set_gateway_transaction_id(movement.gateway_transaction_id);
    line.set_kind(movement.kind);
    line.set_status(movement.status);
    line.set_amount_minor(movement.amount_minor);
    *line.mutable_time() = rules::to_timestamp(movement.time);
    line.set_attempt_id(movement.attempt_id);
    line.set_idempotency_key(movement.idempotency_key);
    line.set_reason(movement.reason);
  }
  for (const auto& recorded : ledger.answers(reference)) {
    auto& answer = *to.add_answers();
    answer.set_idempotency_key(recorded.idempotency_key);
    answer.set_kind(answer_kind(recorded.answer.kind));
    answer.set_gateway_transaction_id(recorded.answer.gateway_transaction_id);
    answer.set_reason(recorded.answer.reason);
  }
  return true;
}

/// A response that is about one payment.
template <class Response>
absl::Status answer_payment(SandboxLedger& ledger, const std::string& reference,
                            Response& response) {
  return write(ledger, reference, *response.mutable_payment())
             ? absl::OkStatus()
             : errors::sandbox_payment_not_found(reference);
}

CallResult simulate(SandboxLedger& ledger, const std::string& reference, const Event& event) {
  switch (event.event_case()) {
    case Event::kStartProcessing:
      return ledger.start_processing(reference);
    case Event::kPay:
      return ledger.pay(reference);
    case Event::kExpire:
      return ledger.expire(reference);
    case Event::kCapture:
      return ledger.move_from_dashboard(reference, MoneyOperation::kCapture,
                                        event.capture().amount_minor(),
                                        event.capture().final_capture());
    case Event::kRefund:
      return ledger.move_from_dashboard(reference, MoneyOperation::kRefund,
                                        event.refund().amount_minor());
    case Event::kVoidRemainder:
      return ledger.move_from_dashboard(reference, MoneyOperation::kVoid, 0);
    case Event::kChargeBack:
      return ledger.charge_back(reference, event.charge_back().amount_minor());
    case Event::kReverseChargeback:
      return ledger.reverse_chargeback(reference, event.reverse_chargeback().amount_minor());
    case Event::kSettleRefund:
      return ledger.settle_refund(event.settle_refund().gateway_transaction_id(),
                                  event.settle_refund().fail_reason());
    case Event::EVENT_NOT_SET:
      break;
  }
  return {};
}

/// Whether the refund that the event ends, if it ends one, is one of the payment's.
bool names_own_refund(const payments::LedgerPayment& payment, const Event& event) {
  if (event.event_case() != Event::kSettleRefund) return true;
  return std::any_of(payment.movements.begin(), payment.movements.end(), [&](const auto& movement) {
    return movement.gateway_transaction_id == event.settle_refund().gateway_transaction_id();
  });
}

}  // namespace

bool SandboxService::wanted(const payments::Accounts& accounts) {
  const auto names = accounts.names();
  return std::any_of(names.begin(), names.end(), [&](const std::string& name) {
    return dynamic_cast<const Sandbox*>(accounts.find(name)) != nullptr;
  });
}

template <class Call, class Body>
void SandboxService::with_sandbox(Call* call, Body body) {
  const std::string& account = call->request().gateway_account();
  payments::Gateway* const gateway = accounts_.find(account);
  if (gateway == nullptr) return call->finish(errors::gateway_account_not_found(account));
  auto* const sandbox = dynamic_cast<Sandbox*>(gateway);
  if (sandbox == nullptr) return call->finish(errors::not_a_sandbox(account));
  boost::asio::post(ledger_thread_, [call, sandbox, body = std::move(body)] {
    call->answer([&](auto& response) -> absl::Status {
      try {
        return body(*sandbox, response);
      } catch (const payments::LedgerError&) {
        return errors::gateway_unavailable(call->request().gateway_account(), kLedgerRetry);
      }
    });
  });
}

grpc::ServerUnaryReactor* SandboxService::Authorize(Context* context, const Bytes* in, Bytes* out) {
  using Response = sandbox_pb::AuthorizeResponse;
  return run<sandbox_pb::AuthorizeRequest, Response>(
      guard_, {"Authorize", Kind::kMutation}, context, in, out, [this](auto* call) {
        with_sandbox(call, [&request = call->request()](Sandbox& sandbox, Response& response) {
          SandboxLedger::NewPayment payment;
          payment.reference = std::string(rules::trimmed(request.gateway_reference()));
          payment.currency_code = request.amount().currency_code();
          payment.amount_minor = request.amount().amount_minor();
          if (request.has_expire_time()) {
            payment.expire_time = rules::to_micros(request.expire_time());
          }
          if (request.has_capabilities()) payment.capabilities = request.capabilities();
          SandboxLedger& ledger = sandbox.ledger();
          const auto reference = request.open() ? ledger.open(payment) : ledger.authorize(payment);
          return reference ? answer_payment(ledger, *reference, response)
                           : errors::sandbox_reference_in_use(payment.reference);
        });
      });
}

grpc::ServerUnaryReactor* SandboxService::SimulateEvent(Context* context, const Bytes* in,
                                                        Bytes* out) {
  using Response = sandbox_pb::SimulateEventResponse;
  return run<sandbox_pb::SimulateEventRequest, Response>(
      guard_, {"SimulateEvent", Kind::kMutation}, context, in, out, [this](auto* call) {
        with_sandbox(call, [&request = call->request()](Sandbox& sandbox, Response& response) {
          const std::string& reference = request.gateway_reference();
          const auto payment = sandbox.ledger().read(reference);
          if (!payment) return errors::sandbox_payment_not_found(reference);
          if (!names_own_refund(*payment, request.event())) {
            return errors::sandbox_refused(reference, "TRANSACTION_NOT_FOUND");
          }
          const CallResult result = simulate(sandbox.ledger(), reference, request.event());
          if (result.kind != CallResult::Kind::kSucceeded &&
              result.kind != CallResult::Kind::kPending) {
            return errors::sandbox_refused(reference, result.reason);
          }
          response.set_gateway_transaction_id(result.gateway_transaction_id);
          return answer_payment(sandbox.ledger(), reference, response);
        });
      });
}

grpc::ServerUnaryReactor* SandboxService::SetCapabilities(Context* context, const Bytes* in,
                                                          Bytes* out) {
  using Response = sandbox_pb::SetCapabilitiesResponse;
  return run<sandbox_pb::SetCapabilitiesRequest, Response>(
      guard_, {"SetCapabilities", Kind::kMutation}, context, in, out, [this](auto* call) {
        with_sandbox(call, [&request = call->request()](Sandbox& sandbox, Response& response) {
          sandbox.ledger().set_capabilities(request.gateway_reference(), request.capabilities());
          return answer_payment(sandbox.ledger(), request.gateway_reference(), response);
        });
      });
}

grpc::ServerUnaryReactor* SandboxService::AddFault(Context* context, const Bytes* in, Bytes* out) {
  using Response = sandbox_pb::AddFaultResponse;
  return run<sandbox_pb::AddFaultRequest, Response>(
      guard_, {"AddFault", Kind::kMutation}, context, in, out, [this](auto* call) {
        with_sandbox(call, [&request = call->request()](Sandbox& sandbox, Response& response) {
          const auto of = operation(request.fault().operation());
          sandbox.add_fault(of, fault(request.fault()));
          for (const auto& in_force : sandbox.faults(of)) {
            write(in_force, request.fault().operation(), *response.add_faults());
          }
          return absl::OkStatus();
        });
      });
}

grpc::ServerUnaryReactor* SandboxService::ClearFaults(Context* context, const Bytes* in,
                                                      Bytes* out) {
  using Response = sandbox_pb::ClearFaultsResponse;
  return run<sandbox_pb::ClearFaultsRequest, Response>(
      guard_, {"ClearFaults", Kind::kMutation}, context, in, out, [this](auto* call) {
        with_sandbox(call, [&request = call->request()](Sandbox& sandbox, Response&) {
          if (request.operation() == sandbox_pb::OPERATION_UNSPECIFIED) {
            sandbox.clear_faults();
          } else {
            sandbox.clear_faults(operation(request.operation()));
          }
          return absl::OkStatus();
        });
      });
}

grpc::ServerUnaryReactor* SandboxService::GetLedgerPayment(Context* context, const Bytes* in,
                                                           Bytes* out) {
  using Response = sandbox_pb::GetLedgerPaymentResponse;
  return run<sandbox_pb::GetLedgerPaymentRequest, Response>(
      guard_, {"GetLedgerPayment", Kind::kRead}, context, in, out, [this](auto* call) {
        with_sandbox(call, [&request = call->request()](Sandbox& sandbox, Response& response) {
          return answer_payment(sandbox.ledger(), request.gateway_reference(), response);
        });
      });
}

grpc::ServerUnaryReactor* SandboxService::ListLedgerPayments(Context* context, const Bytes* in,
                                                             Bytes* out) {
  using Response = sandbox_pb::ListLedgerPaymentsResponse;
  return run<sandbox_pb::ListLedgerPaymentsRequest, Response>(
      guard_, {"ListLedgerPayments", Kind::kRead}, context, in, out, [this](auto* call) {
        const auto& request = call->request();
        sandbox_pb::ListLedgerPaymentsRequest scoped;
        scoped.set_gateway_account(request.gateway_account());
        std::string scope = page_scope("ListLedgerPayments", scoped);
        std::string after;
        if (!request.page_token().empty()) {
          const auto token = tokens_.open(request.page_token(), scope);
          if (!token) return call->finish(errors::page_token_invalid());
          after = token->id();
        }
        with_sandbox(call, [this, &request, after, scope](Sandbox& sandbox, Response& response) {
          const std::vector<std::string> all = sandbox.ledger().references();
          auto next = std::upper_bound(all.begin(), all.end(), after);
          std::size_t bytes = 0;
          for (int left = page_size(request.page_size()); left > 0 && bytes < kPageBytes; --left) {
            if (next == all.end()) return absl::OkStatus();
            auto& payment = *response.add_payments();
            write(sandbox.ledger(), *next++, payment);
            bytes += payment.ByteSizeLong();
          }
          if (next != all.end()) {
            response.set_next_page_token(tokens_.seal(
                make_token(scope, 0, response.payments().rbegin()->gateway_reference())));
          }
          return absl::OkStatus();
        });
      });
}

}  // namespace orderd::rpc
