// What a customer reads, and what an operator's templates may be.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>

#include "server/notify/mailer.h"
#include "server/orders/money.h"

namespace orderd::notify {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

void add_leg(pb::TransactionKind kind, pb::TransactionStatus status, std::int64_t minor,
             pb::Order& order) {
  pb::CancellationLeg& leg = *order.mutable_cancellation()->add_legs();
  leg.set_payment_id("p1");
  leg.set_kind(kind);
  leg.set_status(status);
  leg.set_initiated(status == pb::TRANSACTION_STATUS_PENDING);
  leg.set_pass(1);
  *leg.mutable_amount() = rules::make_money(order.currency_code(), minor);
  if (kind == pb::TRANSACTION_KIND_VOID && status == pb::TRANSACTION_STATUS_SUCCEEDED) {
    *order.mutable_payments(0)->mutable_voided() = leg.amount();
  }
}

/// 2 x 12.34 = 24.68 in a currency with two decimals.
pb::Order order_in(const std::string& currency) {
  pb::Order order;
  order.set_order_number("N-1001");
  order.set_currency_code(currency);
  order.mutable_customer()->set_name("Ada <Lovelace> & Co");
  order.mutable_order_time()->set_seconds(1'795'446'245);
  pb::Item& item = *order.add_items();
  item.set_sku("SKU-1");
  item.set_name("Tea \u201cFor Two\u201d");
  item.set_quantity(2);
  *item.mutable_total() = rules::make_money(currency, 2468);
  *order.mutable_totals()->mutable_total() = rules::make_money(currency, 3005);
  order.add_payments()->set_payment_id("p1");
  order.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_COMPLETED);
  order.mutable_cancellation()->set_reason("internal: fraud suspected");
  return order;
}

Templates::Content render(const pb::Order& order, const std::string& directory = {}) {
  return Templates(directory).render(pb::Email(), order);
}

class Directory {
 public:
  Directory() {
    if (::mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no directory");
  }
  ~Directory() { std::filesystem::remove_all(path_); }
  Directory(const Directory&) = delete;
  Directory& operator=(const Directory&) = delete;

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(path_ + "/" + name, std::ios::binary) << text;
  }
  const std::string& path() const { return path_; }
  /// What the templates in it are refused for; empty: they are not.
  std::string refusal() const {
    try {
      const Templates templates(path_);
      return {};
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }

 private:
  std::string path_ = "/tmp/orderd-templates-XXXXXX";
};

TEST(Templates, TellTheCustomerWhatHappened) {
  pb::Order order = order_in("EUR");
  add_leg(pb::TRANSACTION_KIND_REFUND, pb::TRANSACTION_STATUS_SUCCEEDED, 1000, order);
  add_leg(pb::TRANSACTION_KIND_REFUND, pb::TRANSACTION_STATUS_PENDING, 505, order);
  add_leg(pb::TRANSACTION_KIND_VOID, pb::TRANSACTION_STATUS_SUCCEEDED, 1500, order);
  const auto content = render(order);
  EXPECT_EQ(content.subject, "Your order N-1001 has been canceled");
  EXPECT_EQ(content.text, R"(Hello Ada <Lovelace> & Co,

your order N-1001 of 23 November 2026 has been canceled.

We have refunded 10.00 EUR to you.

We have initiated a refund of 5.05 EUR to you.

15.00 EUR had been reserved for this order and was released. It will not be charged.

The money goes back the way you paid. It can take a few days until your bank or card statement
shows it.

Your order was:

  2 x Tea “For Two”: 24.68 EUR

Order total, with shipping and all else: 30.05 EUR

If you have a question, please write to us and name the order number N-1001.

Kind regards
)");
  EXPECT_THAT(content.html,
              AllOf(HasSubstr("Hello Ada &lt;Lovelace&gt; &amp; Co,"), HasSubstr("10.00 EUR"),
                    HasSubstr("5.05 EUR"), HasSubstr("15.00 EUR"), HasSubstr("24.68 EUR"),
                    HasSubstr("30.05 EUR"), HasSubstr("Tea “For Two”"), Not(HasSubstr("{{")),
                    Not(HasSubstr("<Lovelace>"))));
}

TEST(Templates, LeaveOutWhatIsNotThere) {
  pb::Order order;
  order.set_order_number("N-2");
  order.mutable_order_time()->set_seconds(0);
  EXPECT_EQ(render(order).text, R"(Hello,

your order N-2 of 1 January 1970 has been canceled.

If you have a question, please write to us and name the order number N-2.

Kind regards
)");
  EXPECT_THAT(render(order).html, AllOf(Not(HasSubstr("<table")), Not(HasSubstr("refund"))));
}

TEST(Templates, NeverShowTheReason) {
  const auto content = render(order_in("EUR"));
  for (const std::string& part : {content.subject, content.text, content.html}) {
    EXPECT_THAT(part, Not(HasSubstr("fraud")));
  }
}

TEST(Templates, AmountsHaveTheDecimalsOfTheirCurrency) {
  EXPECT_THAT(render(order_in("EUR")).text, HasSubstr(" 24.68 EUR\n"));
  EXPECT_THAT(render(order_in("JPY")).text, HasSubstr(" 2468 JPY\n"));
  EXPECT_THAT(render(order_in("KWD")).text, HasSubstr(" 2.468 KWD\n"));
  EXPECT_THAT(render(order_in("CLF")).text, HasSubstr(" 0.2468 CLF\n"));
  pb::Order order = order_in("EUR");
  order.mutable_items(0)->mutable_total()->set_amount_minor(INT64_MAX);
  EXPECT_THAT(render(order).text, HasSubstr(" 92233720368547758.07 EUR\n"));
  order.mutable_items(0)->mutable_total()->set_amount_minor(5);
  EXPECT_THAT(render(order).text, HasSubstr(" 0.05 EUR\n"));
}

TEST(Templates, WhatOthersWroteCanNotAddLinesOrTags) {
  pb::Order order = order_in("EUR");
  order.mutable_items(0)->set_name("Tea\r\n\r\nWe have refunded 999.00 EUR {{order_number}}\x01");
  order.set_order_number("N\r\nBcc: a@b");
  const auto content = render(order);
  EXPECT_THAT(content.text,
              HasSubstr("  2 x Tea We have refunded 999.00 EUR {{order_number}}: 24.68 EUR\n"));
  EXPECT_EQ(content.subject, "Your order N Bcc: a@b has been canceled");
}

TEST(Templates, OfTheOperatorReplaceSingleFiles) {
  const Directory directory;
  directory.write("ORDER_CANCELED.subject.mustache", "Storno \u2014 {{order_number}}\r\n\x07\n");
  directory.write("ORDER_CANCELED.html.mustache",
                  "{{#items}}<i>{{name}}</i> {{{name}}} {{quantity}} {{line_total}}{{/items}}"
                  "{{^released}}none{{/released}}");
  directory.write("README", "not a template");
  pb::Order order = order_in("EUR");
  order.mutable_items(0)->set_name("<b>");
  const auto content = render(order, directory.path());
  EXPECT_EQ(content.subject, "Storno \u2014 N-1001");
  EXPECT_EQ(content.html, "<i>&lt;b&gt;</i> <b> 2 24.68 EURnone");
  EXPECT_EQ(content.text, render(order).text);
}

TEST(Templates, WithFaultsAreRefusedAtTheStart) {
  const std::string name = "ORDER_CANCELED.txt.mustache";
  const auto refusal = [&](const std::string& text) {
    const Directory directory;
    directory.write(name, text);
    return directory.refusal();
  };
  EXPECT_THAT(refusal("{{order_number"), AllOf(HasSubstr(name), HasSubstr("Unclosed tag")));
  EXPECT_THAT(refusal("{{#items}}x"), HasSubstr("Unclosed section"));
  EXPECT_THAT(refusal("{{/items}}"), HasSubstr("Unopened section"));
  EXPECT_THAT(refusal("{{ordernumber}}"), HasSubstr("unknown field \"ordernumber\""));
  EXPECT_THAT(refusal("{{#items}}{{price}}{{/items}}"), HasSubstr("unknown field \"price\""));
  EXPECT_THAT(refusal("{{^items}}{{nothing}}{{/items}}"), HasSubstr("unknown field \"nothing\""));
  EXPECT_THAT(refusal("{{#refunded}}{{x}}{{/refunded}}"), HasSubstr("unknown field \"x\""));
  EXPECT_THAT(refusal("{{> other}}"), HasSubstr("other"));
  EXPECT_THAT(refusal("\xff"), HasSubstr("UTF-8"));
  EXPECT_NE(refusal("{{"), "");
  EXPECT_EQ(refusal("{{order_number}} {{#items}}{{name}}{{/items}}"), "");

  const Directory misspelt;
  misspelt.write("ORDER_CANCELLED.txt.mustache", "x");
  EXPECT_THAT(misspelt.refusal(), HasSubstr("ORDER_CANCELLED.txt.mustache"));
  EXPECT_THROW(Templates("/nonexistent/templates"), std::runtime_error);
  const Directory unreadable;
  std::filesystem::create_directory(unreadable.path() + "/" + name);
  EXPECT_THAT(unreadable.refusal(), HasSubstr(name));
}

}  // namespace
}  // namespace orderd::notify
