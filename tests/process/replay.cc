#include "tests/process/replay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>

namespace orderd::test {
namespace {

namespace pb = ::orders::v1;

void apply_shipments(const pb::ShipmentsChanged& event, pb::Order& order) {
  std::map<std::string, pb::Shipment> shipments;
  std::vector<std::string> sequence;
  for (const auto& shipment : order.shipments()) {
    shipments[shipment.shipment_id()] = shipment;
    sequence.push_back(shipment.shipment_id());
  }
  for (const auto& shipment : event.before()) shipments.erase(shipment.shipment_id());
  for (const auto& shipment : event.after()) {
    shipments[shipment.shipment_id()] = shipment;
    if (std::find(sequence.begin(), sequence.end(), shipment.shipment_id()) == sequence.end()) {
      sequence.push_back(shipment.shipment_id());
    }
  }
  order.clear_shipments();
  for (const auto& id : sequence) {
    if (shipments.contains(id)) *order.add_shipments() = shipments[id];
  }
}

void apply_event(const pb::OrderEvent& event, pb::Order& order) {
  switch (event.payload_case()) {
    case pb::OrderEvent::kOrderCreated:
      order = event.order_created().order();
      break;
    case pb::OrderEvent::kOrderImported:
      order = event.order_imported().order();
      break;
    case pb::OrderEvent::kOrderUpdated: {
      const auto& after = event.order_updated().after();
      if (after.has_customer()) *order.mutable_customer() = after.customer();
      if (after.has_billing_address()) *order.mutable_billing_address() = after.billing_address();
      if (after.has_shipping_address()) {
        *order.mutable_shipping_address() = after.shipping_address();
      }
      *order.mutable_labels() = after.labels();
      break;
    }
    case pb::OrderEvent::kStateChanged:
      EXPECT_EQ(order.state_id(), event.state_changed().before_state_id());
      order.set_state_id(event.state_changed().after_state_id());
      break;
    case pb::OrderEvent::kInvoiceNumberChanged:
      EXPECT_EQ(order.invoice_number(), event.invoice_number_changed().before());
      order.set_invoice_number(event.invoice_number_changed().after());
      break;
    case pb::OrderEvent::kNoteAdded:
      order.set_note_count(order.note_count() + 1);
      break;
    case pb::OrderEvent::kNoteUpdated:
      break;
    case pb::OrderEvent::kNoteDeleted:
      order.set_note_count(order.note_count() - 1);
      break;
    case pb::OrderEvent::kShipmentsChanged:
      apply_shipments(event.shipments_changed(), order);
      break;
    case pb::OrderEvent::kPaymentAdded:
      *order.add_payments() = event.payment_added().payment();
      break;
    case pb::OrderEvent::kPaymentChanged:
      for (auto& payment : *order.mutable_payments()) {
        const auto& after = event.payment_changed().after();
        if (payment.payment_id() == after.payment_id()) payment = after;
      }
      break;
    case pb::OrderEvent::kCancellationChanged:
      if (event.cancellation_changed().has_after()) {
        *order.mutable_cancellation() = event.cancellation_changed().after();
      } else {
        order.clear_cancellation();
      }
      break;
    case pb::OrderEvent::kEmailChanged:
    case pb::OrderEvent::kCustomerErased:
      break;
    case pb::OrderEvent::PAYLOAD_NOT_SET:
      ADD_FAILURE() << "an event of an unknown type";
  }
}

}  // namespace

pb::Order replayable(pb::Order order) {
  order.clear_update_time();
  order.clear_available_actions();
  for (auto& shipment : *order.mutable_shipments()) {
    for (auto& number : *shipment.mutable_tracking_numbers()) number.clear_url();
  }
  return order;
}

void Replay::show(const pb::Order& order) {
  EXPECT_TRUE(orders_.emplace(order.order_id(), replayable(order)).second)
      << "order " << order.order_id() << " was shown before";
}

void Replay::apply(const pb::OrderChange& change) {
  pb::Order& order = orders_[change.order_id()];
  const std::int64_t version = order.etag().empty() ? 0 : std::stoll(order.etag());
  EXPECT_EQ(std::to_string(version + 1), change.etag()) << "order " << change.order_id();
  EXPECT_GT(change.events_size(), 0);
  for (const pb::OrderEvent& event : change.events()) {
    EXPECT_EQ(event.order_id(), change.order_id());
    EXPECT_EQ(event.etag(), change.etag());
    apply_event(event, order);
  }
  order.set_etag(change.etag());
  order = replayable(std::move(order));
}

}  // namespace orderd::test
