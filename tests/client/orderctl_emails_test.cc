#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/client/orderctl_fixture.h"

// orderctl emails

namespace orderd::cli {
namespace {

using orderd::testing::OrderctlTest;
using orderd::testing::rich_error;
using orderd::testing::to_grpc;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

namespace pb = ::orders::v1;

TEST_F(OrderctlTest, ListsEmails) {
  server_.on_list_emails = [](const pb::ListEmailsRequest& request,
                              pb::ListEmailsResponse& response) {
    auto& email = *response.add_emails();
    email.set_email_id("e" + request.page_token());
    email.set_order_id("o");
    email.set_kind(pb::EMAIL_KIND_ORDER_CANCELED);
    email.set_status(pb::EMAIL_STATUS_DEAD);
    email.set_recipient("zoe@example.com");
    email.set_tries(3);
    email.set_last_error("RECIPIENT_REFUSED");
    email.set_last_code(550);
    if (request.page_token().empty()) response.set_next_page_token("2");
  };
  Result result = run("emails list --order 1001 --status dead");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_THAT(result.out,
              AllOf(HasSubstr("order canceled"), HasSubstr("dead"), HasSubstr("zoe@example.com"),
                    HasSubstr("RECIPIENT_REFUSED 550"), HasSubstr("e\n"), HasSubstr("e2\n")));
  const auto request = last_request<pb::ListEmailsRequest>();
  EXPECT_EQ(request.order_id(), "id-of-1001");
  EXPECT_EQ(request.status(), pb::EMAIL_STATUS_DEAD);
  EXPECT_EQ(request.page_token(), "2");

  result = run("emails list --json");
  EXPECT_THAT(result.out,
              MatchesRegex("\\{.*\"email_id\":\"e\".*\\}\n\\{.*\"email_id\":\"e2\".*\\}\n"));
  EXPECT_EQ(last_request<pb::ListEmailsRequest>().order_id(), "");
  EXPECT_EQ(run("emails list --status gone").code, 2);
  EXPECT_EQ(run("emails list --order ''").code, 2);

  server_.on_list_emails = nullptr;
  result = run("emails list");
  EXPECT_EQ(result.out, "");
  EXPECT_EQ(result.err, "there are no such e-mails\n");
}

TEST_F(OrderctlTest, RetriesAnEmail) {
  server_.on_retry_email = [](const pb::RetryEmailRequest& request,
                              pb::RetryEmailResponse& response) {
    response.mutable_email()->set_email_id(request.email_id());
    response.mutable_email()->set_recipient(request.recipient());
    response.mutable_email()->set_status(pb::EMAIL_STATUS_PENDING);
    response.mutable_email()->mutable_next_time()->set_seconds(1'800'000'000);
  };
  const Result result = run("emails retry e1 --order 1001 --to ann@example.com --etag 3");
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_EQ(result.out,
            "e-mail e1 to ann@example.com is pending, next try at 2027-01-15T08:00:00Z\n");
  const auto request = last_request<pb::RetryEmailRequest>();
  EXPECT_EQ(request.order_id(), "id-of-1001");
  EXPECT_EQ(request.email_id(), "e1");
  EXPECT_EQ(request.recipient(), "ann@example.com");
  EXPECT_EQ(request.etag(), "3");
  EXPECT_EQ(run("emails retry e1").code, 2);
  EXPECT_EQ(run("emails retry --order 1001").code, 2);
  EXPECT_EQ(run("emails retry e1 --order 1001 --to ''").code, 2);
  server_.fail_next(grpc::Status::OK);  // the look-up of the number
  server_.fail_next(to_grpc(rich_error(grpc::NOT_FOUND, "EMAIL_NOT_FOUND")));
  const Result missing = run("emails retry e2 --order 1001");
  EXPECT_EQ(missing.code, 3);
  EXPECT_THAT(missing.err, HasSubstr("orderctl emails list"));
}

}  // namespace
}  // namespace orderd::cli
