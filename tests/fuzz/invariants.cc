#include "tests/fuzz/invariants.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "server/orders/actions.h"
#include "server/orders/money.h"
#include "tests/fuzz/fuzz.h"

namespace orderd::fuzz {
namespace {

// Sums of what 64 bits hold.
__extension__ using Wide = __int128;

Wide minor(const pb::Money& money) { return money.amount_minor(); }

void check_money(const google::protobuf::Message& message, const std::string& currency) {
  if (const auto* money = dynamic_cast<const pb::Money*>(&message)) {
    require(money->currency_code() == currency, "an order has one currency");
    require(rules::currency_exponent(currency).has_value(), "which is listed");
    return;
  }
  std::vector<const google::protobuf::FieldDescriptor*> fields;
  const auto& reflection = *message.GetReflection();
  reflection.ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      check_money(reflection.GetMessage(message, field), currency);
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      check_money(reflection.GetRepeatedMessage(message, field, i), currency);
    }
  }
}

void check_totals(const pb::Order& order) {
  Wide items = 0;
  std::set<std::string> ids;
  for (const auto& item : order.items()) {
    require(ids.insert(item.item_id()).second, "items have ids of their own");
    require(item.quantity() >= 1, "there is one piece at least");
    const Wide gross = Wide{item.quantity()} * minor(item.unit_price());
    require(minor(item.unit_price()) >= 0 && minor(item.tax()) >= 0, "prices are not negative");
    require(minor(item.discount()) >= 0 && minor(item.discount()) <= gross, "discounts fit");
    require(minor(item.total()) == gross - minor(item.discount()) + minor(item.tax()),
            "a line's total is quantity x unit price - discount + tax");
    items += minor(item.total());
  }
  require(order.item_count() == order.items_size(), "items are counted");
  const pb::Totals& totals = order.totals();
  require(minor(totals.items()) == items, "items add up");
  Wide total = items + minor(totals.shipping()) + minor(totals.shipping_tax());
  for (const auto& adjustment : totals.adjustments()) total += minor(adjustment.amount());
  require(minor(totals.total()) == total && total >= 0, "totals add up");
}

void check_shipments(const pb::Order& order) {
  std::map<std::string, Wide> pieces;
  std::set<std::string> lines, shipments, numbers;
  for (const auto& shipment : order.shipments()) {
    require(shipments.insert(shipment.shipment_id()).second, "shipments have ids of their own");
    require(shipment.lines_size() > 0, "a shipment has lines");
    for (const auto& number : shipment.tracking_numbers()) {
      require(numbers.insert(number.number()).second, "a tracking number is of one shipment");
    }
    std::set<std::string> kinds;
    for (const auto& line : shipment.lines()) {
      require(lines.insert(line.line_id()).second, "lines have ids of their own");
      require(line.quantity() >= 1, "a line has one piece at least");
      require(kinds
                  .insert(line.item_id() + "\n" + line.delivery_state_id() + "\n" +
                          line.delivery_state_time().SerializeAsString())
                  .second,
              "equal lines are one");
      pieces[line.item_id()] += line.quantity();
    }
  }
  for (const auto& item : order.items()) {
    require(pieces[item.item_id()] == item.quantity(), "every piece is in one line");
  }
  require(pieces.size() == static_cast<std::size_t>(order.items_size()), "of an item");
}

bool is_open(const pb::PaymentTransaction& transaction) {
  return transaction.status() == pb::TRANSACTION_STATUS_PENDING ||
         transaction.status() == pb::TRANSACTION_STATUS_UNKNOWN;
}

void check_payment(const pb::Payment& payment, const std::vector<pb::PaymentTransaction>& all) {
  std::map<std::string, Wide> booked;
  std::map<pb::TransactionKind, Wide> open;
  std::vector<std::string> open_here, open_there;
  bool foreign = false;
  for (const auto& transaction : all) {
    if (transaction.payment_id() != payment.payment_id()) continue;
    foreign = foreign || transaction.foreign();
    if (is_open(transaction)) {
      open_there.push_back(transaction.SerializeAsString());
      open[transaction.kind()] += minor(transaction.amount());
    }
    if (transaction.status() != pb::TRANSACTION_STATUS_SUCCEEDED) continue;
    switch (transaction.kind()) {
      case pb::TRANSACTION_KIND_AUTHORIZATION:
        booked["AUTHORIZED"] += minor(transaction.amount());
        break;
      case pb::TRANSACTION_KIND_CAPTURE:
        booked["CAPTURED"] += minor(transaction.amount());
        break;
      case pb::TRANSACTION_KIND_REFUND:
        booked["REFUNDED"] += minor(transaction.amount());
        break;
      case pb::TRANSACTION_KIND_VOID:
      case pb::TRANSACTION_KIND_EXPIRY:
        booked["VOIDED"] += minor(transaction.amount());
        break;
      case pb::TRANSACTION_KIND_ADJUSTMENT:
        booked[transaction.reason()] += minor(transaction.amount());
        break;
      default:
        break;
    }
  }
  for (const auto& transaction : payment.open_transactions()) {
    open_here.push_back(transaction.SerializeAsString());
  }
  std::sort(open_here.begin(), open_here.end());
  std::sort(open_there.begin(), open_there.end());
  require(open_here == open_there, "a payment shows the open transactions of its ledger");
  require(minor(payment.capturable()) >= 0 && minor(payment.refundable()) >= 0,
          "nothing negative can be captured or refunded");
  if (payment.discrepancy()) return;
  const Wide authorized = minor(payment.authorized());
  const Wide captured = minor(payment.captured());
  const Wide refunded = minor(payment.refunded());
  const Wide voided = minor(payment.voided());
  require(booked["AUTHORIZED"] == authorized && booked["CAPTURED"] == captured &&
              booked["REFUNDED"] == refunded && booked["VOIDED"] == voided,
          "a payment's sums are those of its ledger");
  require(authorized >= 0 && captured >= 0 && refunded >= 0 && voided >= 0, "sums are positive");
  require(captured + voided <= authorized && refunded <= captured, "no money from nowhere");
  if (foreign) return;  // what was done elsewhere did not ask what is reserved here
  require(
      captured + voided + open[pb::TRANSACTION_KIND_CAPTURE] + open[pb::TRANSACTION_KIND_VOID] <=
          authorized,
      "captured + voided + open captures and voids <= authorized");
  require(refunded + open[pb::TRANSACTION_KIND_REFUND] <= captured,
          "refunded + open refunds <= captured");
}

}  // namespace

void check(const pb::Order& order, const std::vector<pb::PaymentTransaction>& ledger,
           const Settings& settings) {
  check_money(order, order.currency_code());
  check_totals(order);
  check_shipments(order);
  for (const auto& payment : order.payments()) check_payment(payment, ledger);
  require(settings.states.contains(order.state_id()), "an order is in a state that exists");
  pb::Order shown = order;
  rules::add_available_actions(shown, settings, shown);
}

}  // namespace orderd::fuzz
