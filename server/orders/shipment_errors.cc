#include <fmt/format.h>

#include "server/orders/error_builder.h"
#include "server/orders/utf8.h"

// Refusals that are about shipments and their lines.

namespace orderd::errors {
namespace {

using rules::shown;

std::string subject(std::string_view collection, std::string_view id) {
  return fmt::format("{}/{}", collection, id);
}

}  // namespace

absl::Status line_unknown(std::string_view line_id) {
  return invalid_argument("LINE_UNKNOWN",
                          fmt::format("The order has no shipment line \"{}\".", shown(line_id)),
                          "line_id", {{"line_id", line_id}});
}

absl::Status item_unknown(std::string_view item_id) {
  return invalid_argument("ITEM_UNKNOWN",
                          fmt::format("The order has no item \"{}\".", shown(item_id)), "item_id",
                          {{"item_id", item_id}});
}

absl::Status shipment_unknown(std::string_view shipment_id) {
  return invalid_argument(
      "SHIPMENT_UNKNOWN",
      fmt::format("The order has no shipment \"{}\" at this point, and no earlier change has "
                  "called one so.",
                  shown(shipment_id)),
      "shipment_id", {{"shipment_id", shipment_id}});
}

absl::Status item_ambiguous(std::string_view item_id, std::size_t line_count) {
  return invalid_argument(
      "ITEM_AMBIGUOUS",
      fmt::format("The item \"{}\" has {} lines that could be meant. Name the line of which pieces "
                  "are to be taken.",
                  shown(item_id), line_count),
      "item_id", {{"item_id", item_id}, {"line_count", fmt::format("{}", line_count)}});
}

absl::Status line_selected_twice(std::string_view line_id) {
  return invalid_argument(
      "LINE_SELECTED_TWICE",
      fmt::format("The shipment line {} is selected more than once.", shown(line_id)), "line_id",
      {{"line_id", line_id}});
}

absl::Status client_ref_is_shipment(std::string_view client_ref) {
  return invalid_argument(
      "INVALID_REQUEST",
      fmt::format("The client_ref \"{}\" is the id of a shipment of the order; choose another.",
                  shown(client_ref)),
      "client_ref", {});
}

absl::Status time_in_future() {
  return invalid_argument("INVALID_REQUEST", "The time is in the future.", "delivery_state_time",
                          {});
}

absl::Status shipment_method_unknown(std::string_view method_id) {
  return invalid_argument("SHIPMENT_METHOD_UNKNOWN",
                          fmt::format("There is no shipment method \"{}\", or it has been deleted. "
                                      "ListShipmentMethods names those that there are.",
                                      shown(method_id)),
                          "method_id", {{"method_id", method_id}});
}

absl::Status delivery_state_unknown(std::string_view delivery_state_id) {
  return invalid_argument("DELIVERY_STATE_UNKNOWN",
                          fmt::format("There is no delivery state \"{}\", or it has been deleted. "
                                      "ListDeliveryStates names those that there are.",
                                      shown(delivery_state_id)),
                          "delivery_state_id", {{"delivery_state_id", delivery_state_id}});
}

absl::Status shipment_update_not_allowed(std::string_view state_id) {
  return failed_precondition(
      "SHIPMENT_UPDATE_NOT_ALLOWED",
      fmt::format("The order's state \"{}\" does not allow changes of shipments.", shown(state_id)),
      subject("order_states", state_id), {{"state_id", state_id}});
}

absl::Status quantity_too_large(std::int64_t requested, std::int64_t available,
                                std::string_view subject_id) {
  return failed_precondition(
      "QUANTITY_TOO_LARGE",
      fmt::format("{} were asked for, of which there {} {}.", requested,
                  available == 1 ? "is" : "are", available),
      subject_id,
      {{"requested", fmt::format("{}", requested)}, {"available", fmt::format("{}", available)}});
}

absl::Status line_not_movable(std::string_view line_id, std::string_view delivery_state_id) {
  return failed_precondition(
      "LINE_NOT_MOVABLE",
      fmt::format("The shipment line {} is in the delivery state \"{}\". Only lines in a state of "
                  "category OPEN can be moved.",
                  shown(line_id), shown(delivery_state_id)),
      subject("shipment_lines", line_id),
      {{"line_id", line_id}, {"delivery_state_id", delivery_state_id}});
}

absl::Status shipment_method_disabled(std::string_view method_id) {
  return failed_precondition(
      "SHIPMENT_METHOD_DISABLED",
      fmt::format("The shipment method \"{}\" is disabled.", shown(method_id)),
      subject("shipment_methods", method_id), {{"method_id", method_id}});
}

absl::Status shipment_method_mismatch(std::string_view shipment_id, std::string_view method_id) {
  return failed_precondition(
      "SHIPMENT_METHOD_MISMATCH",
      fmt::format("The shipment {} has the method \"{}\", which is not the one asked for.",
                  shown(shipment_id), shown(method_id)),
      subject("shipments", shipment_id), {{"shipment_id", shipment_id}, {"method_id", method_id}});
}

absl::Status tracking_number_in_use(std::string_view number, std::string_view shipment_id) {
  return failed_precondition(
      "TRACKING_NUMBER_IN_USE",
      fmt::format("The tracking number \"{}\" belongs to the shipment {} of the order.",
                  shown(number), shown(shipment_id)),
      subject("shipments", shipment_id),
      {{"tracking_number", number}, {"shipment_id", shipment_id}});
}

absl::Status tracking_not_allowed(std::string_view shipment_id) {
  return failed_precondition(
      "TRACKING_NOT_ALLOWED",
      fmt::format("No line of the shipment {} is in a delivery state that allows tracking numbers.",
                  shown(shipment_id)),
      subject("shipments", shipment_id), {{"shipment_id", shipment_id}});
}

absl::Status delivery_state_not_enterable(std::string_view line_id, std::string_view from,
                                          std::string_view to) {
  return failed_precondition(
      "DELIVERY_STATE_NOT_ENTERABLE",
      fmt::format("The delivery state \"{}\" can't be entered from \"{}\", in which the shipment "
                  "line {} is; its enterable_from does not list it.",
                  shown(to), shown(from), shown(line_id)),
      subject("shipment_lines", line_id),
      {{"line_id", line_id}, {"from_delivery_state_id", from}, {"to_delivery_state_id", to}});
}

absl::Status delivery_state_final(std::string_view line_id, std::string_view delivery_state_id) {
  return failed_precondition(
      "DELIVERY_STATE_FINAL",
      fmt::format("The shipment line {} is in the delivery state \"{}\", which is final.",
                  shown(line_id), shown(delivery_state_id)),
      subject("shipment_lines", line_id),
      {{"line_id", line_id}, {"delivery_state_id", delivery_state_id}});
}

absl::Status too_many_lines(int limit) {
  return failed_precondition(
      "TOO_MANY_LINES", fmt::format("The order would have more than {} shipment lines.", limit),
      "shipments", {{"limit", fmt::format("{}", limit)}});
}

}  // namespace orderd::errors
