#include <google/protobuf/util/message_differencer.h>

#include <random>

#include "tests/support/storage_test.h"

namespace orderd::test {
namespace {

/// `characters` characters, the first of which is `start`, the rest four bytes each.
std::string long_text(std::string start, std::size_t characters) {
  std::size_t length = start.size();
  std::string text = std::move(start);
  for (; length < characters; ++length) text += "\U0001F600";
  return text;
}

pb::Money money(std::int64_t minor) {
  pb::Money result;
  result.set_currency_code("EUR");
  result.set_amount_minor(minor);
  return result;
}

constexpr char kNasty[] = "'); DROP TABLE orders; -- : ? \\ \" ' :x /* %s {{x}} `\t\n";

pb::Address rich_address(const std::string& name) {
  pb::Address address;
  address.set_name(long_text(name + kNasty, 255));
  address.set_company(long_text("company", 255));
  address.set_line1("1 Main St. :a");
  address.set_line2("'quoted'");
  address.set_city("S\xc3\xa3o Paulo");
  address.set_region(long_text("", 255));
  address.set_postal_code(long_text("", 32));
  address.set_country_code("BR");
  address.set_phone(long_text("+", 64));
  return address;
}

}  // namespace

StoredOrder rich_order() {
  StoredOrder stored;
  stored.id = Uuid::generate();
  stored.version = 1;
  pb::Order& order = stored.order;
  order.set_order_id(stored.id.to_string());
  order.set_etag("1");
  order.set_order_number(long_text(stored.id.to_string() + "':?\\", 64));
  order.set_state_id("new");
  order.set_invoice_number(long_text("I" + stored.id.to_string(), 64));
  pb::Customer& customer = *order.mutable_customer();
  customer.set_customer_id(long_text("", 255));
  customer.set_name(long_text(kNasty, 255));
  customer.set_email(long_text("Ann:O'Hara@", 254));
  customer.set_phone(long_text("", 64));
  *order.mutable_billing_address() = rich_address("billing");
  *order.mutable_shipping_address() = rich_address("shipping");
  for (int i = 0; i < 12; ++i) {
    pb::Item& item = *order.add_items();
    item.set_item_id(i == 0 ? long_text("", 64) : std::to_string(i + 1));
    item.set_sku(long_text(kNasty, 128));
    item.set_name(long_text(kNasty, 512));
    item.set_quantity(1'000'000'000 - i);
    *item.mutable_unit_price() = money(5'000'000'000 + i);
    *item.mutable_tax() = money(i);
    *item.mutable_discount() = money(1);
    *item.mutable_total() = money(INT64_MAX - i);
    if (i % 2 == 0) item.set_shipment_method_id(std::string(64, 'm'));
  }
  order.set_item_count(12);
  for (int i = 0; i < 3; ++i) {
    pb::Shipment& shipment = *order.add_shipments();
    shipment.set_shipment_id(Uuid::generate().to_string());
    if (i != 1) shipment.set_method_id(std::string(64, 'm'));
    for (int n = 0; n < 100 && i != 2; ++n) {
      shipment.add_tracking_numbers()->set_number(
          long_text(std::to_string(i) + "/" + std::to_string(n) + kNasty, 128));
    }
    for (int n = i * 4; n < i * 4 + 4; ++n) {
      pb::ShipmentLine& line = *shipment.add_lines();
      line.set_line_id(Uuid::generate().to_string());
      line.set_item_id(order.items(n).item_id());
      line.set_quantity(order.items(n).quantity());
      line.set_delivery_state_id(std::string(64, 'd'));
      if (n > 0) *line.mutable_delivery_state_time() = storage::to_timestamp(n);
    }
  }
  order.set_currency_code("EUR");
  order.set_prices_include_tax(true);
  pb::Totals& totals = *order.mutable_totals();
  *totals.mutable_items() = money(INT64_MAX);
  *totals.mutable_shipping() = money(1);
  *totals.mutable_shipping_tax() = money(0);
  *totals.mutable_total() = money(INT64_MAX - 1);
  for (int i = 0; i < 3; ++i) {
    pb::Adjustment& adjustment = *totals.add_adjustments();
    adjustment.set_label(long_text(kNasty, 255));
    *adjustment.mutable_amount() = money(INT64_MIN + i);
  }
  for (int i = 0; i < 64; ++i) {
    (*order.mutable_labels())[long_text("k" + std::to_string(i), 63)] = long_text(kNasty, 255);
  }
  for (int i = 0; i < 3; ++i) {
    pb::Payment& payment = *order.add_payments();
    payment.set_payment_id(Uuid::generate().to_string());
    payment.set_gateway_account("external");
    payment.set_gateway_reference(long_text(payment.payment_id(), 255));
    payment.set_description(long_text(kNasty, 255));
    payment.set_status(i == 0 ? pb::PAYMENT_STATUS_UNSYNCED : pb::PAYMENT_STATUS_CAPTURED);
    if (i == 0) continue;  // its amounts are not known yet
    *payment.mutable_authorized() = money(10);
    *payment.mutable_captured() = money(9);
    *payment.mutable_refunded() = money(0);
    *payment.mutable_voided() = money(1);
    *payment.mutable_capturable() = money(0);
    *payment.mutable_refundable() = money(9);
    *payment.mutable_expire_time() = storage::to_timestamp(1'700'000'000'654'321);
    pb::GatewayCapabilities& capabilities = *payment.mutable_capabilities();
    if (i == 1) continue;  // a gateway that can't do anything
    capabilities.set_multi_capture(true);
    capabilities.set_max_captures(50);
    capabilities.set_partial_capture(true);
    capabilities.set_partial_refund(true);
    capabilities.set_refund_before_final_capture(true);
    capabilities.set_void_after_capture(true);
    capabilities.set_concurrent_operations(true);
    capabilities.set_lookup_by_attempt(true);
    capabilities.mutable_key_lifetime()->set_seconds(86'400);
    for (int n = 0; n < 3; ++n) {
      *payment.add_open_transactions() = rich_transaction(payment.payment_id());
    }
    payment.set_attention(true);
    payment.set_discrepancy(true);
    payment.set_capture_count(INT32_MAX);
    payment.set_revision(INT64_MAX);
  }
  order.set_note_count(2);
  *order.mutable_customer_erase_time() = storage::to_timestamp(1'700'000'000'123'456);
  pb::Cancellation& cancellation = *order.mutable_cancellation();
  cancellation.set_status(pb::CANCELLATION_STATUS_COMPLETED);
  cancellation.set_reason(long_text(kNasty, 1000));
  *cancellation.mutable_complete_time() = storage::to_timestamp(1);
  cancellation.set_target_state_id(std::string(64, 's'));
  cancellation.set_notify_customer(true);
  cancellation.set_include_shipped(true);
  *cancellation.mutable_start_time() = storage::to_timestamp(-1);
  cancellation.set_pass(INT32_MAX);
  for (int i = 0; i < 3; ++i) {
    pb::CancellationLeg& leg = *cancellation.add_legs();
    if (i == 0) continue;  // nothing set
    leg.set_payment_id(order.payments(i).payment_id());
    leg.set_kind(pb::TRANSACTION_KIND_REFUND);
    *leg.mutable_amount() = money(INT64_MAX);
    leg.set_status(pb::TRANSACTION_STATUS_PENDING);
    leg.set_transaction_id(Uuid::generate().to_string());
    leg.set_reason(long_text(kNasty, 255));
    leg.set_initiated(true);
    leg.set_pass(i);
  }
  *order.mutable_order_time() = storage::to_timestamp(253'402'300'799'999'999);
  *order.mutable_create_time() = storage::to_timestamp(0);
  *order.mutable_update_time() = storage::to_timestamp(1'700'000'000'123'456);
  return stored;
}

storage::EventRow event_row(const Uuid& order_id, std::int64_t version, int index,
                            const std::string& text) {
  pb::OrderEvent event;
  event.set_order_id(order_id.to_string());
  event.set_etag(std::to_string(version));
  event.mutable_invoice_number_changed()->set_after(text);
  return {order_id,
          version,
          index,
          static_cast<int>(event.payload_case()),
          1'700'000'000'000'000,
          event.SerializeAsString()};
}

pb::PaymentTransaction rich_transaction(const std::string& payment_id) {
  pb::PaymentTransaction transaction;
  transaction.set_transaction_id(Uuid::generate().to_string());
  transaction.set_payment_id(payment_id);
  transaction.set_kind(pb::TRANSACTION_KIND_CHARGEBACK_REVERSAL);
  transaction.set_status(pb::TRANSACTION_STATUS_UNKNOWN);
  *transaction.mutable_amount() = money(INT64_MIN);
  transaction.set_gateway_transaction_id(long_text(kNasty, 255));
  transaction.set_reason("GATEWAY_UNREACHABLE");
  transaction.set_description(long_text(kNasty, 1000));
  transaction.set_final_capture(true);
  transaction.set_foreign(true);
  transaction.set_actor(long_text(kNasty, 255));
  transaction.set_request_id(Uuid::generate().to_string());
  *transaction.mutable_create_time() = storage::to_timestamp(1'700'000'000'000'001);
  *transaction.mutable_complete_time() = storage::to_timestamp(-1);
  transaction.set_released_by(Uuid::generate().to_string());
  *transaction.mutable_missing_time() = storage::to_timestamp(0);
  return transaction;
}

pb::Email rich_email(const Uuid& order_id) {
  pb::Email email;
  email.set_email_id(Uuid::generate().to_string());
  email.set_order_id(order_id.to_string());
  email.set_kind(pb::EMAIL_KIND_ORDER_CANCELED);
  email.set_status(pb::EMAIL_STATUS_DEAD);
  email.set_recipient(long_text("Ann:O'Hara@", 254));
  email.set_message_id(long_text("<" + email.email_id() + kNasty, 512));
  email.set_tries(INT32_MAX);
  *email.mutable_create_time() = storage::to_timestamp(1'700'000'000'000'001);
  *email.mutable_next_time() = storage::to_timestamp(0);
  *email.mutable_send_time() = storage::to_timestamp(-1);
  email.set_last_error(long_text(kNasty, 255));
  email.set_last_code(INT32_MIN);
  return email;
}

StoredOrder plain_order(Micros create_time) {
  StoredOrder stored;
  stored.id = Uuid::generate();
  stored.version = 1;
  pb::Order& order = stored.order;
  order.set_order_id(stored.id.to_string());
  order.set_etag("1");
  order.set_order_number("N" + stored.id.to_string());
  order.set_state_id("new");
  *order.mutable_order_time() = storage::to_timestamp(create_time);
  *order.mutable_create_time() = storage::to_timestamp(create_time);
  *order.mutable_update_time() = storage::to_timestamp(create_time);
  return stored;
}

std::map<Claim, ClaimHolder> claims_of(const StoredOrder& stored) {
  const pb::Order& order = stored.order;
  std::map<Claim, ClaimHolder> claims;
  claims[{ClaimKind::kOrderNumber, order.order_number()}] = {stored.id, {}};
  if (!order.invoice_number().empty()) {
    claims[{ClaimKind::kInvoiceNumber, order.invoice_number()}] = {stored.id, {}};
  }
  for (const pb::Payment& payment : order.payments()) {
    claims[{ClaimKind::kPaymentReference,
            payment_claim(payment.gateway_account(), payment.gateway_reference())}] = {stored.id,
                                                                                       {}};
  }
  return claims;
}

RequestKey random_request_key() {
  RequestKey key;
  const Uuid a = Uuid::generate();
  const Uuid b = Uuid::generate();
  std::copy(a.bytes.begin(), a.bytes.end(), key.bytes.begin());
  std::copy(b.bytes.begin(), b.bytes.end(), key.bytes.begin() + 16);
  return key;
}

testing::AssertionResult same(const google::protobuf::Message& a,
                              const google::protobuf::Message& b) {
  std::string report;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&report);
  if (differencer.Compare(a, b)) return testing::AssertionSuccess();
  return testing::AssertionFailure() << report.substr(0, 2000);
}

}  // namespace orderd::test
