#include "server/orders/create.h"

#include <limits>
#include <regex>
#include <set>

#include "tests/support/any_gateway.h"
#include "tests/unit/rules_fixture.h"

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;
using namespace std::string_literals;

constexpr auto kMax = std::numeric_limits<std::int64_t>::max();

pb::Item make_item(std::int64_t quantity, std::int64_t price, const std::string& currency = "EUR") {
  pb::Item item;
  item.set_sku("sku");
  item.set_name("A thing");
  item.set_quantity(quantity);
  *item.mutable_unit_price() = make_money(currency, price);
  return item;
}

pb::CreateOrderRequest make_request() {
  pb::CreateOrderRequest request;
  request.set_request_id(kUuid);
  auto& order = *request.mutable_order();
  order.set_order_number("A-1");
  *order.add_items() = make_item(2, 1999);
  *order.add_items() = make_item(1, 500);
  return request;
}

TEST(CreateValidation, AcceptsWhatIsRight) {
  EXPECT_TRUE(validate(make_request()).ok());
  pb::CreateOrderRequest empty;
  empty.mutable_order();
  EXPECT_TRUE(validate(empty).ok());
}

/// Each case changes one thing of a right request; `field` is what is wrong then, empty if nothing.
struct Case {
  std::string name;
  std::function<void(pb::CreateOrderRequest&)> alter;
  std::string field;
};

void run(const std::vector<Case>& cases) {
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    auto request = make_request();
    c.alter(request);
    if (c.field.empty()) {
      const auto status = validate(request);
      EXPECT_TRUE(status.ok()) << status.message();
    } else {
      EXPECT_ONLY_VIOLATION(validate(request), c.field);
    }
  }
}

/// A text at its limit, over it, with U+0000, and not UTF-8.
void add_text_cases(std::vector<Case>& cases, const std::string& field, int max,
                    std::function<void(pb::CreateOrderRequest&, const std::string&)> set) {
  cases.push_back({field + " at the limit", [=](auto& r) { set(r, repeated(kClef, max)); }, ""});
  cases.push_back(
      {field + " over the limit", [=](auto& r) { set(r, repeated(kClef, max + 1)); }, field});
  cases.push_back({field + " with U+0000", [=](auto& r) { set(r, "a\0b"s); }, field});
  cases.push_back({field + " not UTF-8", [=](auto& r) { set(r, "\xC3("); }, field});
}

TEST(CreateValidation, Texts) {
  std::vector<Case> cases;
  using R = pb::CreateOrderRequest;
  using S = const std::string&;
  add_text_cases(cases, "order.order_number", 64,
                 [](R& r, S s) { r.mutable_order()->set_order_number(s); });
  auto customer = [](R& r) { return r.mutable_order()->mutable_customer(); };
  add_text_cases(cases, "order.customer.customer_id", 255,
                 [=](R& r, S s) { customer(r)->set_customer_id(s); });
  add_text_cases(cases, "order.customer.name", 255, [=](R& r, S s) { customer(r)->set_name(s); });
  add_text_cases(cases, "order.customer.phone", 64, [=](R& r, S s) { customer(r)->set_phone(s); });
  for (bool billing : {true, false}) {
    const std::string field = billing ? "order.billing_address." : "order.shipping_address.";
    auto address = [=](R& r) {
      return billing ? r.mutable_order()->mutable_billing_address()
                     : r.mutable_order()->mutable_shipping_address();
    };
    add_text_cases(cases, field + "name", 255, [=](R& r, S s) { address(r)->set_name(s); });
    add_text_cases(cases, field + "company", 255, [=](R& r, S s) { address(r)->set_company(s); });
    add_text_cases(cases, field + "line1", 255, [=](R& r, S s) { address(r)->set_line1(s); });
    add_text_cases(cases, field + "line2", 255, [=](R& r, S s) { address(r)->set_line2(s); });
    add_text_cases(cases, field + "city", 255, [=](R& r, S s) { address(r)->set_city(s); });
    add_text_cases(cases, field + "region", 255, [=](R& r, S s) { address(r)->set_region(s); });
    add_text_cases(cases, field + "postal_code", 32,
                   [=](R& r, S s) { address(r)->set_postal_code(s); });
    add_text_cases(cases, field + "phone", 64, [=](R& r, S s) { address(r)->set_phone(s); });
    for (const auto* code : {"BR", "DE", ""}) {
      cases.push_back({code, [=](R& r) { address(r)->set_country_code(code); }, ""});
    }
    for (const auto* code : {"br", "B", "BRA", "B1", "\xC3\x84"}) {
      cases.push_back(
          {code, [=](R& r) { address(r)->set_country_code(code); }, field + "country_code"});
    }
  }
  auto item = [](R& r) { return r.mutable_order()->mutable_items(1); };
  add_text_cases(cases, "order.items[1].item_id", 64, [=](R& r, S s) { item(r)->set_item_id(s); });
  add_text_cases(cases, "order.items[1].sku", 128, [=](R& r, S s) { item(r)->set_sku(s); });
  add_text_cases(cases, "order.items[1].name", 512, [=](R& r, S s) { item(r)->set_name(s); });
  auto adjust = [](R& r) {
    auto* adjustment = r.mutable_order()->mutable_totals()->add_adjustments();
    *adjustment->mutable_amount() = make_money("EUR", 1);
    return adjustment;
  };
  add_text_cases(cases, "order.totals.adjustments[0].label", 255,
                 [=](R& r, S s) { adjust(r)->set_label(s); });
  cases.push_back({"no label", [=](R& r) { adjust(r); }, "order.totals.adjustments[0].label"});
  cases.push_back({"no sku", [=](R& r) { item(r)->clear_sku(); }, "order.items[1].sku"});
  cases.push_back({"no name", [=](R& r) { item(r)->clear_name(); }, ""});
  cases.push_back({"no order", [](R& r) { r.clear_order(); }, "order"});
  cases.push_back({"request id", [](R& r) { r.set_request_id("x"); }, "request_id"});
  run(cases);
}

TEST(CreateValidation, Emails) {
  const std::string field = "order.customer.email";
  std::vector<Case> cases;
  auto add = [&](const std::string& email, bool right) {
    cases.push_back({email,
                     [=](auto& r) { r.mutable_order()->mutable_customer()->set_email(email); },
                     right ? "" : field});
  };
  for (const auto& email : {"a@b"s, "ann+x@example.com"s, "\xC3\xA9@example.com"s,
                            std::string(242, 'x') + "@example.com"}) {
    add(email, true);
  }
  for (const auto& email : {"ann"s, "@b"s, "a@"s, "@"s, "a@b@c"s, "a b@c"s, "a@b\n"s,
                            std::string(243, 'x') + "@example.com"}) {
    add(email, false);
  }
  run(cases);
}

TEST(CreateValidation, Labels) {
  auto label = [](const std::string& key, const std::string& value) {
    return [=](pb::CreateOrderRequest& r) { (*r.mutable_order()->mutable_labels())[key] = value; };
  };
  auto many = [](int count) {
    return [=](pb::CreateOrderRequest& r) {
      for (int i = 0; i < count; ++i) (*r.mutable_order()->mutable_labels())[std::to_string(i)];
    };
  };
  run({
      {"longest", label(repeated(kClef, 63), repeated(kClef, 255)), ""},
      {"no key", label("", "v"), "order.labels[\"\"]"},
      {"long key", label(std::string(64, 'k'), ""),
       "order.labels[\"" + std::string(64, 'k') + "\"]"},
      {"long value", label("k", std::string(256, 'v')), "order.labels[\"k\"]"},
      {"U+0000", label("k", "\0"s), "order.labels[\"k\"]"},
      {"64", many(64), ""},
      {"65", many(65), "order.labels"},
  });
}

TEST(CreateValidation, Times) {
  auto time = [](std::int64_t seconds, std::int32_t nanos) {
    return [=](pb::CreateOrderRequest& r) {
      r.mutable_order()->mutable_order_time()->set_seconds(seconds);
      r.mutable_order()->mutable_order_time()->set_nanos(nanos);
    };
  };
  run({
      {"1970", time(0, 0), ""},
      {"9999", time(253'402'300'799, 999'999'999), ""},
      {"before 1970", time(-1, 0), "order.order_time"},
      {"10000", time(253'402'300'800, 0), "order.order_time"},
      {"nanos over", time(1, 1'000'000'000), "order.order_time"},
      {"nanos under", time(1, -1), "order.order_time"},
  });
}

TEST(CreateValidation, Amounts) {
  using R = pb::CreateOrderRequest;
  auto item = [](R& r) { return r.mutable_order()->mutable_items(0); };
  auto totals = [](R& r) { return r.mutable_order()->mutable_totals(); };
  auto eur = [](std::int64_t minor) { return make_money("EUR", minor); };
  // The first item: 2 x 1999; the order: 4498.
  run({
      {"quantity 0", [=](R& r) { item(r)->set_quantity(0); }, "order.items[0].quantity"},
      {"quantity -1", [=](R& r) { item(r)->set_quantity(-1); }, "order.items[0].quantity"},
      {"quantity 1e9", [=](R& r) { item(r)->set_quantity(1'000'000'000); }, ""},
      {"quantity 1e9 + 1", [=](R& r) { item(r)->set_quantity(1'000'000'001); },
       "order.items[0].quantity"},
      {"free", [=](R& r) { *item(r)->mutable_unit_price() = eur(0); }, ""},
      {"no price", [=](R& r) { item(r)->clear_unit_price(); }, "order.items[0].unit_price"},
      {"negative price", [=](R& r) { *item(r)->mutable_unit_price() = eur(-1); },
       "order.items[0].unit_price.amount_minor"},
      {"negative tax", [=](R& r) { *item(r)->mutable_tax() = eur(-1); },
       "order.items[0].tax.amount_minor"},
      {"negative discount", [=](R& r) { *item(r)->mutable_discount() = eur(-1); },
       "order.items[0].discount.amount_minor"},
      {"full discount", [=](R& r) { *item(r)->mutable_discount() = eur(3998); }, ""},
      {"more discount", [=](R& r) { *item(r)->mutable_discount() = eur(3999); },
       "order.items[0].discount.amount_minor"},
      {"largest line",
       [=](R& r) {
         r.mutable_order()->mutable_items()->RemoveLast();
         item(r)->set_quantity(1);
         *item(r)->mutable_unit_price() = eur(kMax);
       },
       ""},
      {"line overflows", [=](R& r) { *item(r)->mutable_unit_price() = eur(kMax / 2 + 1); },
       "order.items[0].unit_price.amount_minor"},
      {"tax overflows",
       [=](R& r) {
         item(r)->set_quantity(1);
         *item(r)->mutable_unit_price() = eur(kMax);
         *item(r)->mutable_tax() = eur(1);
       },
       "order.items[0].tax.amount_minor"},
      {"sum overflows", [=](R& r) { *item(r)->mutable_unit_price() = eur(kMax / 2); },
       "order.items"},
      {"item total right", [=](R& r) { *item(r)->mutable_total() = eur(3998); }, ""},
      {"item total wrong", [=](R& r) { *item(r)->mutable_total() = eur(3997); },
       "order.items[0].total.amount_minor"},
      {"item total with tax and discount",
       [=](R& r) {
         *item(r)->mutable_tax() = eur(7);
         *item(r)->mutable_discount() = eur(98);
         *item(r)->mutable_total() = eur(3907);
       },
       ""},
      {"items right", [=](R& r) { *totals(r)->mutable_items() = eur(4498); }, ""},
      {"items wrong", [=](R& r) { *totals(r)->mutable_items() = eur(4499); },
       "order.totals.items.amount_minor"},
      {"negative shipping", [=](R& r) { *totals(r)->mutable_shipping() = eur(-1); },
       "order.totals.shipping.amount_minor"},
      {"negative shipping tax", [=](R& r) { *totals(r)->mutable_shipping_tax() = eur(-1); },
       "order.totals.shipping_tax.amount_minor"},
      {"total overflows", [=](R& r) { *totals(r)->mutable_shipping() = eur(kMax); },
       "order.totals.total"},
      {"total right",
       [=](R& r) {
         *totals(r)->mutable_shipping() = eur(100);
         *totals(r)->mutable_shipping_tax() = eur(20);
         *totals(r)->mutable_total() = eur(4618);
       },
       ""},
      {"total wrong", [=](R& r) { *totals(r)->mutable_total() = eur(4497); },
       "order.totals.total.amount_minor"},
      {"voucher for all",
       [=](R& r) {
         auto& voucher = *totals(r)->add_adjustments();
         voucher.set_label("voucher");
         *voucher.mutable_amount() = eur(-4498);
         *totals(r)->mutable_total() = eur(0);
       },
       ""},
      {"voucher for more",
       [=](R& r) {
         auto& voucher = *totals(r)->add_adjustments();
         voucher.set_label("voucher");
         *voucher.mutable_amount() = eur(-4499);
       },
       "order.totals.total"},
      {"adjustment without amount",
       [=](R& r) { totals(r)->add_adjustments()->set_label("voucher"); },
       "order.totals.adjustments[0].amount"},
      {"adjustments overflow",
       [=](R& r) {
         for (int i = 0; i < 2; ++i) {
           auto& adjustment = *totals(r)->add_adjustments();
           adjustment.set_label("fee");
           *adjustment.mutable_amount() = eur(kMax);
         }
       },
       "order.totals.adjustments"},
      {"tax within prices",
       [=](R& r) {
         r.mutable_order()->set_prices_include_tax(true);
         *item(r)->mutable_tax() = eur(1);
       },
       "order.items[0].tax.amount_minor"},
      {"shipping tax within prices",
       [=](R& r) {
         r.mutable_order()->set_prices_include_tax(true);
         *totals(r)->mutable_shipping_tax() = eur(1);
       },
       "order.totals.shipping_tax.amount_minor"},
      {"no tax within prices",
       [=](R& r) {
         r.mutable_order()->set_prices_include_tax(true);
         *item(r)->mutable_tax() = eur(0);
       },
       ""},
  });
}

TEST(CreateValidation, CountsOfItemsAndAdjustments) {
  auto items = [](int count) {
    return [=](pb::CreateOrderRequest& r) {
      r.mutable_order()->clear_items();
      for (int i = 0; i < count; ++i) *r.mutable_order()->add_items() = make_item(1, 1);
    };
  };
  auto adjustments = [](int count) {
    return [=](pb::CreateOrderRequest& r) {
      for (int i = 0; i < count; ++i) {
        auto& adjustment = *r.mutable_order()->mutable_totals()->add_adjustments();
        adjustment.set_label("x");
        *adjustment.mutable_amount() = make_money("EUR", 1);
      }
    };
  };
  run({
      {"1000 items of one sku", items(1000), ""},
      {"1001 items", items(1001), "order.items"},
      {"100 adjustments", adjustments(100), ""},
      {"101 adjustments", adjustments(101), "order.totals.adjustments"},
  });
}

TEST(CreateValidation, Currencies) {
  using R = pb::CreateOrderRequest;
  auto unknown = [](const std::string& code) {
    return [=](R& r) { *r.mutable_order()->mutable_items(0) = make_item(1, 1, code); };
  };
  std::vector<Case> cases;
  for (const auto* code : {"XYZ", "eur", "", "XXX", "EURO"}) {
    cases.push_back({code, unknown(code), "order.items[0].unit_price.currency_code"});
  }
  cases.push_back({"mixed items",
                   [](R& r) { *r.mutable_order()->mutable_items(1) = make_item(1, 1, "USD"); },
                   "order.items[1].unit_price.currency_code"});
  cases.push_back({"mixed total",
                   [](R& r) {
                     *r.mutable_order()->mutable_totals()->mutable_total() =
                         make_money("USD", 4498);
                   },
                   "order.totals.total.currency_code"});
  run(cases);

  auto request = make_request();
  unknown("XYZ")(request);
  EXPECT_THAT(violations_of(validate(request)).begin()->second,
              ::testing::HasSubstr("CURRENCY_UNKNOWN"));
}

TEST(CreateValidation, ItemIdsAreDistinct) {
  auto request = make_request();
  request.mutable_order()->mutable_items(0)->set_item_id("x");
  request.mutable_order()->mutable_items(1)->set_item_id("x");
  EXPECT_ONLY_VIOLATION(validate(request), "order.items[1].item_id");
}

TEST(CreateValidation, AllViolationsAtOnce) {
  auto request = make_request();
  request.set_request_id("no");
  request.mutable_order()->mutable_customer()->set_email("nobody");
  request.mutable_order()->mutable_items(0)->set_quantity(0);
  request.mutable_order()->mutable_items(1)->clear_sku();
  *request.mutable_order()->mutable_totals()->mutable_shipping() = make_money("EUR", -1);
  EXPECT_THAT(fields_of(validate(request)),
              UnorderedElementsAre("request_id", "order.customer.email", "order.items[0].quantity",
                                   "order.items[1].sku", "order.totals.shipping.amount_minor"));
}

TEST(Build, ComputesWhatIsAbsent) {
  auto request = make_request();
  auto& order = *request.mutable_order();
  order.set_order_number("  A-1 ");
  *order.mutable_items(0)->mutable_discount() = make_money("EUR", 98);
  *order.mutable_items(0)->mutable_tax() = make_money("EUR", 7);
  *order.mutable_totals()->mutable_shipping() = make_money("EUR", 300);
  auto& voucher = *order.mutable_totals()->add_adjustments();
  voucher.set_label("voucher");
  *voucher.mutable_amount() = make_money("EUR", -1000);
  ASSERT_TRUE(validate(request).ok());

  const auto built = build_order(order);
  EXPECT_EQ(built.order_number(), "A-1");
  EXPECT_EQ(built.currency_code(), "EUR");
  EXPECT_EQ(built.item_count(), 2);
  EXPECT_EQ(built.items(0).total().amount_minor(), 3907);
  EXPECT_EQ(built.items(1).total().amount_minor(), 500);
  EXPECT_EQ(built.items(1).tax().currency_code(), "EUR");
  EXPECT_EQ(built.items(1).discount().currency_code(), "EUR");
  EXPECT_EQ(built.totals().items().amount_minor(), 4407);
  EXPECT_EQ(built.totals().shipping_tax().currency_code(), "EUR");
  EXPECT_EQ(built.totals().total().amount_minor(), 3707);
  EXPECT_EQ(built.cancellation().status(), pb::CANCELLATION_STATUS_NONE);
}

TEST(Build, AnOrderWithoutMoneyHasNoCurrency) {
  const auto built = build_order(pb::NewOrder());
  EXPECT_EQ(built.currency_code(), "");
  EXPECT_FALSE(built.has_totals());
  EXPECT_FALSE(built.has_customer());
}

TEST(Build, PartsWithoutContentAreAbsent) {
  pb::NewOrder order;
  order.mutable_customer();
  order.mutable_billing_address();
  order.mutable_shipping_address();
  const auto built = build_order(order);
  EXPECT_FALSE(built.has_customer());
  EXPECT_FALSE(built.has_billing_address());
  EXPECT_FALSE(built.has_shipping_address());
}

TEST(Build, NumbersItemsAroundTheIdsGiven) {
  pb::NewOrder order;
  for (const auto* id : {"", "1", "", "5", ""}) {
    auto item = make_item(1, 1);
    item.set_item_id(id);
    *order.add_items() = item;
  }
  std::vector<std::string> ids;
  const auto built = build_order(order);
  for (const auto& item : built.items()) ids.push_back(item.item_id());
  EXPECT_THAT(ids, ElementsAre("6", "1", "3", "5", "7"));
}

TEST(Build, DropsDigitsBehindMicroseconds) {
  pb::NewOrder order;
  order.mutable_order_time()->set_seconds(5);
  order.mutable_order_time()->set_nanos(123'456'789);
  EXPECT_EQ(build_order(order).order_time().nanos(), 123'456'000);
}

/// The totals of random orders equal a plain sum (nothing here is near an overflow), and one that
/// is off by one is refused.
TEST(Build, TotalsAreExact) {
  const auto seed = random_seed();
  std::mt19937_64 random(seed);
  auto below = [&](std::int64_t bound) {
    return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(bound + 1));
  };
  for (int round = 0; round < 300; ++round) {
    SCOPED_TRACE(round);
    pb::CreateOrderRequest request;
    auto& order = *request.mutable_order();
    std::int64_t items = 0;
    const auto count = 1 + below(9);
    for (int i = 0; i < count; ++i) {
      const auto quantity = 1 + below(1'000'000);
      const auto price = below(1'000'000'000);
      const auto discount = below(quantity * price);
      const auto tax = below(1'000'000'000'000);
      auto& item = *order.add_items();
      item = make_item(quantity, price);
      *item.mutable_discount() = make_money("EUR", discount);
      if (tax % 3 != 0) *item.mutable_tax() = make_money("EUR", tax);
      items += quantity * price - discount + (tax % 3 != 0 ? tax : 0);
    }
    std::int64_t total = items;
    const auto shipping = below(1'000'000);
    *order.mutable_totals()->mutable_shipping() = make_money("EUR", shipping);
    total += shipping;
    for (auto i = below(3); i > 0; --i) {
      const auto amount =
          below(2000) -
          std::min<std::int64_t>(1000, static_cast<std::int64_t>(total > 1000 ? 1000 : 0));
      auto& adjustment = *order.mutable_totals()->add_adjustments();
      adjustment.set_label("x");
      *adjustment.mutable_amount() = make_money("EUR", amount);
      total += amount;
    }
    ASSERT_TRUE(validate(request).ok()) << validate(request).message();
    const auto built = build_order(order);
    EXPECT_TRUE(built.totals().items().amount_minor() == items);
    EXPECT_TRUE(built.totals().total().amount_minor() == total);

    // What the server computed is what it accepts, and nothing else.
    *order.mutable_items() = built.items();
    *order.mutable_totals() = built.totals();
    ASSERT_TRUE(validate(request).ok());
    auto* altered = order.mutable_items(static_cast<int>(below(count - 1)))->mutable_total();
    altered->set_amount_minor(altered->amount_minor() + 1);
    EXPECT_FALSE(validate(request).ok());
  }
}

TEST(OrderNumber, IsTheDayAndFortyRandomBits) {
  // 2026-11-18T10:13:20Z
  const std::regex form("261118-[0-9A-HJKMNP-TV-Z]{8}");
  std::set<std::string> seen;
  for (int i = 0; i < 1000; ++i) {
    const auto number = generate_order_number(kNow);
    EXPECT_TRUE(std::regex_match(number, form)) << number;
    seen.insert(number);
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(OrderNumber, TheCallersGoesFirst) {
  pb::NewOrder order;
  EXPECT_EQ(order_number_of(order, "G"), "G");
  order.set_order_number(" \t");
  EXPECT_EQ(order_number_of(order, "G"), "G");
  order.set_order_number(" C ");
  EXPECT_EQ(order_number_of(order, "G"), "C");
}

using CreateOrder = RulesTest;

TEST_F(CreateOrder, MakesAnOrderInTheInitialState) {
  auto request = make_request();
  const auto before = request.SerializeAsString();
  const auto result =
      create_order(request, uuid(9), "A-1", AnyGateway(), holding({std::nullopt}), context());
  EXPECT_EQ(before, request.SerializeAsString());
  ASSERT_TRUE(result.ok());
  const auto& order = *result->after;
  EXPECT_EQ(order.order_id(), uuid(9).to_string());
  EXPECT_EQ(order.order_number(), "A-1");
  EXPECT_EQ(order.state_id(), "new");
  EXPECT_EQ(to_micros(order.create_time()), kNow);
  EXPECT_EQ(to_micros(order.update_time()), kNow);
  EXPECT_EQ(to_micros(order.order_time()), kNow);
  EXPECT_EQ(order.note_count(), 0);
  ASSERT_EQ(result->events.size(), 1u);
  EXPECT_EQ(result->events[0].order_created().order().SerializeAsString(),
            order.SerializeAsString());
}

TEST_F(CreateOrder, KeepsTheOrderTimeGiven) {
  auto request = make_request();
  request.mutable_order()->mutable_order_time()->set_seconds(77);
  const auto result =
      create_order(request, uuid(9), "A-1", AnyGateway(), holding({std::nullopt}), context());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->after->order_time().seconds(), 77);
}

TEST_F(CreateOrder, RefusesAnOrderNumberThatIsTaken) {
  const auto result = create_order(make_request(), uuid(9), "A-1", AnyGateway(),
                                   holding({ClaimHolder{uuid(5), ""}}), context());
  EXPECT_REFUSED(result, "ORDER_NUMBER_IN_USE");
  EXPECT_EQ(metadata_of(result.status(), "order_id"), uuid(5).to_string());
}

}  // namespace
}  // namespace orderd::rules
