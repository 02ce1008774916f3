#include <fmt/format.h>

#include "server/orders/error_builder.h"
#include "server/orders/utf8.h"

// Refusals that are about what is configured.

namespace orderd::errors {
namespace {

using absl::StatusCode;
using rules::shown;

constexpr std::size_t kMaxNamed = 20;

/// How errors call a kind of state, and what is in it.
struct Words {
  std::string_view reason_prefix;
  std::string_view noun;
  std::string_view resource;
  std::string_view collection;
  std::string_view id;
  /// What starts in the initial one.
  std::string_view starters;
  std::string_view one_inside, many_inside;
};

const Words& words(StateKind kind) {
  static constexpr Words kOrder = {"",         "order state", "order_state", "order_states",
                                   "state_id", "New orders",  "order is in", "orders are in"};
  static constexpr Words kDelivery = {"DELIVERY_",           "delivery state",
                                      "delivery_state",      "delivery_states",
                                      "delivery_state_id",   "The lines of new orders",
                                      "order has a line in", "orders have lines in"};
  return kind == StateKind::kOrder ? kOrder : kDelivery;
}

std::string reason_of(const Words& w, std::string_view reason) {
  return fmt::format("{}{}", w.reason_prefix, reason);
}

std::string subject_of(const Words& w, std::string_view state_id) {
  return fmt::format("{}/{}", w.collection, state_id);
}

/// A refusal about one state.
absl::Status about(const Words& w, std::string_view reason, std::string_view message,
                   std::string_view state_id) {
  return failed_precondition(reason_of(w, reason), message, subject_of(w, state_id),
                             {{w.id, state_id}});
}

std::string method_subject(std::string_view method_id) {
  return fmt::format("shipment_methods/{}", method_id);
}

}  // namespace

absl::Status state_not_found(std::string_view state_id, StateKind kind) {
  const Words& w = words(kind);
  return Error(
             StatusCode::kNotFound, reason_of(w, "STATE_NOT_FOUND"),
             fmt::format("There is no {} \"{}\", or it has been deleted.", w.noun, shown(state_id)),
             {{w.id, state_id}})
      .resource(w.resource, state_id);
}

absl::Status state_exists(std::string_view state_id, StateKind kind) {
  const Words& w = words(kind);
  return Error(
             StatusCode::kAlreadyExists, reason_of(w, "STATE_EXISTS"),
             fmt::format("There is, or was, the {} \"{}\". Ids are not used again; choose another.",
                         w.noun, shown(state_id)),
             {{w.id, state_id}})
      .resource(w.resource, state_id);
}

absl::Status state_in_use(std::string_view state_id, std::int64_t order_count, StateKind kind) {
  const Words& w = words(kind);
  return failed_precondition(reason_of(w, "STATE_IN_USE"),
                             fmt::format("{} {} the state \"{}\". Move {} first.", order_count,
                                         order_count == 1 ? w.one_inside : w.many_inside,
                                         shown(state_id), order_count == 1 ? "it" : "them"),
                             subject_of(w, state_id),
                             {{w.id, state_id}, {"order_count", fmt::format("{}", order_count)}});
}

absl::Status state_referenced(std::string_view state_id,
                              const std::vector<std::string>& referenced_by, StateKind kind) {
  const Words& w = words(kind);
  std::string names;
  for (std::size_t i = 0; i < referenced_by.size() && i < kMaxNamed; ++i) {
    names += (i == 0 ? "" : ",") + referenced_by[i];
  }
  return failed_precondition(
      reason_of(w, "STATE_REFERENCED"),
      fmt::format(
          "The state \"{}\" is in the enterable_from of {} other state(s), \"{}\" among them. "
          "Take it out there first.",
          shown(state_id), referenced_by.size(),
          referenced_by.empty() ? "" : shown(referenced_by.front())),
      subject_of(w, state_id),
      {{w.id, state_id},
       {"referenced_by", names},
       {"referenced_by_count", fmt::format("{}", referenced_by.size())}});
}

absl::Status state_last_initial(std::string_view state_id, StateKind kind) {
  const Words& w = words(kind);
  return about(w, "STATE_LAST_INITIAL",
               fmt::format("{} start in the state \"{}\". Make another state initial first.",
                           w.starters, shown(state_id)),
               state_id);
}

absl::Status state_last_canceled(std::string_view state_id, StateKind kind) {
  return about(
      words(kind), "STATE_LAST_CANCELED",
      fmt::format("The state \"{}\" is the only one of category CANCELED. Add another first.",
                  shown(state_id)),
      state_id);
}

absl::Status state_initial_exists(std::string_view state_id, StateKind kind) {
  const Words& w = words(kind);
  return about(w, "STATE_INITIAL_EXISTS",
               fmt::format("{} start in the state \"{}\" already. Create the new state without "
                           "`initial`, then update it.",
                           w.starters, shown(state_id)),
               state_id);
}

absl::Status state_reference_invalid(std::string_view state_id, std::string_view referenced,
                                     StateKind kind) {
  const Words& w = words(kind);
  return failed_precondition(
      reason_of(w, "STATE_REFERENCE_INVALID"),
      fmt::format("The enterable_from of the state \"{}\" names \"{}\". It may only name other "
                  "states that exist, are not deleted and not final.",
                  shown(state_id), shown(referenced)),
      subject_of(w, state_id),
      {{w.id, state_id}, {fmt::format("referenced_{}", w.id), referenced}});
}

absl::Status state_unreachable(std::string_view state_id, StateKind kind) {
  return about(words(kind), "STATE_UNREACHABLE",
               fmt::format("Nothing could ever enter the state \"{}\" after that. Make it "
                           "enterable from a state that can be reached, or delete it first.",
                           shown(state_id)),
               state_id);
}

absl::Status too_many_states(int limit, StateKind kind) {
  const Words& w = words(kind);
  return failed_precondition(
      kind == StateKind::kOrder ? "TOO_MANY_STATES" : "TOO_MANY_DELIVERY_STATES",
      fmt::format("There are {} {}s, the deleted ones included; no more fit.", limit, w.noun),
      w.collection, {{"limit", fmt::format("{}", limit)}});
}

absl::Status shipment_method_not_found(std::string_view method_id) {
  return Error(StatusCode::kNotFound, "SHIPMENT_METHOD_NOT_FOUND",
               fmt::format("There is no shipment method \"{}\", or it has been deleted.",
                           shown(method_id)),
               {{"method_id", method_id}})
      .resource("shipment_method", method_id);
}

absl::Status shipment_method_exists(std::string_view method_id) {
  return Error(StatusCode::kAlreadyExists, "SHIPMENT_METHOD_EXISTS",
               fmt::format("There is, or was, the shipment method \"{}\". Ids are not used again; "
                           "choose another.",
                           shown(method_id)),
               {{"method_id", method_id}})
      .resource("shipment_method", method_id);
}

absl::Status shipment_method_in_use(std::string_view method_id, std::int64_t order_count) {
  return failed_precondition(
      "SHIPMENT_METHOD_IN_USE",
      fmt::format("{} the shipment method \"{}\". Disable it instead.",
                  order_count == 1 ? "1 order has" : fmt::format("{} orders have", order_count),
                  shown(method_id)),
      method_subject(method_id),
      {{"method_id", method_id}, {"order_count", fmt::format("{}", order_count)}});
}

absl::Status too_many_shipment_methods(int limit) {
  return failed_precondition(
      "TOO_MANY_SHIPMENT_METHODS",
      fmt::format("There are {} shipment methods, the deleted ones included; no more fit.", limit),
      "shipment_methods", {{"limit", fmt::format("{}", limit)}});
}

}  // namespace orderd::errors
