#include <algorithm>
#include <atomic>
#include <memory>
#include <vector>

#include "server/rpc/mutation.h"
#include "server/rpc/order_service.h"
#include "storage/wall_clock.h"

// The mutations of one order, and of a batch of them. The rule that a command carries refers to the
// request, which stays until the call is answered.

namespace orderd::rpc {
namespace {

using engine::Answer;
using engine::Command;
using rules::Target;

/// The rows that a change of shipments writes, about.
int rows_of(const pb::UpdateShipmentsRequest& request) {
  // How many lines "all" are is not known before the order is.
  constexpr int kLinesOfAnOrder = 16;
  const auto rows_of_lines = [](const pb::LineSelection& selection) {
    return selection.all() ? kLinesOfAnOrder : selection.lines_size();
  };
  int rows = 0;
  for (const auto& change : request.changes()) {
    rows += rows_of_lines(change.set_method().selection()) +
            rows_of_lines(change.set_delivery_state().selection()) +
            change.set_tracking_numbers().tracking_numbers_size();
  }
  return rows;
}

/// The results of a batch, gathered from any thread.
class StatusBatch {
 public:
  using Call = UnaryCall<pb::BatchUpdateOrderStatusRequest, pb::BatchUpdateOrderStatusResponse>;

  explicit StatusBatch(Call* call)
      : call_(call),
        answers_(static_cast<std::size_t>(call->request().updates_size())),
        missing_(answers_.size()) {}

  void set(std::size_t index, absl::StatusOr<Answer> answer) {
    answers_[index] = std::move(answer);
    if (missing_.fetch_sub(1) == 1) finish();
  }

 private:
  void finish() {
    // What befell all of them alike, and would not befall them again, is the call's own fate.
    const auto transient = [](const auto& answer) {
      return absl::IsResourceExhausted(answer.status()) || absl::IsUnavailable(answer.status()) ||
             absl::IsCancelled(answer.status()) || absl::IsDeadlineExceeded(answer.status());
    };
    if (std::all_of(answers_.begin(), answers_.end(), transient)) {
      return call_->finish(answers_.front().status());
    }
    call_->answer([this](pb::BatchUpdateOrderStatusResponse& response) {
      for (std::size_t i = 0; i < answers_.size(); ++i) {
        auto& result = *response.add_results();
        result.set_order_id(call_->request().updates(static_cast<int>(i)).order_id());
        *result.mutable_status() = errors::to_proto(answers_[i].status());
        if (!answers_[i].ok()) continue;
        result.set_etag(answers_[i]->etag);
        result.set_changed(answers_[i]->changed);
        result.set_replayed(answers_[i]->replayed);
      }
      return absl::OkStatus();
    });
  }

  Call* const call_;
  std::vector<absl::StatusOr<Answer>> answers_;
  std::atomic<std::size_t> missing_;
};

}  // namespace

grpc::ServerUnaryReactor* OrderService::CreateOrder(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::CreateOrderRequest, pb::CreateOrderResponse>(
      guard_, {"CreateOrder", Kind::kMutation}, context, in, out, [this](auto* call) {
        const auto& request = call->request();
        Command command = command_for(*call);
        command.order_id = Uuid::generate();
        command.creates = true;
        command.cost += request.order().items_size() + request.order().payments_size() +
                        static_cast<int>(request.order().labels_size());
        const std::string number =
            rules::order_number_of(request.order(), rules::generate_order_number(wall_clock()));
        command.claims = rules::create_claims(request, number);
        command.rule = [&request, id = command.order_id, number,
                        &gateways = backend_.processor.accounts()](
                           const Target& target, const rules::Context& rule_context) {
          return rules::create_order(request, id, number, gateways, target, rule_context);
        };
        submit(call, backend_, std::move(command));
      });
}

grpc::ServerUnaryReactor* OrderService::UpdateOrder(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::UpdateOrderRequest, pb::UpdateOrderResponse>(
      guard_, {"UpdateOrder", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        command.rule = [&request = call->request()](const Target& target,
                                                    const rules::Context& rule_context) {
          return rules::update_order(request, target, rule_context);
        };
        submit(call, backend_, std::move(command));
      });
}

grpc::ServerUnaryReactor* OrderService::UpdateOrderStatus(Context* context, const Bytes* in,
                                                          Bytes* out) {
  return run<pb::UpdateOrderStatusRequest, pb::UpdateOrderStatusResponse>(
      guard_, {"UpdateOrderStatus", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        command.rule = [update = rules::status_update(call->request())](
                           const Target& target, const rules::Context& rule_context) {
          return rules::update_status(update, target, rule_context);
        };
        submit(call, backend_, std::move(command));
      });
}

grpc::ServerUnaryReactor* OrderService::BatchUpdateOrderStatus(Context* context, const Bytes* in,
                                                               Bytes* out) {
  return run<pb::BatchUpdateOrderStatusRequest, pb::BatchUpdateOrderStatusResponse>(
      guard_, {"BatchUpdateOrderStatus", Kind::kMutation}, context, in, out, [this](auto* call) {
        const auto& request = call->request();
        const auto results = std::make_shared<StatusBatch>(call);
        std::vector<Command> commands;
        for (int i = 0; i < request.updates_size(); ++i) {
          const pb::OrderStatusUpdate& update = request.updates(i);
          Command command;
          command.actor = call->actor();
          command.request_id = request.request_id();
          command.request = request_key(call->actor(), call->method(), request.request_id(), i);
          if (command.request) command.body_hash = engine::body_hash(update);
          command.order_id = order_id_of(update.order_id());
          command.order_id_text = update.order_id();
          command.expected_etag = update.etag();
          command.bytes += update.ByteSizeLong();
          command.abandoned = call->abandoned();
          command.rule = [&update](const Target& target, const rules::Context& rule_context) {
            return rules::update_status(update, target, rule_context);
          };
          command.done = [results, i](absl::StatusOr<Answer> answer) {
            results->set(static_cast<std::size_t>(i), std::move(answer));
          };
          commands.push_back(std::move(command));
        }
        backend_.engine.submit(std::move(commands));
      });
}

grpc::ServerUnaryReactor* OrderService::UpdateInvoice(Context* context, const Bytes* in,
                                                      Bytes* out) {
  return run<pb::UpdateInvoiceRequest, pb::UpdateInvoiceResponse>(
      guard_, {"UpdateInvoice", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        command.claims = rules::invoice_claims(call->request());
        command.rule = [&request = call->request()](const Target& target,
                                                    const rules::Context& rule_context) {
          return rules::update_invoice(request, target, rule_context);
        };
        submit(call, backend_, std::move(command));
      });
}

grpc::ServerUnaryReactor* OrderService::UpdateShipments(Context* context, const Bytes* in,
                                                        Bytes* out) {
  return run<pb::UpdateShipmentsRequest, pb::UpdateShipmentsResponse>(
      guard_, {"UpdateShipments", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        command.cost += rows_of(call->request());
        command.rule = [&request = call->request(), ids = Uuid::generate()](
                           const Target& target, const rules::Context& rule_context) {
          return rules::update_shipments(request, ids, target, rule_context);
        };
        submit(call, backend_, std::move(command));
      });
}

grpc::ServerUnaryReactor* OrderService::AddNote(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::AddNoteRequest, pb::AddNoteResponse>(
      guard_, {"AddNote", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        command.rule = [&request = call->request(), note_id = Uuid::generate()](
                           const Target& target, const rules::Context& rule_context) {
          return rules::add_note(request, note_id, target, rule_context);
        };
        submit(call, backend_, std::move(command));
      });
}

grpc::ServerUnaryReactor* OrderService::UpdateNote(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::UpdateNoteRequest, pb::UpdateNoteResponse>(
      guard_, {"UpdateNote", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        command.note_id = Uuid::parse(call->request().note_id());
        command.rule = [&request = call->request()](const Target& target,
                                                    const rules::Context& rule_context) {
          return rules::update_note(request, target, rule_context);
        };
        submit(call, backend_, std::move(command));
      });
}

grpc::ServerUnaryReactor* OrderService::DeleteNote(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::DeleteNoteRequest, pb::DeleteNoteResponse>(
      guard_, {"DeleteNote", Kind::kMutation}, context, in, out, [this](auto* call) {
        Command command = command_for(*call);
        command.note_id = Uuid::parse(call->request().note_id());
        command.rule = [&request = call->request()](const Target& target,
                                                    const rules::Context& rule_context) {
          return rules::delete_note(request, target, rule_context);
        };
        submit(call, backend_, std::move(command));
      });
}

}  // namespace orderd::rpc
