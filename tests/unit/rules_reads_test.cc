#include "server/orders/reads.h"

#include "tests/unit/rules_fixture.h"

namespace orderd::rules {
namespace {

using namespace std::string_literals;

TEST(ReadValidation, GetOrder) {
  pb::GetOrderRequest request;
  EXPECT_ONLY_VIOLATION(validate(request), "order_id");
  request.set_order_id("anything");
  EXPECT_TRUE(validate(request).ok());
  request.set_view(static_cast<pb::OrderView>(3));
  EXPECT_ONLY_VIOLATION(validate(request), "view");
}

TEST(ReadValidation, BatchGetOrders) {
  pb::BatchGetOrdersRequest request;
  EXPECT_ONLY_VIOLATION(validate(request), "order_ids");
  for (int i = 0; i < 1000; ++i) request.add_order_ids("same");
  EXPECT_TRUE(validate(request).ok());
  request.set_order_ids(999, "");
  EXPECT_ONLY_VIOLATION(validate(request), "order_ids[999]");
  request.add_order_ids("x");
  EXPECT_ONLY_VIOLATION(validate(request), "order_ids");
}

TEST(ReadValidation, ListNotes) {
  pb::ListNotesRequest request;
  request.set_order_id("x");
  request.set_page_size(1'000'000'000);
  EXPECT_TRUE(validate(request).ok());
  request.set_page_size(-1);
  EXPECT_ONLY_VIOLATION(validate(request), "page_size");
  request.set_page_size(0);
  request.clear_order_id();
  EXPECT_ONLY_VIOLATION(validate(request), "order_id");
}

TEST(ReadValidation, ListOrders) {
  using R = pb::ListOrdersRequest;
  using F = pb::OrderFilter;
  auto filter = [](std::function<void(F&)> set) { return [=](R& r) { set(*r.mutable_filter()); }; };
  auto range = [](std::int64_t start, std::int64_t end) {
    pb::TimeRange made;
    made.mutable_start_time()->set_seconds(start);
    made.mutable_end_time()->set_seconds(end);
    return made;
  };
  auto states = [=](int count) {
    return filter([=](F& f) {
      for (int i = 0; i < count; ++i) f.add_state_ids("s");
    });
  };
  auto status = [=](int value) {
    return filter([=](F& f) { f.add_payment_statuses(static_cast<pb::PaymentStatus>(value)); });
  };
  auto total_with = [](std::function<void(F&)> set) {
    return [=](R& r) {
      r.set_sort(pb::ORDER_SORT_TOTAL);
      set(*r.mutable_filter());
    };
  };
  struct Case {
    std::string name;
    std::function<void(R&)> alter;
    std::string field;
  };
  const std::vector<Case> cases = {
      {"nothing", [](R&) {}, ""},
      {"page size", [](R& r) { r.set_page_size(1'000'000'000); }, ""},
      {"negative page size", [](R& r) { r.set_page_size(-1); }, "page_size"},
      {"view", [](R& r) { r.set_view(static_cast<pb::OrderView>(9)); }, "view"},
      {"sort", [](R& r) { r.set_sort(static_cast<pb::OrderSort>(9)); }, "sort"},
      {"direction", [](R& r) { r.set_direction(static_cast<pb::SortDirection>(9)); }, "direction"},
      {"100 states", states(100), ""},
      {"101 states", states(101), "filter.state_ids"},
      {"empty state", filter([](F& f) { f.add_state_ids(""); }), "filter.state_ids[0]"},
      {"e-mail", filter([](F& f) { f.set_customer_email(std::string(254, 'x')); }), ""},
      {"long e-mail", filter([](F& f) { f.set_customer_email(std::string(255, 'x')); }),
       "filter.customer_email"},
      {"invoice", filter([](F& f) { f.set_invoice_number(std::string(65, 'x')); }),
       "filter.invoice_number"},
      {"order number", filter([](F& f) { f.set_order_number("a\0b"s); }), "filter.order_number"},
      {"payment status", status(pb::PAYMENT_STATUS_EXPIRED), ""},
      {"no payment status", status(0), "filter.payment_statuses[0]"},
      {"unknown payment status", status(10), "filter.payment_statuses[0]"},
      {"label", filter([](F& f) { f.mutable_label()->set_key("k"); }), ""},
      {"no label key", filter([](F& f) { f.mutable_label()->set_value("v"); }), "filter.label.key"},
      {"label value", filter([](F& f) {
         f.mutable_label()->set_key("k");
         f.mutable_label()->set_value(std::string(256, 'v'));
       }),
       "filter.label.value"},
      {"range", filter([=](F& f) { *f.mutable_order_time() = range(1, 2); }), ""},
      {"open range", filter([](F& f) { f.mutable_order_time()->mutable_end_time(); }), ""},
      {"empty range", filter([=](F& f) { *f.mutable_order_time() = range(2, 2); }),
       "filter.order_time.end_time"},
      {"backward range", filter([=](F& f) { *f.mutable_create_time() = range(2, 1); }),
       "filter.create_time.end_time"},
      {"range's time", filter([=](F& f) { *f.mutable_update_time() = range(-1, 1); }),
       "filter.update_time.start_time"},
      {"expiry",
       filter([](F& f) { f.mutable_authorization_expires_before()->set_seconds(1'796'083'200); }),
       ""},
      {"expiry in no year",
       filter([](F& f) { f.mutable_authorization_expires_before()->set_seconds(INT64_MIN + 1); }),
       "filter.authorization_expires_before"},
      {"by total", [](R& r) { r.set_sort(pb::ORDER_SORT_TOTAL); }, "sort"},
      {"by total and state", total_with([](F& f) { f.add_state_ids("s"); }), "sort"},
      {"by total and e-mail", total_with([](F& f) { f.set_customer_email("a@b"); }), ""},
      {"by total and invoice", total_with([](F& f) { f.set_invoice_number("1"); }), ""},
      {"by total and number", total_with([](F& f) { f.set_order_number("1"); }), ""},
  };
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    R request;
    c.alter(request);
    if (c.field.empty()) {
      EXPECT_TRUE(validate(request).ok()) << validate(request).message();
    } else {
      EXPECT_ONLY_VIOLATION(validate(request), c.field);
    }
  }
}

}  // namespace
}  // namespace orderd::rules
