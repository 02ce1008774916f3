#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "server/engine/engine.h"
#include "server/engine/request_hash.h"
#include "server/orders/cancellation.h"
#include "server/orders/payments.h"
#include "server/rpc/backend.h"
#include "server/rpc/call.h"
#include "server/rpc/rendering.h"

// How a mutating call on one order becomes a command of the engine, and its answer a response.

namespace orderd::rpc {

/// An id of another form names no order, and neither does the nil id; so it takes the way of all
/// commands, and a replay is still recognized before the order is missed.
inline Uuid order_id_of(std::string_view text) { return Uuid::parse(text).value_or(Uuid{}); }

inline std::optional<RequestKey> request_key(const std::string& actor, std::string_view method,
                                             const std::string& request_id, int index = 0) {
  const auto id = Uuid::parse(request_id);
  if (!id) return std::nullopt;
  return engine::request_key(actor, method, *id, index);
}

/// All but `rule` and `done`.
template <class Call>
engine::Command command_for(const Call& call) {
  const auto& request = call.request();
  engine::Command command;
  command.actor = call.actor();
  command.request_id = request.request_id();
  if constexpr (requires { request.validate_only(); }) {
    command.validate_only = request.validate_only();
  }
  // What is only validated is no first call that a later one could be the retry of.
  if (!command.validate_only) {
    command.request = request_key(call.actor(), call.method(), request.request_id());
  }
  if (command.request) command.body_hash = engine::body_hash(request);
  if constexpr (requires { request.order_id(); }) {
    command.order_id = order_id_of(request.order_id());
    command.order_id_text = request.order_id();
    command.expected_etag = request.etag();
  }
  command.bytes += request.ByteSizeLong();
  command.abandoned = call.abandoned();
  command.trace = call.trace();
  return command;
}

template <class Request, class Response>
void fill(const Request& request, Response& response, const engine::Answer& answer,
          const Settings& settings) {
  add_order(*answer.order, pb::ORDER_VIEW_FULL, settings, Response::kOrderFieldNumber, response);
  response.set_etag(answer.etag);
  response.set_changed(answer.changed);
  response.set_replayed(answer.replayed);
  if constexpr (requires { response.mutable_note(); }) {
    if (answer.note) {
      *response.mutable_note() = *answer.note;
    } else {
      response.mutable_note()->set_note_id(answer.outcome.note_id());
    }
  }
  if constexpr (requires { response.mutable_results(); }) {
    *response.mutable_results() = answer.outcome.shipment_results();
  }
  if constexpr (requires { response.mutable_payment(); }) {
    const auto* payment = rules::find_payment(answer.order->order, answer.outcome.payment_id());
    if (payment != nullptr) *response.mutable_payment() = *payment;
  }
  if constexpr (requires { response.mutable_transaction(); }) {
    if (answer.transaction) *response.mutable_transaction() = *answer.transaction;
    if constexpr (requires { request.validate_only(); }) {
      if (request.validate_only()) response.mutable_transaction()->clear_transaction_id();
    }
  }
  if constexpr (requires { response.mutable_differences(); }) {
    *response.mutable_differences() = answer.outcome.differences();
  }
  if constexpr (requires { response.mutable_report(); }) {
    *response.mutable_report() = request.validate_only() ? answer.outcome.cancellation()
                                                         : rules::report_of(answer.order->order);
  }
  if constexpr (requires { response.mutable_email(); }) {
    if (answer.email) *response.mutable_email() = *answer.email;
  }
}

/// The `done` of the call's command.
template <class Call>
engine::Command::Done answer_to(Call* call, const Backend& backend) {
  return [call, &backend](absl::StatusOr<engine::Answer> answer) {
    call->answer([&](auto& response) {
      if (answer.ok()) fill(call->request(), response, *answer, *backend.settings.get());
      return answer.status();
    });
  };
}

template <class Call>
void submit(Call* call, const Backend& backend, engine::Command command) {
  command.done = answer_to(call, backend);
  backend.engine.submit(std::move(command));
}

}  // namespace orderd::rpc
