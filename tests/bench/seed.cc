#include "tests/bench/seed.h"

#include <cstdio>
#include <optional>
#include <stdexcept>

#include "client/client.h"

namespace orderd::bench {
namespace {

namespace pb = ::orders::v1;

constexpr std::int64_t kFirstSecond = 1'700'000'000;
constexpr const char* kStates[] = {"new", "new", "completed", "new", "suspended"};
constexpr const char* kMethods[] = {"credit_card", "voucher", "bank_transfer"};

void set_amount(pb::Money* money, std::int64_t minor) {
  money->set_currency_code("EUR");
  money->set_amount_minor(minor);
}

}  // namespace

pb::ImportOrdersRequest generated_order(std::uint64_t n, int items) {
  pb::ImportOrdersRequest request;
  pb::NewOrder& order = *request.mutable_order();
  order.set_order_number("bench-" + std::to_string(n));
  // Bits are mixed so that neighbours differ; the same n gives the same order.
  const std::uint64_t mix = (n + 1) * 0x9e3779b97f4a7c15u >> 16;
  order.mutable_customer()->set_name("Customer " + std::to_string(mix % 20'011));
  order.mutable_customer()->set_email("customer" + std::to_string(mix % 20'011) + "@example.com");
  order.mutable_shipping_address()->set_line1("Harbour Street " + std::to_string(mix % 97));
  order.mutable_shipping_address()->set_city("Porto");
  order.mutable_shipping_address()->set_country_code("PT");
  order.mutable_order_time()->set_seconds(kFirstSecond +
                                          static_cast<std::int64_t>(mix % 40'000'000));
  std::int64_t sum = 490;
  for (int i = 0; i < items; ++i) {
    pb::Item& item = *order.add_items();
    item.set_item_id(std::to_string(i + 1));
    item.set_sku("SKU-" + std::to_string((mix >> i % 8) % 5'003));
    item.set_name("A thing that somebody ordered");
    item.set_quantity(static_cast<std::int64_t>(mix >> i % 8) % 4 + 1);
    const std::int64_t price = static_cast<std::int64_t>(mix >> (i % 8 + 3)) % 10'000;
    set_amount(item.mutable_unit_price(), price);
    sum += item.quantity() * price;
  }
  set_amount(order.mutable_totals()->mutable_shipping(), 490);
  (*order.mutable_labels())["channel"] = mix % 3 == 0 ? "app" : "web";
  request.set_state_id(kStates[mix % 5]);
  for (int i = 0; i < 2; ++i) {
    request.add_notes()->set_body("Please ring twice; the first bell does not work.");
  }
  // The first item has been sent, the others are about to be.
  for (int i = 0; i < 2; ++i) request.add_shipments()->set_method_id("standard");
  for (const pb::Item& item : order.items()) {
    const bool first = item.item_id() == "1";
    pb::ImportedShipmentLine& line = *request.mutable_shipments(first ? 0 : 1)->add_lines();
    line.set_item_id(item.item_id());
    line.set_quantity(item.quantity());
    line.set_delivery_state_id(first ? "shipped" : "confirmed");
  }
  request.mutable_shipments(0)->add_tracking_numbers("track-" + std::to_string(n));
  pb::ImportedPayment& payment = *request.add_payments();
  payment.set_gateway_account("external");
  payment.set_gateway_reference(order.order_number() + "/1");
  payment.set_description(kMethods[mix % 3]);
  set_amount(payment.mutable_captured(), sum);
  return request;
}

std::vector<std::string> seed(const std::string& server, std::uint64_t count, std::uint64_t first,
                              int items) {
  client::Options options;
  options.server = server;
  const client::Client client(options);
  std::vector<std::string> ids;
  ids.reserve(count);
  std::uint64_t next = 0;
  const absl::Status status = client.import_orders(
      [&]() -> std::optional<pb::ImportOrdersRequest> {
        if (next == count) return std::nullopt;
        return generated_order(first + next++, items);
      },
      [&](const client::ImportAnswer& answer) {
        if (answer.response.order_id().empty()) {
          throw std::runtime_error("an order was refused: " + answer.response.error().message());
        }
        ids.push_back(answer.response.order_id());
        if (ids.size() % 5'000 == 0)
          std::fprintf(stderr, "\rseeded %zu of %llu orders", ids.size(),
                       static_cast<unsigned long long>(count));
      });
  if (!status.ok()) throw std::runtime_error("seeding failed: " + std::string(status.message()));
  std::fprintf(stderr, "\rseeded %zu orders%20s\n", ids.size(), "");
  return ids;
}

}  // namespace orderd::bench
