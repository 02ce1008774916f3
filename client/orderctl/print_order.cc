#include "client/orderctl/print_order.h"

#include <fmt/core.h>

#include <initializer_list>
#include <map>
#include <string>

#include "client/orderctl/amounts.h"
#include "client/orderctl/print_cancellation.h"
#include "client/orderctl/print_payments.h"
#include "client/orderctl/print_shipments.h"

namespace orderd::cli {
namespace {

namespace pb = ::orders::v1;

void print_field(std::string_view name, const std::string& value) {
  if (!value.empty()) fmt::print("  {:<15} {}\n", name, printable(value));
}

std::string joined(std::initializer_list<std::string_view> parts, std::string_view separator) {
  std::string text;
  for (const auto part : parts) {
    if (part.empty()) continue;
    if (!text.empty()) text += separator;
    text += part;
  }
  return text;
}

std::string format_customer(const pb::Customer& customer) {
  return joined({customer.name(), customer.email(), customer.phone(),
                 customer.customer_id().empty() ? "" : "id " + customer.customer_id()},
                ", ");
}

std::string format_address(const pb::Address& address) {
  return joined({address.name(), address.company(), address.line1(), address.line2(),
                 joined({address.postal_code(), address.city()}, " "), address.region(),
                 address.country_code(), address.phone()},
                ", ");
}

void print_items(const pb::Order& order) {
  fmt::print("\n");
  Table table({"ITEM", "SKU", "NAME", ">QUANTITY", ">UNIT PRICE", ">DISCOUNT", ">TAX", ">TOTAL"});
  for (const auto& item : order.items()) {
    table.add({item.item_id(), item.sku(), item.name(), std::to_string(item.quantity()),
               format_money(item.unit_price()), money_or_dash(item.has_discount(), item.discount()),
               money_or_dash(item.has_tax(), item.tax()), format_money(item.total())});
  }
  table.print();
}

void print_totals(const pb::Totals& totals) {
  fmt::print("\n");
  Table table({"TOTALS", ">"});
  const auto add = [&](bool has, const std::string& name, const pb::Money& amount) {
    if (has) table.add({name, format_money(amount)});
  };
  add(totals.has_items(), "items", totals.items());
  add(totals.has_shipping(), "shipping", totals.shipping());
  add(totals.has_shipping_tax(), "shipping tax", totals.shipping_tax());
  for (const auto& adjustment : totals.adjustments()) {
    add(true, adjustment.label(), adjustment.amount());
  }
  add(totals.has_total(), "total", totals.total());
  table.print();
}

void print_actions(const pb::Order& order) {
  std::string allowed;
  std::string refused;
  std::string shipments;
  std::string cancel;
  for (const auto& action : order.available_actions()) {
    if (action.kind() == pb::ACTION_KIND_UPDATE_SHIPMENTS) {
      shipments = action.allowed() ? "can be updated" : "can't be updated: " + action.reason();
    }
    if (action.kind() == pb::ACTION_KIND_CANCEL) {
      cancel = action.allowed() ? "possible" : "not possible: " + action.reason();
    }
    if (action.kind() != pb::ACTION_KIND_CHANGE_STATE) continue;
    std::string& list = action.allowed() ? allowed : refused;
    if (!list.empty()) list += ", ";
    list += action.state_id();
    if (!action.allowed()) list += " (" + action.reason() + ")";
  }
  if (order.available_actions().empty()) return;
  fmt::print("\n");
  print_field("can go to", or_dash(allowed));
  print_field("can't go to", refused);
  print_field("shipments", shipments);
  // Of a canceled order it is "possible", without any effect.
  if (order.cancellation().status() != pb::CANCELLATION_STATUS_COMPLETED) {
    print_field("cancel", cancel);
  }
}

}  // namespace

void print_order(const pb::Order& order) {
  fmt::print("order {} ({})\n", printable(order.order_number()), printable(order.order_id()));
  print_field("state", order.state_id());
  print_field("invoice", or_dash(order.invoice_number()));
  print_field("customer", format_customer(order.customer()));
  print_field("billing", format_address(order.billing_address()));
  print_field("shipping", format_address(order.shipping_address()));
  if (order.has_customer_erase_time()) {
    print_field("erased", format_time(order.customer_erase_time()));
  }
  const std::map<std::string, std::string> labels(order.labels().begin(), order.labels().end());
  std::string label_text;
  for (const auto& [key, value] : labels) {
    label_text += (label_text.empty() ? "" : ", ") + key + "=" + value;
  }
  print_field("labels", label_text);
  print_field("delivery", delivery_summary(order));
  print_field("notes", std::to_string(order.note_count()));
  print_field("ordered", format_time(order.order_time()));
  print_field("created", format_time(order.create_time()));
  print_field("updated", format_time(order.update_time()));
  print_field("etag", order.etag());
  if (order.prices_include_tax()) print_field("prices", "include tax");

  if (order.items_size() > 0) print_items(order);
  if (order.has_totals()) print_totals(order.totals());
  if (order.shipments_size() > 0) print_shipments(order);
  if (order.payments_size() > 0) print_payments(order);
  print_cancellation(order);
  print_actions(order);
}

Table order_table() {
  return Table({"NUMBER", "STATE", "INVOICE", "CUSTOMER", ">ITEMS", ">TOTAL", "ORDERED", "ID"});
}

void add_order(Table& table, const pb::Order& order) {
  const auto& customer = order.customer();
  table.add({order.order_number(), order.state_id(), or_dash(order.invoice_number()),
             or_dash(customer.email().empty() ? customer.name() : customer.email()),
             std::to_string(order.item_count()),
             money_or_dash(order.totals().has_total(), order.totals().total()),
             format_time(order.order_time()), order.order_id()});
}

void print_changed(const pb::Order& order, bool changed, bool replayed) {
  const char* prefix = replayed ? "done before: " : changed ? "" : "no change: ";
  fmt::print("{}order {} ({}): state {}, invoice {}, etag {}\n", prefix,
             printable(order.order_number()), printable(order.order_id()),
             printable(order.state_id()), printable(or_dash(order.invoice_number())),
             printable(order.etag()));
}

}  // namespace orderd::cli
