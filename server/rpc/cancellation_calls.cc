#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/orders/cancellation.h"
#include "server/orders/emails.h"
#include "server/rpc/mutation.h"
#include "server/rpc/order_list.h"
#include "server/rpc/order_service.h"

// The calls about cancellation and the e-mails that it writes.

namespace orderd::rpc {

using engine::Command;
using rules::Target;

grpc::ServerUnaryReactor* OrderService::CancelOrder(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::CancelOrderRequest, pb::CancelOrderResponse>(
      guard_, {"CancelOrder", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        command.keep_request = true;
        // With a copy of the request: the caller may be answered while the processor is at work.
        command.rule = [request = call->request(), lease = backend_.processor.lease(),
                        &gateways = backend_.processor.accounts(),
                        &mailing = backend_.processor.mailing()](
                           const Target& target, const rules::Context& rule_context) {
          return rules::begin_cancellation(
              request, {Uuid::generate(), request.request_id(), lease, &gateways, &mailing}, target,
              rule_context);
        };
        command.done = answer_to(call, backend_);
        call->make_room();
        backend_.processor.cancel(std::move(command), call->deadline());
      });
}

grpc::ServerUnaryReactor* OrderService::AbandonCancellation(Context* context, const Bytes* in,
                                                            Bytes* out) {
  return run<pb::AbandonCancellationRequest, pb::AbandonCancellationResponse>(
      guard_, {"AbandonCancellation", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        // A late retry must not give up a cancellation that began since.
        command.keep_request = true;
        command.rule = [&request = call->request()](const Target& target,
                                                    const rules::Context& rule_context) {
          return rules::abandon_cancellation(request, target, rule_context);
        };
        submit(call, backend_, std::move(command));
      });
}

grpc::ServerUnaryReactor* OrderService::ListEmails(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::ListEmailsRequest, pb::ListEmailsResponse>(
      guard_, {"ListEmails", Kind::kRead}, context, in, out, [this](auto* call) {
        using Emails = absl::StatusOr<std::vector<pb::Email>>;
        const auto& request = call->request();
        pb::ListEmailsRequest scoped;
        scoped.set_order_id(request.order_id());
        scoped.set_status(request.status());
        std::string scope = page_scope("ListEmails", scoped);
        std::optional<pb::EmailStatus> status;
        if (request.status() != pb::EMAIL_STATUS_UNSPECIFIED) status = request.status();
        const auto id = [](const pb::Email& email) { return email.email_id(); };
        const auto add = [](pb::ListEmailsResponse & response) -> auto& {
          return *response.add_emails();
        };
        if (request.order_id().empty()) {
          return list_by_id(
              call, backend_.reader, tokens_, std::move(scope),
              [status](storage::ReadTransaction& tx, const std::optional<Uuid>& after, int limit)
                  -> Emails { return tx.list_emails(std::nullopt, status, after, limit); },
              id, add);
        }
        list_of_order(
            call, backend_.reader, tokens_, std::move(scope),
            [status](storage::ReadTransaction& tx, const storage::OrderVersion& order,
                     const std::optional<Uuid>& after, int limit) -> Emails {
              return tx.list_emails(order.id, status, after, limit);
            },
            id, add);
      });
}

grpc::ServerUnaryReactor* OrderService::RetryEmail(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::RetryEmailRequest, pb::RetryEmailResponse>(
      guard_, {"RetryEmail", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        command.email_id = Uuid::parse(call->request().email_id());
        command.rule = [&request = call->request()](const Target& target,
                                                    const rules::Context& rule_context) {
          return rules::retry_email(request, target, rule_context);
        };
        submit(call, backend_, std::move(command));
      });
}

}  // namespace orderd::rpc
