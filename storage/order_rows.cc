#include "storage/order_rows.h"

#include <algorithm>

#include "storage/child_rows.h"
#include "storage/multi_insert.h"
#include "storage/payment_rows.h"
#include "storage/shipment_rows.h"

namespace orderd::storage {
namespace {

using google::protobuf::Timestamp;
using OrderSpan = std::span<const StoredOrder* const>;

// Bits of `orders.present`.
constexpr std::int64_t kCustomer = 1 << 0;
constexpr std::int64_t kTotals = 1 << 1;
constexpr std::int64_t kItemsTotal = 1 << 2;
constexpr std::int64_t kShipping = 1 << 3;
constexpr std::int64_t kShippingTax = 1 << 4;
constexpr std::int64_t kTotal = 1 << 5;
constexpr std::int64_t kCancellation = 1 << 6;
// Bits of `order_items.present`.
constexpr std::int64_t kUnitPrice = 1 << 0;
constexpr std::int64_t kTax = 1 << 1;
constexpr std::int64_t kDiscount = 1 << 2;
constexpr std::int64_t kLineTotal = 1 << 3;
// `order_addresses.kind`.
constexpr std::int64_t kBilling = 1;
constexpr std::int64_t kShippingAddress = 2;

std::int64_t present_bits(const pb::Order& order) {
  const pb::Totals& totals = order.totals();
  return bit(order.has_customer(), kCustomer) | bit(order.has_totals(), kTotals) |
         bit(totals.has_items(), kItemsTotal) | bit(totals.has_shipping(), kShipping) |
         bit(totals.has_shipping_tax(), kShippingTax) | bit(totals.has_total(), kTotal) |
         bit(order.has_cancellation(), kCancellation);
}

void set_time(Micros micros, Timestamp* (pb::Order::*field)(), pb::Order& order) {
  if (micros != kNoTime) *(order.*field)() = to_timestamp(micros);
}

/// Empty if the columns of their own say it all.
std::string serialized_details(const pb::Cancellation& cancellation) {
  internal::CancellationDetails details;
  details.set_target_state_id(cancellation.target_state_id());
  details.set_notify_customer(cancellation.notify_customer());
  details.set_include_shipped(cancellation.include_shipped());
  if (cancellation.has_start_time()) details.set_start_time(to_micros(cancellation.start_time()));
  details.set_pass(cancellation.pass());
  *details.mutable_legs() = cancellation.legs();
  return details.SerializeAsString();
}

void set_details(const std::string& serialized, pb::Cancellation& cancellation) {
  if (serialized.empty()) return;
  internal::CancellationDetails details;
  if (!details.ParseFromString(serialized)) {
    throw Error(Error::Kind::kInternal, "the details of a cancellation can't be read");
  }
  cancellation.set_target_state_id(std::move(*details.mutable_target_state_id()));
  cancellation.set_notify_customer(details.notify_customer());
  cancellation.set_include_shipped(details.include_shipped());
  if (details.start_time() != 0) {
    *cancellation.mutable_start_time() = to_timestamp(details.start_time());
  }
  cancellation.set_pass(details.pass());
  *cancellation.mutable_legs() = std::move(*details.mutable_legs());
}

std::vector<Uuid> ids_of(OrderSpan orders) {
  std::vector<Uuid> ids;
  ids.reserve(orders.size());
  for (const StoredOrder* order : orders) ids.push_back(order->id);
  return ids;
}

void insert_heads(Session& session, OrderSpan orders) {
  MultiInsert insert(
      session,
      "INSERT INTO orders (id, version, present, order_number, state_id, invoice_number,"
      " customer_id, customer_name, customer_email, customer_phone, email_key, currency,"
      " prices_include_tax, items_minor, shipping_minor, shipping_tax_minor, total_minor,"
      " item_count, note_count, cancellation_status, cancellation_reason, cancellation_time,"
      " cancellation_details, order_time, create_time, update_time, customer_erase_time) VALUES");
  for (const StoredOrder* stored : orders) {
    const pb::Order& order = stored->order;
    const pb::Customer& customer = order.customer();
    const pb::Totals& totals = order.totals();
    const pb::Cancellation& cancellation = order.cancellation();
    const std::string key = email_key(customer.email());
    const std::string details = serialized_details(cancellation);
    insert.row(stored->id, stored->version, present_bits(order), Blob{order.order_number()},
               Blob{order.state_id()}, Blob{order.invoice_number()}, Text{customer.customer_id()},
               Text{customer.name()}, Text{customer.email()}, Text{customer.phone()}, Blob{key},
               Text{order.currency_code()}, order.prices_include_tax() ? 1 : 0,
               totals.items().amount_minor(), totals.shipping().amount_minor(),
               totals.shipping_tax().amount_minor(), totals.total().amount_minor(),
               order.item_count(), order.note_count(), static_cast<int>(cancellation.status()),
               Text{cancellation.reason()},
               time_or_none(cancellation.has_complete_time(), cancellation.complete_time()),
               Blob{details}, time_or_none(order.has_order_time(), order.order_time()),
               time_or_none(order.has_create_time(), order.create_time()),
               time_or_none(order.has_update_time(), order.update_time()),
               time_or_none(order.has_customer_erase_time(), order.customer_erase_time()));
  }
  insert.flush();
}

void insert_items(Session& session, OrderSpan orders) {
  MultiInsert insert(
      session,
      "INSERT INTO order_items (order_id, n, present, item_id, sku, name, quantity,"
      " unit_price_minor, tax_minor, discount_minor, total_minor, shipment_method_id)"
      " VALUES");
  for (const StoredOrder* stored : orders) {
    int n = 0;
    for (const pb::Item& item : stored->order->items()) {
      const std::int64_t present = bit(item.has_unit_price(), kUnitPrice) |
                                   bit(item.has_tax(), kTax) | bit(item.has_discount(), kDiscount) |
                                   bit(item.has_total(), kLineTotal);
      insert.row(stored->id, n++, present, Text{item.item_id()}, Text{item.sku()},
                 Text{item.name()}, item.quantity(), item.unit_price().amount_minor(),
                 item.tax().amount_minor(), item.discount().amount_minor(),
                 item.total().amount_minor(), Blob{item.shipment_method_id()});
    }
  }
  insert.flush();
}

void insert_adjustments(Session& session, OrderSpan orders) {
  MultiInsert insert(session,
                     "INSERT INTO order_adjustments (order_id, n, present, label, amount_minor)"
                     " VALUES");
  for (const StoredOrder* stored : orders) {
    int n = 0;
    for (const pb::Adjustment& adjustment : stored->order->totals().adjustments()) {
      insert.row(stored->id, n++, adjustment.has_amount() ? 1 : 0, Text{adjustment.label()},
                 adjustment.amount().amount_minor());
    }
  }
  insert.flush();
}

void insert_addresses(Session& session, OrderSpan orders) {
  MultiInsert insert(session,
                     "INSERT INTO order_addresses (order_id, kind, name, company, line1, line2,"
                     " city, region, postal_code, country_code, phone) VALUES");
  for (const StoredOrder* stored : orders) {
    const auto add = [&](std::int64_t kind, const pb::Address& address) {
      insert.row(stored->id, kind, Text{address.name()}, Text{address.company()},
                 Text{address.line1()}, Text{address.line2()}, Text{address.city()},
                 Text{address.region()}, Text{address.postal_code()}, Text{address.country_code()},
                 Text{address.phone()});
    };
    const pb::Order& order = stored->order;
    if (order.has_billing_address()) add(kBilling, order.billing_address());
    if (order.has_shipping_address()) add(kShippingAddress, order.shipping_address());
  }
  insert.flush();
}

void insert_labels(Session& session, OrderSpan orders) {
  MultiInsert insert(session, "INSERT INTO order_labels (order_id, label_key, value) VALUES");
  for (const StoredOrder* stored : orders) {
    for (const auto& [key, value] : stored->order->labels()) {
      insert.row(stored->id, Blob{key}, Blob{value});
    }
  }
  insert.flush();
}

/// Deletes all rows of these orders in a child table.
void delete_children(Session& session, Fixed table, OrderSpan orders) {
  const std::vector<Uuid> ids = ids_of(orders);
  in_chunks(std::span<const Uuid>(ids), [&](std::span<const Uuid> chunk) {
    Sql sql = session.sql();
    append_delete(sql, table) << " WHERE order_id IN (";
    session.execute(sql.ids(chunk) << ")");
  });
}

void read_items(Session& session, const ById& orders) {
  read_rows(session, orders,
            "SELECT order_id, present, item_id, sku, name, quantity, unit_price_minor, tax_minor,"
            " discount_minor, total_minor, shipment_method_id FROM order_items",
            "order_id, n", 11, [](Rows& row, pb::Order& order) {
              pb::Item& item = *order.add_items();
              const std::int64_t present = row.number(1);
              item.set_item_id(std::move(row.text(2)));
              item.set_sku(std::move(row.text(3)));
              item.set_name(std::move(row.text(4)));
              item.set_quantity(row.number(5));
              const auto money = [&](std::int64_t flag, std::size_t column, auto field) {
                if ((present & flag) != 0) {
                  set_money(row.number(column), order.currency_code(), (item.*field)());
                }
              };
              money(kUnitPrice, 6, &pb::Item::mutable_unit_price);
              money(kTax, 7, &pb::Item::mutable_tax);
              money(kDiscount, 8, &pb::Item::mutable_discount);
              money(kLineTotal, 9, &pb::Item::mutable_total);
              item.set_shipment_method_id(std::move(row.text(10)));
            });
}

void read_adjustments(Session& session, const ById& orders) {
  read_rows(session, orders, "SELECT order_id, present, label, amount_minor FROM order_adjustments",
            "order_id, n", 4, [](Rows& row, pb::Order& order) {
              pb::Adjustment& adjustment = *order.mutable_totals()->add_adjustments();
              adjustment.set_label(std::move(row.text(2)));
              if (row.number(1) != 0) {
                set_money(row.number(3), order.currency_code(), adjustment.mutable_amount());
              }
            });
}

void read_addresses(Session& session, const ById& orders) {
  read_rows(session, orders,
            "SELECT order_id, kind, name, company, line1, line2, city, region, postal_code,"
            " country_code, phone FROM order_addresses",
            "order_id, kind", 11, [](Rows& row, pb::Order& order) {
              pb::Address& address = row.number(1) == kBilling ? *order.mutable_billing_address()
                                                               : *order.mutable_shipping_address();
              address.set_name(std::move(row.text(2)));
              address.set_company(std::move(row.text(3)));
              address.set_line1(std::move(row.text(4)));
              address.set_line2(std::move(row.text(5)));
              address.set_city(std::move(row.text(6)));
              address.set_region(std::move(row.text(7)));
              address.set_postal_code(std::move(row.text(8)));
              address.set_country_code(std::move(row.text(9)));
              address.set_phone(std::move(row.text(10)));
            });
}

void read_labels(Session& session, const ById& orders) {
  read_rows(session, orders, "SELECT order_id, label_key, value FROM order_labels",
            "order_id, label_key", 3, [](Rows& row, pb::Order& order) {
              (*order.mutable_labels())[row.text(1)] = std::move(row.text(2));
            });
}

/// What changes most often, alone: half as much for the database to read.
void update_numbers(Session& session, OrderSpan orders) {
  MultiInsert update(
      session, "INSERT INTO orders (id, version, update_time, invoice_number, note_count) VALUES",
      [](Sql& sql) {
        sql.overwrite("id", {"version", "update_time", "invoice_number", "note_count"});
      });
  for (const StoredOrder* stored : orders) {
    const pb::Order& order = stored->order;
    update.row(stored->id, stored->version,
               time_or_none(order.has_update_time(), order.update_time()),
               Blob{order.invoice_number()}, order.note_count());
  }
  update.flush();
}

}  // namespace

Micros to_micros(const Timestamp& time) { return time.seconds() * 1'000'000 + time.nanos() / 1000; }

Micros time_or_none(bool has, const Timestamp& time) { return has ? to_micros(time) : kNoTime; }

Timestamp to_timestamp(Micros micros) {
  // Rounds down also before 1970.
  std::int64_t seconds = micros / 1'000'000;
  std::int64_t rest = micros % 1'000'000;
  if (rest < 0) {
    rest += 1'000'000;
    --seconds;
  }
  Timestamp time;
  time.set_seconds(seconds);
  time.set_nanos(static_cast<std::int32_t>(rest * 1000));
  return time;
}

void set_money(std::int64_t minor, const std::string& currency_code, pb::Money* money) {
  money->set_currency_code(currency_code);
  money->set_amount_minor(minor);
}

std::string email_key(std::string_view email) {
  std::string key(email);
  for (char& c : key) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return key;
}

void insert_orders(Session& session, OrderSpan orders) {
  insert_heads(session, orders);
  insert_items(session, orders);
  insert_adjustments(session, orders);
  insert_addresses(session, orders);
  insert_labels(session, orders);
}

// The rows exist and are locked, and `orders` has no other unique key: an upsert can only
// overwrite. It takes a third of the time of an UPDATE with a CASE per column.
void update_heads(Session& session, OrderSpan orders, bool states) {
  if (!states) return update_numbers(session, orders);
  MultiInsert update(
      session,
      "INSERT INTO orders (id, version, update_time, invoice_number, note_count, present, state_id,"
      " cancellation_status, cancellation_reason, cancellation_time, cancellation_details)"
      " VALUES",
      [](Sql& sql) {
        sql.overwrite("id", {"version", "update_time", "invoice_number", "note_count", "present",
                             "state_id", "cancellation_status", "cancellation_reason",
                             "cancellation_time", "cancellation_details"});
      });
  for (const StoredOrder* stored : orders) {
    const pb::Order& order = stored->order;
    const pb::Cancellation& cancellation = order.cancellation();
    const std::string details = serialized_details(cancellation);
    update.row(stored->id, stored->version,
               time_or_none(order.has_update_time(), order.update_time()),
               Blob{order.invoice_number()}, order.note_count(), present_bits(order),
               Blob{order.state_id()}, static_cast<int>(cancellation.status()),
               Text{cancellation.reason()},
               time_or_none(cancellation.has_complete_time(), cancellation.complete_time()),
               Blob{details});
  }
  update.flush();
}

void update_customers(Session& session, OrderSpan orders) {
  if (orders.empty()) return;
  MultiInsert update(session,
                     "INSERT INTO orders (id, customer_id, customer_name, customer_email,"
                     " customer_phone, email_key, customer_erase_time) VALUES",
                     [](Sql& sql) {
                       sql.overwrite("id", {"customer_id", "customer_name", "customer_email",
                                            "customer_phone", "email_key", "customer_erase_time"});
                     });
  for (const StoredOrder* stored : orders) {
    const pb::Customer& customer = stored->order->customer();
    const std::string key = email_key(customer.email());
    update.row(stored->id, Text{customer.customer_id()}, Text{customer.name()},
               Text{customer.email()}, Text{customer.phone()}, Blob{key},
               time_or_none(stored->order->has_customer_erase_time(),
                            stored->order->customer_erase_time()));
  }
  update.flush();
  delete_children(session, "order_addresses", orders);
  insert_addresses(session, orders);
}

void update_currencies(Session& session, OrderSpan orders) {
  MultiInsert update(session, "INSERT INTO orders (id, currency) VALUES",
                     [](Sql& sql) { sql.overwrite("id", {"currency"}); });
  for (const StoredOrder* stored : orders) {
    update.row(stored->id, Text{stored->order->currency_code()});
  }
  update.flush();
}

void update_labels(Session& session, OrderSpan orders) {
  if (orders.empty()) return;
  delete_children(session, "order_labels", orders);
  insert_labels(session, orders);
}

void append_head_columns(Sql& sql) {
  sql << "o.id, o.version, o.present, o.order_number, o.state_id, o.invoice_number, o.customer_id,"
         " o.customer_name, o.customer_email, o.customer_phone, o.currency, o.prices_include_tax,"
         " o.items_minor, o.shipping_minor, o.shipping_tax_minor, o.total_minor, o.item_count,"
         " o.note_count, o.cancellation_status, o.cancellation_reason, o.cancellation_time,"
         " o.cancellation_details, o.order_time, o.create_time, o.update_time,"
         " o.customer_erase_time";
}

std::shared_ptr<StoredOrder> read_head(Rows& row) {
  auto stored = std::make_shared<StoredOrder>();
  stored->id = row.id(0);
  stored->version = row.number(1);
  const std::int64_t present = row.number(2);
  pb::Order& order = stored->order;
  order.set_order_id(stored->id.to_string());
  order.set_etag(row.text(1));
  order.set_order_number(std::move(row.text(3)));
  order.set_state_id(std::move(row.text(4)));
  order.set_invoice_number(std::move(row.text(5)));
  if ((present & kCustomer) != 0) {
    pb::Customer& customer = *order.mutable_customer();
    customer.set_customer_id(std::move(row.text(6)));
    customer.set_name(std::move(row.text(7)));
    customer.set_email(std::move(row.text(8)));
    customer.set_phone(std::move(row.text(9)));
  }
  order.set_currency_code(std::move(row.text(10)));
  order.set_prices_include_tax(row.number(11) != 0);
  if ((present & kTotals) != 0) {
    pb::Totals& totals = *order.mutable_totals();
    const auto money = [&](std::int64_t flag, std::size_t column, auto field) {
      if ((present & flag) != 0)
        set_money(row.number(column), order.currency_code(), (totals.*field)());
    };
    money(kItemsTotal, 12, &pb::Totals::mutable_items);
    money(kShipping, 13, &pb::Totals::mutable_shipping);
    money(kShippingTax, 14, &pb::Totals::mutable_shipping_tax);
    money(kTotal, 15, &pb::Totals::mutable_total);
  }
  order.set_item_count(static_cast<std::int32_t>(row.number(16)));
  order.set_note_count(static_cast<std::int32_t>(row.number(17)));
  if ((present & kCancellation) != 0) {
    pb::Cancellation& cancellation = *order.mutable_cancellation();
    cancellation.set_status(static_cast<pb::CancellationStatus>(row.number(18)));
    cancellation.set_reason(std::move(row.text(19)));
    const Micros time = row.number(20);
    if (time != kNoTime) *cancellation.mutable_complete_time() = to_timestamp(time);
    set_details(row.text(21), cancellation);
  }
  set_time(row.number(22), &pb::Order::mutable_order_time, order);
  set_time(row.number(23), &pb::Order::mutable_create_time, order);
  set_time(row.number(24), &pb::Order::mutable_update_time, order);
  set_time(row.number(25), &pb::Order::mutable_customer_erase_time, order);
  return stored;
}

void read_summary_children(Session& session, std::span<const std::shared_ptr<StoredOrder>> orders) {
  if (orders.empty()) return;
  const ById by_id(orders);
  read_addresses(session, by_id);
  read_adjustments(session, by_id);
}

void read_all_children(Session& session, std::span<const std::shared_ptr<StoredOrder>> orders) {
  if (orders.empty()) return;
  const ById by_id(orders);
  read_items(session, by_id);
  read_addresses(session, by_id);
  read_adjustments(session, by_id);
  read_labels(session, by_id);
  read_payments(session, by_id);
  read_shipments(session, by_id);  // needs the items
}

}  // namespace orderd::storage
