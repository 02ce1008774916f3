#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/client/orderctl_fixture.h"

// orderctl erase, erasures

namespace orderd::cli {
namespace {

using orderd::testing::OrderctlTest;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

namespace pb = ::orders::v1;

/// Two pages: 2 orders and 1 e-mail erased; then 1 unchanged, 1 skipped.
void answer_in_pages(const pb::EraseCustomerDataRequest& request,
                     pb::EraseCustomerDataResponse& response) {
  if (!request.validate_only()) response.mutable_erasure()->set_erasure_id("the-erasure");
  if (request.page_token().empty()) {
    response.set_orders_erased(2);
    response.set_emails_erased(1);
    response.set_next_page_token("2");
    return;
  }
  response.set_orders_unchanged(1);
  auto& order = *response.add_skipped_orders();
  order.set_order_id("o-4");
  order.set_reason("PAYMENT_OPEN");
}

TEST_F(OrderctlTest, ErasesPageAfterPage) {
  server_.on_erase = answer_in_pages;
  Result result = run("erase --customer C-1 --texts --include-open --yes");
  EXPECT_EQ(result.code, 10) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("o-4"), HasSubstr("payment open"),
                    HasSubstr("erased the customer's data of 2 orders and 1 e-mail, 1 had nothing "
                              "left to erase, 1 skipped; record: erasure the-erasure")));
  auto request = last_request<pb::EraseCustomerDataRequest>();
  EXPECT_EQ(request.customer_id(), "C-1");
  EXPECT_TRUE(request.erase_texts());
  EXPECT_TRUE(request.include_open());
  EXPECT_FALSE(request.validate_only());
  EXPECT_EQ(request.page_token(), "2");

  const std::string id = "018f0000-0000-7000-8000-000000000001";
  result = run("erase --email zoe@example.com --yes --json --request-id " + id);
  EXPECT_EQ(result.code, 10);
  EXPECT_THAT(result.out, AllOf(HasSubstr("\"orders_erased\":2"), HasSubstr("PAYMENT_OPEN")));
  request = last_request<pb::EraseCustomerDataRequest>();
  EXPECT_EQ(request.email(), "zoe@example.com");
  EXPECT_EQ(request.request_id(), id);
  EXPECT_FALSE(request.erase_texts());
  EXPECT_FALSE(request.include_open());
}

TEST_F(OrderctlTest, ShowsWhatItWouldErase) {
  server_.on_erase = answer_in_pages;
  const Result result =
      run("erase --order 1001 --order 018f0000-0000-7000-8000-000000000001"
          " --dry-run");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("o-4"), HasSubstr("would erase the customer's data of 2 "
                                                            "orders and 1 e-mail")));
  const auto request = last_request<pb::EraseCustomerDataRequest>();
  EXPECT_TRUE(request.validate_only());
  EXPECT_THAT(request.orders().order_ids(),
              ::testing::ElementsAre("id-of-1001", "018f0000-0000-7000-8000-000000000001"));
}

TEST_F(OrderctlTest, ErasesNothingUnasked) {
  for (const auto* arguments :
       {"erase", "erase --customer C-1", "erase --customer C-1 --json",
        "erase --customer C-1 --email a@b.de --yes", "erase --customer '' --yes",
        "erase --order 1001 --customer C-1 --yes", "erase --customer C-1 --yes --dry-run"}) {
    const Result result = run(arguments);
    EXPECT_EQ(result.code, 2) << arguments;
    EXPECT_THAT(result.err, Not(HasSubstr("C-1"))) << arguments;
  }
  EXPECT_TRUE(server_.calls().empty());
}

TEST_F(OrderctlTest, AnErasureThatFailsSaysHowToGoOn) {
  server_.fail_next(orderd::testing::to_grpc(
      orderd::testing::rich_error(grpc::StatusCode::INTERNAL, "INTERNAL")));
  const Result result = run("erase --customer C-1 --yes");
  EXPECT_EQ(result.code, 9);
  EXPECT_THAT(result.err, HasSubstr("go on with --request-id "));
}

TEST_F(OrderctlTest, ListsErasures) {
  server_.on_list_erasures = [](const pb::ListErasuresRequest& request,
                                pb::ListErasuresResponse& response) {
    auto& erasure = *response.add_erasures();
    erasure.set_erasure_id("e" + request.page_token());
    erasure.set_actor("dpo");
    erasure.set_selector(pb::ERASURE_SELECTOR_CUSTOMER_ID);
    erasure.set_pseudonym("erased-1");
    erasure.set_orders_erased(41);
    erasure.set_erase_texts(true);
    if (request.page_token().empty()) response.set_next_page_token("2");
  };
  Result result = run("erasures --customer C-1");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out, AllOf(HasSubstr("dpo"), HasSubstr("customer id"), HasSubstr("erased-1"),
                                HasSubstr("41"), HasSubstr("texts"), HasSubstr("e2")));
  EXPECT_EQ(last_request<pb::ListErasuresRequest>().customer_id(), "C-1");
  EXPECT_EQ(run("erasures --customer C-1 --email a@b.de").code, 2);
  EXPECT_THAT(run("erasures --json").out, HasSubstr("\"erasure_id\":\"e2\""));
  server_.on_list_erasures = nullptr;
  EXPECT_EQ(run("erasures").err, "there are no such erasures\n");
}

}  // namespace
}  // namespace orderd::cli
