#include "server/orders/update.h"

#include "tests/unit/rules_fixture.h"

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using namespace std::string_literals;

pb::UpdateOrderRequest make_request(const std::vector<std::string>& paths) {
  pb::UpdateOrderRequest request;
  request.set_order_id(uuid(1).to_string());
  for (const auto& path : paths) request.mutable_update_mask()->add_paths(path);
  return request;
}

TEST(UpdateValidation, Masks) {
  for (const auto& path : {"customer"s, "customer.customer_id"s, "customer.name"s,
                           "customer.email"s, "customer.phone"s, "labels"s}) {
    EXPECT_TRUE(validate(make_request({path})).ok()) << path;
  }
  for (const auto& address : {"billing_address"s, "shipping_address"s}) {
    EXPECT_TRUE(validate(make_request({address})).ok());
    for (const auto* part : {"name", "company", "line1", "line2", "city", "region", "postal_code",
                             "country_code", "phone"}) {
      EXPECT_TRUE(validate(make_request({address + "." + part})).ok()) << part;
    }
  }
  for (const auto& path :
       {""s, "*"s, "."s, "items"s, "totals"s, "order_number"s, "customer.age"s, "customer."s,
        ".customer"s, "customer..name"s, "customer.name.x"s, "labels.channel"s, "Customer"s,
        "order_id"s, "reason"s, "etag"s, "\xFF"s, "customer "s}) {
    SCOPED_TRACE(path);
    EXPECT_ONLY_VIOLATION(validate(make_request({"customer", path})), "update_mask.paths[1]");
  }
  EXPECT_ONLY_VIOLATION(validate(make_request({})), "update_mask");
}

TEST(UpdateValidation, Fields) {
  auto request = make_request({"customer", "labels"});
  request.mutable_customer()->set_email("nobody");
  request.mutable_billing_address()->set_country_code("xx");
  request.mutable_shipping_address()->set_city("\xFF");
  (*request.mutable_labels())[""] = "x";
  request.set_reason(std::string(1001, 'x'));
  EXPECT_THAT(fields_of(validate(request)),
              ElementsAre("billing_address.country_code", "customer.email", "labels[\"\"]",
                          "reason", "shipping_address.city"));
}

class Update : public RulesTest {
 protected:
  Result update(const pb::UpdateOrderRequest& request) {
    EXPECT_TRUE(validate(request).ok());
    return run(
        [&](const Target& target, const Context& c) { return update_order(request, target, c); });
  }
};

TEST_F(Update, ReplacesWhatTheMaskNames) {
  auto request = make_request({"customer.name", "billing_address", "shipping_address.city"});
  request.mutable_customer()->set_name("Bea");
  request.mutable_customer()->set_email("ignored@example.com");
  request.mutable_billing_address()->set_line1("1 Road");
  request.mutable_shipping_address()->set_city("Rio");
  request.mutable_shipping_address()->set_region("ignored");
  request.set_reason("moved");
  const auto result = update(request);
  ASSERT_TRUE(result.ok());
  const auto& order = *result->after;
  EXPECT_EQ(order.customer().name(), "Bea");
  EXPECT_EQ(order.customer().email(), "ann@example.com");
  EXPECT_EQ(order.billing_address().line1(), "1 Road");
  EXPECT_EQ(order.shipping_address().city(), "Rio");
  EXPECT_EQ(order.shipping_address().region(), "");
  EXPECT_EQ(order.labels().at("channel"), "web");
  EXPECT_TRUE(result->customer_changed);
  EXPECT_FALSE(result->labels_changed);
  ASSERT_EQ(result->events.size(), 1u);
  const auto& event = result->events[0].order_updated();
  EXPECT_EQ(event.before().customer().name(), "Ann");
  EXPECT_FALSE(event.before().has_billing_address());
  EXPECT_EQ(event.after().customer().name(), "Bea");
  EXPECT_EQ(event.after().customer().email(), "ann@example.com");
  EXPECT_EQ(event.after().labels().at("channel"), "web");
  EXPECT_EQ(event.reason(), "moved");
}

TEST_F(Update, LeavesEverythingElseAlone) {
  order_.set_invoice_number("I");
  order_.add_items()->set_sku("sku");
  order_.add_payments()->set_description("p");
  auto request = make_request({"customer.phone"});
  request.mutable_customer()->set_phone("1");
  const auto result = update(request);
  ASSERT_TRUE(result.ok());
  auto expected = order_;
  expected.mutable_customer()->set_phone("1");
  EXPECT_EQ(result->after->SerializeAsString(), expected.SerializeAsString());
}

TEST_F(Update, WhatIsNamedAndNotGivenIsCleared) {
  EXPECT_EQ(update(make_request({"customer.email"}))->after->customer().email(), "");
  EXPECT_EQ(update(make_request({"customer.email"}))->after->customer().name(), "Ann");
  EXPECT_FALSE(update(make_request({"customer"}))->after->has_customer());
  EXPECT_FALSE(update(make_request({"customer.name", "customer.email"}))->after->has_customer());
  const auto labels = update(make_request({"labels"}));
  EXPECT_TRUE(labels->after->labels().empty());
  EXPECT_TRUE(labels->labels_changed);
  EXPECT_FALSE(labels->customer_changed);
}

TEST_F(Update, LabelsAreReplacedAsAWhole) {
  auto request = make_request({"labels"});
  (*request.mutable_labels())["a"] = "1";
  const auto result = update(request);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->after->labels().size(), 1u);
  EXPECT_EQ(result->after->labels().at("a"), "1");

  request.clear_labels();
  (*request.mutable_labels())["channel"] = "shop";
  EXPECT_EQ(update(request)->after->labels().at("channel"), "shop");
}

TEST_F(Update, AWholeAndItsPartMeanTheWhole) {
  auto request = make_request({"customer.name", "customer"});
  request.mutable_customer()->set_name("Bea");
  const auto result = update(request);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->after->customer().name(), "Bea");
  EXPECT_EQ(result->after->customer().email(), "");
}

TEST_F(Update, TheSameIsNoChange) {
  auto request = make_request({"customer", "labels", "billing_address", "shipping_address.city"});
  *request.mutable_customer() = order_.customer();
  *request.mutable_labels() = order_.labels();
  request.mutable_billing_address();  // empty is the same as absent
  const auto result = update(request);
  ASSERT_TRUE(result.ok());
  EXPECT_FALSE(result->after);
  EXPECT_TRUE(result->events.empty());
  EXPECT_FALSE(result->customer_changed);
  EXPECT_FALSE(result->labels_changed);
}

TEST_F(Update, AllowedInEveryState) {
  order_.set_state_id("canceled");
  order_.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_COMPLETED);
  EXPECT_TRUE(update(make_request({"customer"}))->after);
}

}  // namespace
}  // namespace orderd::rules
