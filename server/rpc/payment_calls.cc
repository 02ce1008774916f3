#include <string>
#include <utility>

#include "server/rpc/mutation.h"
#include "server/rpc/order_service.h"

// The calls that change payments.

namespace orderd::rpc {
namespace {

using engine::Command;
using rules::Target;

template <class Request>
using AttemptRule = rules::Result (*)(const Request&, const rules::AttemptContext&, const Target&,
                                      const rules::Context&);

/// Runs a call that moves money: `rule` writes the attempt. The command keeps a copy of the
/// request: the caller may be answered while the processor is still at work.
template <class Request, class Response>
void attempt(UnaryCall<Request, Response>* call, Backend& backend, AttemptRule<Request> rule) {
  const Request& request = call->request();
  Command command = command_for(*call);
  command.keep_request = true;
  command.rule = [request, rule, lease = backend.processor.lease(),
                  &gateways = backend.processor.accounts()](const Target& target,
                                                            const rules::Context& context) {
    // A new id with every run, of which one at most is committed: so it sorts behind what a first
    // sync has booked. The first of its family: so what is derived from it sorts behind it.
    const Uuid id = Uuid::generate().derived(0);
    return rule(request, {id, request.request_id(), lease, &gateways}, target, context);
  };
  command.done = answer_to(call, backend);
  call->make_room();
  backend.processor.attempt(std::move(command), request.payment_id(), call->deadline());
}

}  // namespace

grpc::ServerUnaryReactor* OrderService::AddPayment(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::AddPaymentRequest, pb::AddPaymentResponse>(
      guard_, {"AddPayment", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        command.keep_request = true;
        command.claims = rules::payment_claims(call->request().payment());
        command.rule = [&request = call->request(), id = Uuid::generate(),
                        &gateways = backend_.processor.accounts()](
                           const Target& target, const rules::Context& rule_context) {
          return rules::add_payment(request, id, gateways, target, rule_context);
        };
        submit(call, backend_, std::move(command));
      });
}

grpc::ServerUnaryReactor* OrderService::CapturePayment(Context* context, const Bytes* in,
                                                       Bytes* out) {
  return run<pb::CapturePaymentRequest, pb::CapturePaymentResponse>(
      guard_, {"CapturePayment", Kind::kMutation}, context, in, out,
      [this](auto* call) { attempt(call, backend_, rules::capture_payment); });
}

grpc::ServerUnaryReactor* OrderService::VoidPayment(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::VoidPaymentRequest, pb::VoidPaymentResponse>(
      guard_, {"VoidPayment", Kind::kMutation}, context, in, out,
      [this](auto* call) { attempt(call, backend_, rules::void_payment); });
}

grpc::ServerUnaryReactor* OrderService::RefundPayment(Context* context, const Bytes* in,
                                                      Bytes* out) {
  return run<pb::RefundPaymentRequest, pb::RefundPaymentResponse>(
      guard_, {"RefundPayment", Kind::kMutation}, context, in, out,
      [this](auto* call) { attempt(call, backend_, rules::refund_payment); });
}

grpc::ServerUnaryReactor* OrderService::SyncPayments(Context* context, const Bytes* in,
                                                     Bytes* out) {
  return run<pb::SyncPaymentsRequest, pb::SyncPaymentsResponse>(
      guard_, {"SyncPayments", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        command.wants_ledger = true;
        command.done = answer_to(call, backend_);
        call->make_room();
        backend_.processor.sync(std::move(command), call->request().payment_id(), call->deadline());
      });
}

grpc::ServerUnaryReactor* OrderService::ResolveTransaction(Context* context, const Bytes* in,
                                                           Bytes* out) {
  return run<pb::ResolveTransactionRequest, pb::ResolveTransactionResponse>(
      guard_, {"ResolveTransaction", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        command.keep_request = true;
        command.transaction_id = Uuid::parse(call->request().transaction_id());
        command.rule = [&request = call->request(), &gateways = backend_.processor.accounts(),
                        lease = backend_.processor.lease()](const Target& target,
                                                            const rules::Context& rule_context) {
          return rules::resolve_transaction(request, gateways, lease, target, rule_context);
        };
        submit(call, backend_, std::move(command));
      });
}

}  // namespace orderd::rpc
