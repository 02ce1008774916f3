#include "server/orders/create.h"

#include <openssl/rand.h>

#include <array>
#include <stdexcept>
#include <unordered_set>

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include "server/orders/create_payments.h"
#include "server/orders/fields.h"
#include "server/orders/methods.h"
#include "server/orders/money.h"
#include "server/orders/shipments.h"
#include "server/orders/text.h"
#include "server/orders/utf8.h"

namespace orderd::rules {
namespace {

constexpr int kMaxItems = 1000;
constexpr int kMaxAdjustments = 100;
constexpr std::int64_t kMaxQuantity = 1'000'000'000;
constexpr const char* kTooBig = "the amount does not fit into 64 bits";

/// Adds a violation if the caller gives a computed amount and gives it wrong.
void check_computed(bool given, const pb::Money& money, std::optional<std::int64_t> computed,
                    const std::string& field, std::string_view formula, MoneyCheck& check,
                    errors::Violations& violations) {
  if (!given) return;
  auto amount = check.amount(money, field);
  if (amount && computed && *amount != *computed) {
    violations.add(field + ".amount_minor",
                   fmt::format("must be {} ({}), or absent", *computed, formula));
  }
}

/// Zero if absent; nothing if something is wrong with it.
std::optional<std::int64_t> amount_or_zero(bool given, const pb::Money& money,
                                           const std::string& field, MoneyCheck& check) {
  return given ? check.amount(money, field) : 0;
}

void check_no_tax(bool prices_include_tax, std::optional<std::int64_t> tax,
                  const std::string& field, errors::Violations& violations) {
  if (prices_include_tax && tax && *tax != 0) {
    violations.add(field + ".amount_minor", "must be 0, since prices_include_tax is true");
  }
}

/// The line's total, unless something is wrong with it.
std::optional<std::int64_t> check_item(const pb::Item& item, bool prices_include_tax,
                                       const std::string& field, MoneyCheck& check,
                                       errors::Violations& violations) {
  check_text(item.item_id(), 0, 64, field + ".item_id", violations);
  check_text(item.sku(), 1, 128, field + ".sku", violations);
  check_text(item.name(), 0, 512, field + ".name", violations);
  check_text(item.shipment_method_id(), 0, 64, field + ".shipment_method_id", violations);
  const bool quantity_right = item.quantity() >= 1 && item.quantity() <= kMaxQuantity;
  if (!quantity_right) violations.add(field + ".quantity", "must be 1 to 1,000,000,000");

  std::optional<std::int64_t> price;
  if (item.has_unit_price()) {
    price = check.amount(item.unit_price(), field + ".unit_price");
  } else {
    violations.add(field + ".unit_price", "must be given; it may be 0");
  }
  const auto tax = amount_or_zero(item.has_tax(), item.tax(), field + ".tax", check);
  const auto discount =
      amount_or_zero(item.has_discount(), item.discount(), field + ".discount", check);
  check_no_tax(prices_include_tax, tax, field + ".tax", violations);

  std::optional<std::int64_t> total;
  if (quantity_right && price) {
    const auto gross = multiply(item.quantity(), *price);
    if (!gross) {
      violations.add(field + ".unit_price.amount_minor",
                     fmt::format("quantity x unit_price: {}", kTooBig));
    } else if (discount && *discount > *gross) {
      violations.add(field + ".discount.amount_minor",
                     fmt::format("must be at most {} (quantity x unit_price)", *gross));
    } else if (discount && tax) {
      total = add(*gross - *discount, *tax);
      if (!total) violations.add(field + ".tax.amount_minor", fmt::format("total: {}", kTooBig));
    }
  }
  check_computed(item.has_total(), item.total(), total, field + ".total",
                 "quantity x unit_price - discount + tax", check, violations);
  return total;
}

/// The sum of the lines' totals, unless something is wrong with one of them.
std::optional<std::int64_t> check_items(const pb::NewOrder& order, const std::string& field,
                                        MoneyCheck& check, errors::Violations& violations) {
  if (order.items_size() > kMaxItems) {
    violations.add(field + ".items",
                   fmt::format("must be at most {} items, not {}", kMaxItems, order.items_size()));
    return std::nullopt;
  }
  std::optional<std::int64_t> sum = 0;
  bool summable = true;
  std::unordered_set<std::string_view> ids;
  for (int i = 0; i < order.items_size(); ++i) {
    const auto& item = order.items(i);
    const std::string path = fmt::format("{}.items[{}]", field, i);
    const auto total = check_item(item, order.prices_include_tax(), path, check, violations);
    summable = summable && total;
    if (sum && summable) {
      sum = add(*sum, *total);
      if (!sum) violations.add(field + ".items", fmt::format("the sum of totals: {}", kTooBig));
    }
    if (!item.item_id().empty() && !ids.insert(item.item_id()).second) {
      violations.add(path + ".item_id", "must differ from the item_id of every other item");
    }
  }
  return summable ? sum : std::nullopt;
}

/// The sum of the adjustments, unless something is wrong with one of them.
std::optional<std::int64_t> check_adjustments(const pb::Totals& totals, const std::string& field,
                                              MoneyCheck& check, errors::Violations& violations) {
  if (totals.adjustments_size() > kMaxAdjustments) {
    violations.add(field, fmt::format("must be at most {} adjustments, not {}", kMaxAdjustments,
                                      totals.adjustments_size()));
    return std::nullopt;
  }
  std::optional<std::int64_t> sum = 0;
  bool summable = true;
  for (int i = 0; i < totals.adjustments_size(); ++i) {
    const auto& adjustment = totals.adjustments(i);
    const std::string path = fmt::format("{}[{}]", field, i);
    check_text(adjustment.label(), 1, 255, path + ".label", violations);
    std::optional<std::int64_t> amount;
    if (adjustment.has_amount()) {
      amount = check.amount(adjustment.amount(), path + ".amount",
                            std::numeric_limits<std::int64_t>::min());
    } else {
      violations.add(path + ".amount", "must be given");
    }
    summable = summable && amount;
    if (sum && summable) {
      sum = add(*sum, *amount);
      if (!sum) violations.add(field, fmt::format("the sum of amounts: {}", kTooBig));
    }
  }
  return summable ? sum : std::nullopt;
}

void check_totals(const pb::NewOrder& order, std::optional<std::int64_t> items,
                  const std::string& field, MoneyCheck& check, errors::Violations& violations) {
  const auto& totals = order.totals();
  check_computed(totals.has_items(), totals.items(), items, field + ".items",
                 "the sum of the items' totals", check, violations);
  const auto shipping =
      amount_or_zero(totals.has_shipping(), totals.shipping(), field + ".shipping", check);
  const auto shipping_tax = amount_or_zero(totals.has_shipping_tax(), totals.shipping_tax(),
                                           field + ".shipping_tax", check);
  check_no_tax(order.prices_include_tax(), shipping_tax, field + ".shipping_tax", violations);
  const auto adjustments = check_adjustments(totals, field + ".adjustments", check, violations);

  std::optional<std::int64_t> total;
  if (items && shipping && shipping_tax && adjustments) {
    total = add(*items, *shipping);
    if (total) total = add(*total, *shipping_tax);
    if (total) total = add(*total, *adjustments);
    if (!total) {
      violations.add(field + ".total", kTooBig);
    } else if (*total < 0) {
      violations.add(field + ".total",
                     fmt::format("items + shipping + shipping_tax + adjustments is {}; it must not "
                                 "be negative",
                                 *total));
    }
  }
  check_computed(totals.has_total(), totals.total(), total, field + ".total",
                 "items + shipping + shipping_tax + adjustments", check, violations);
}

void compute_totals(pb::Order& order) {
  const std::string& currency = order.currency_code();
  if (currency.empty()) return;
  auto money = [&](std::int64_t minor) { return make_money(currency, minor); };
  std::int64_t items = 0;
  for (auto& item : *order.mutable_items()) {
    const std::int64_t total = item.quantity() * item.unit_price().amount_minor() -
                               item.discount().amount_minor() + item.tax().amount_minor();
    *item.mutable_tax() = money(item.tax().amount_minor());
    *item.mutable_discount() = money(item.discount().amount_minor());
    *item.mutable_total() = money(total);
    items += total;
  }
  auto& totals = *order.mutable_totals();
  std::int64_t adjustments = 0;
  for (const auto& adjustment : totals.adjustments()) {
    adjustments += adjustment.amount().amount_minor();
  }
  *totals.mutable_items() = money(items);
  *totals.mutable_shipping() = money(totals.shipping().amount_minor());
  *totals.mutable_shipping_tax() = money(totals.shipping_tax().amount_minor());
  *totals.mutable_total() = money(items + totals.shipping().amount_minor() +
                                  totals.shipping_tax().amount_minor() + adjustments);
}

bool is_empty(const google::protobuf::Message& message) { return message.ByteSizeLong() == 0; }

}  // namespace

absl::Status validate(const pb::CreateOrderRequest& request) {
  errors::Violations violations;
  check_request_id(request.request_id(), violations);
  if (request.has_order()) {
    check_new_order(request.order(), "order", violations);
    check_new_payments(request.order(), "order.payments", violations);
  } else {
    violations.add("order", "must be given");
  }
  return violations.status();
}

void check_new_order(const pb::NewOrder& order, const std::string& field,
                     errors::Violations& violations) {
  check_number(order.order_number(), 0, 64, field + ".order_number", violations);
  check_customer(order.customer(), field + ".customer", violations);
  check_address(order.billing_address(), field + ".billing_address", violations);
  check_address(order.shipping_address(), field + ".shipping_address", violations);
  check_labels(order.labels(), field + ".labels", violations);
  if (order.has_order_time()) check_time(order.order_time(), field + ".order_time", violations);

  MoneyCheck check(order_currency(order), violations);
  const auto items = check_items(order, field, check, violations);
  check_totals(order, items, field + ".totals", check, violations);
}

std::string order_currency(const pb::NewOrder& order) {
  auto listed = [](const pb::Money& money) {
    return currency_exponent(money.currency_code()).has_value();
  };
  for (const auto& item : order.items()) {
    for (const auto* money : {&item.unit_price(), &item.tax(), &item.discount(), &item.total()}) {
      if (listed(*money)) return money->currency_code();
    }
  }
  const auto& totals = order.totals();
  for (const auto* money :
       {&totals.items(), &totals.shipping(), &totals.shipping_tax(), &totals.total()}) {
    if (listed(*money)) return money->currency_code();
  }
  for (const auto& adjustment : totals.adjustments()) {
    if (listed(adjustment.amount())) return adjustment.amount().currency_code();
  }
  return "";
}

const pb::OrderState* initial_state(const Settings& settings) {
  for (const auto& [id, state] : settings.states) {
    if (state.initial() && !state.has_delete_time()) return &state;
  }
  return nullptr;
}

std::vector<std::string> item_ids(const pb::NewOrder& order) {
  std::vector<std::string> ids;
  std::unordered_set<std::string> taken;
  for (const auto& item : order.items()) taken.insert(item.item_id());
  int spare = order.items_size();
  for (int i = 0; i < order.items_size(); ++i) {
    std::string id = order.items(i).item_id();
    if (id.empty()) {
      id = std::to_string(i + 1);
      while (!taken.insert(id).second) id = std::to_string(++spare);
    }
    ids.push_back(std::move(id));
  }
  return ids;
}

void check_methods(const pb::NewOrder& order, const std::string& field, bool enabled_only,
                   const Settings& settings, Refusals& refusals) {
  for (int i = 0; i < order.items_size(); ++i) {
    const auto& method = order.items(i).shipment_method_id();
    if (method.empty()) continue;
    auto refusal = check_method(method, enabled_only, settings);
    if (refusal.ok()) continue;
    refusals.add(fmt::format("{}.items[{}].shipment_method_id", field, i), std::move(refusal));
  }
}

pb::Order build_order(const pb::NewOrder& order) {
  pb::Order built;
  built.set_order_number(std::string(trimmed(order.order_number())));
  if (!is_empty(order.customer())) *built.mutable_customer() = order.customer();
  if (!is_empty(order.billing_address()))
    *built.mutable_billing_address() = order.billing_address();
  if (!is_empty(order.shipping_address())) {
    *built.mutable_shipping_address() = order.shipping_address();
  }
  *built.mutable_items() = order.items();
  built.set_item_count(order.items_size());
  built.set_currency_code(order_currency(order));
  built.set_prices_include_tax(order.prices_include_tax());
  if (order.has_totals()) *built.mutable_totals() = order.totals();
  *built.mutable_labels() = order.labels();
  if (order.has_order_time()) {
    *built.mutable_order_time() = to_timestamp(to_micros(order.order_time()));
  }
  built.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_NONE);
  const auto ids = item_ids(order);
  for (int i = 0; i < built.items_size(); ++i) {
    built.mutable_items(i)->set_item_id(ids[static_cast<std::size_t>(i)]);
  }
  compute_totals(built);
  return built;
}

std::string generate_order_number(Micros now) {
  // Crockford's base 32: no I, L, O and U, which people misread.
  constexpr std::string_view kDigits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  std::array<unsigned char, 5> random{};
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) {
    throw std::runtime_error("no random numbers are to be had from the system");
  }
  std::uint64_t bits = 0;
  for (auto byte : random) bits = (bits << 8) | byte;

  // "2026-11-23T…"
  const std::string day = google::protobuf::util::TimeUtil::ToString(to_timestamp(now));
  std::string number = day.substr(2, 2) + day.substr(5, 2) + day.substr(8, 2) + "-";
  for (int shift = 35; shift >= 0; shift -= 5) number += kDigits[(bits >> shift) & 31];
  return number;
}

std::string order_number_of(const pb::NewOrder& order, std::string_view generated) {
  const auto given = trimmed(order.order_number());
  return std::string(given.empty() ? generated : given);
}

std::vector<Claim> create_claims(const pb::CreateOrderRequest& request,
                                 std::string_view order_number) {
  std::vector<Claim> claims = {{ClaimKind::kOrderNumber, std::string(order_number)}};
  for (const auto& payment : request.order().payments()) {
    claims.push_back(payment_claims(payment).front());
  }
  return claims;
}

Result create_order(const pb::CreateOrderRequest& request, const Uuid& order_id,
                    std::string_view order_number, const GatewayDirectory& gateways,
                    const Target& target, const Context& context) {
  if (!target.holders.empty() && target.holders[0]) {
    return errors::order_number_in_use(order_number, target.holders[0]->order_id.to_string());
  }
  const auto* state = initial_state(*context.settings);
  if (!state) return errors::internal();
  Refusals refusals;
  check_methods(request.order(), "order", true, *context.settings, refusals);

  Change change;
  auto& order = change.after.emplace(build_order(request.order()));
  order.set_order_id(order_id.to_string());
  attach_payments(request, order_id, gateways, target, context, change, refusals);
  if (!refusals.empty()) return refusals.status();

  order.set_order_number(std::string(order_number));
  order.set_state_id(state->state_id());
  *order.mutable_create_time() = to_timestamp(context.now);
  *order.mutable_update_time() = to_timestamp(context.now);
  if (!order.has_order_time()) *order.mutable_order_time() = order.create_time();
  ship_remaining(order, order_id, context.now, *context.settings);
  *change.events.emplace_back().mutable_order_created()->mutable_order() = order;
  return change;
}

}  // namespace orderd::rules
