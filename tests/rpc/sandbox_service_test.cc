#include "orders/sandbox/v1/sandbox.grpc.pb.h"
#include "tests/rpc/payments_fixture.h"

// The service of the sandbox: the gateway's side, over a channel.

namespace orderd::test {
namespace {

namespace sandbox_pb = ::orders::sandbox::v1;

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using Service = sandbox_pb::SandboxService::Stub;

class SandboxServiceTest : public PaymentsRpcTest {
 protected:
  void SetUp() override {
    PaymentsRpcTest::SetUp();
    service_ = sandbox_pb::SandboxService::NewStub(channel_);
  }

  template <class Request, class Response>
  Response ask(grpc::Status (Service::*method)(grpc::ClientContext*, const Request&, Response*),
               Request request) {
    grpc::ClientContext context;
    set_deadline(context);
    if (request.gateway_account().empty()) request.set_gateway_account("shop");
    Response response;
    const grpc::Status status = ((*service_).*method)(&context, request, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }
  template <class Request, class Response>
  Failure no(grpc::Status (Service::*method)(grpc::ClientContext*, const Request&, Response*),
             Request request) {
    grpc::ClientContext context;
    set_deadline(context);
    if (request.gateway_account().empty()) request.set_gateway_account("shop");
    Response response;
    return failure_of(((*service_).*method)(&context, request, &response));
  }

  std::string new_payment(std::int64_t amount_minor) {
    sandbox_pb::AuthorizeRequest request;
    *request.mutable_amount() = eur(amount_minor);
    return ask(&Service::Authorize, request).payment().gateway_reference();
  }
  static sandbox_pb::SimulateEventRequest event_of(const std::string& reference) {
    sandbox_pb::SimulateEventRequest request;
    request.set_gateway_reference(reference);
    return request;
  }

  std::unique_ptr<Service> service_;
};
ORDERD_ON_BOTH_DATABASES(SandboxServiceTest);

TEST_P(SandboxServiceTest, APaymentLivesItsWholeLife) {
  sandbox_pb::AuthorizeRequest authorize;
  authorize.set_gateway_reference("order-1");
  *authorize.mutable_amount() = eur(5000);
  authorize.mutable_expire_time()->set_seconds(4'000'000'000);
  authorize.mutable_capabilities()->set_partial_capture(true);
  authorize.mutable_capabilities()->set_partial_refund(true);
  authorize.set_open(true);
  auto payment = ask(&Service::Authorize, authorize).payment();
  EXPECT_EQ(payment.status(), pb::PAYMENT_STATUS_OPEN);
  EXPECT_EQ(payment.due_minor(), 5000);
  EXPECT_EQ(payment.authorized_minor(), 0);
  EXPECT_EQ(payment.expire_time().seconds(), 4'000'000'000);
  EXPECT_FALSE(payment.capabilities().multi_capture());
  const Failure twice = no(&Service::Authorize, authorize);
  EXPECT_EQ(twice.code, grpc::StatusCode::ALREADY_EXISTS);
  EXPECT_EQ(twice.reason, "PAYMENT_REFERENCE_IN_USE");

  const auto happens = [&](auto&& set) {
    auto request = event_of("order-1");
    set(*request.mutable_event());
    return ask(&Service::SimulateEvent, request).payment();
  };
  EXPECT_EQ(happens([](auto& event) { event.mutable_start_processing(); }).status(),
            pb::PAYMENT_STATUS_PROCESSING);
  EXPECT_EQ(happens([](auto& event) { event.mutable_pay(); }).authorized_minor(), 5000);
  payment = happens([](auto& event) {
    event.mutable_capture()->set_amount_minor(3000);
    event.mutable_capture()->set_final_capture(true);
  });
  EXPECT_EQ(payment.captured_minor(), 3000);
  EXPECT_EQ(payment.voided_minor(), 2000);
  EXPECT_EQ(
      happens([](auto& event) { event.mutable_refund()->set_amount_minor(500); }).refunded_minor(),
      500);
  happens([](auto& event) { event.mutable_charge_back()->set_amount_minor(700); });
  payment = happens([](auto& event) { event.mutable_reverse_chargeback()->set_amount_minor(700); });
  EXPECT_THAT(payment.movements(), SizeIs(6));

  auto wrong = event_of("order-1");
  wrong.mutable_event()->mutable_void_remainder();
  const Failure refused = no(&Service::SimulateEvent, wrong);
  EXPECT_EQ(refused.reason, "SANDBOX_REFUSED");
  EXPECT_NE(refused.metadata.at("gateway_reason"), "");
  wrong.mutable_event()->mutable_settle_refund()->set_gateway_transaction_id("no-such");
  EXPECT_EQ(no(&Service::SimulateEvent, wrong).metadata.at("gateway_reason"),
            "TRANSACTION_NOT_FOUND");
}

TEST_P(SandboxServiceTest, OrdersLearnOfItBySync) {
  const std::string reference = new_payment(5000);
  const Paid paid = attach(create(new_order()).order_id(), PaymentsRpcTest::new_payment(reference));
  auto expire = event_of(reference);
  expire.mutable_event()->mutable_expire();
  ask(&Service::SimulateEvent, expire);
  EXPECT_EQ(payment(paid).status(), pb::PAYMENT_STATUS_UNSYNCED);
  call(&Orders::SyncPayments, sync(paid));
  EXPECT_EQ(payment(paid).status(), pb::PAYMENT_STATUS_EXPIRED);
}

TEST_P(SandboxServiceTest, FaultsAndRecordedAnswers) {
  const Paid paid = authorized(5000);
  sandbox_pb::AddFaultRequest add;
  add.mutable_fault()->set_operation(sandbox_pb::OPERATION_CAPTURE);
  add.mutable_fault()->set_kind(sandbox_pb::FAULT_KIND_REFUSE);
  add.mutable_fault()->set_reason("CARD_DECLINED");
  add.mutable_fault()->set_times(1);
  ask(&Service::AddFault, add);
  add.mutable_fault()->set_kind(sandbox_pb::FAULT_KIND_DELAY);
  add.mutable_fault()->clear_reason();
  add.mutable_fault()->mutable_delay()->set_nanos(1'000'000);
  add.mutable_fault()->set_times(0);
  const auto faults = ask(&Service::AddFault, add).faults();
  ASSERT_THAT(faults, SizeIs(2));
  EXPECT_EQ(faults[0].kind(), sandbox_pb::FAULT_KIND_REFUSE);
  EXPECT_EQ(faults[1].ShortDebugString(), add.fault().ShortDebugString());

  EXPECT_EQ(call(&Orders::CapturePayment, capture(paid)).transaction().reason(), "CARD_DECLINED");
  const auto captured = call(&Orders::CapturePayment, capture(paid, 2000)).transaction();
  sandbox_pb::GetLedgerPaymentRequest look;
  look.set_gateway_reference(paid.reference);
  const auto payment = ask(&Service::GetLedgerPayment, look).payment();
  ASSERT_THAT(payment.movements(), SizeIs(2));
  EXPECT_EQ(payment.movements(1).attempt_id(), captured.transaction_id());
  EXPECT_EQ(payment.movements(1).gateway_transaction_id(), captured.gateway_transaction_id());
  ASSERT_THAT(payment.answers(), SizeIs(2));
  EXPECT_EQ(payment.answers(0).kind(), sandbox_pb::ANSWER_KIND_REFUSED);
  EXPECT_EQ(payment.answers(1).kind(), sandbox_pb::ANSWER_KIND_SUCCEEDED);

  ask(&Service::ClearFaults, sandbox_pb::ClearFaultsRequest());
  EXPECT_THAT(sandbox_->faults(Operation::kCapture), IsEmpty());
}

TEST_P(SandboxServiceTest, ListLedgerPaymentsPages) {
  std::vector<std::string> expected;
  for (int i = 0; i < 5; ++i) expected.push_back(new_payment(100 + i));
  std::sort(expected.begin(), expected.end());
  sandbox_pb::ListLedgerPaymentsRequest request;
  request.set_page_size(2);
  std::vector<std::string> seen;
  std::vector<int> pages;
  do {
    const auto page = ask(&Service::ListLedgerPayments, request);
    pages.push_back(page.payments_size());
    for (const auto& payment : page.payments()) seen.push_back(payment.gateway_reference());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty() && pages.size() < 10);
  EXPECT_THAT(pages, ElementsAre(2, 2, 1));
  EXPECT_EQ(seen, expected);
  request.set_page_token("x");
  EXPECT_EQ(no(&Service::ListLedgerPayments, request).reason, "PAGE_TOKEN_INVALID");
}

TEST_P(SandboxServiceTest, MistakesAreExplained) {
  sandbox_pb::GetLedgerPaymentRequest look;
  look.set_gateway_reference("no-such");
  EXPECT_EQ(no(&Service::GetLedgerPayment, look).reason, "SANDBOX_PAYMENT_NOT_FOUND");
  look.set_gateway_account("nowhere");
  EXPECT_EQ(no(&Service::GetLedgerPayment, look).reason, "GATEWAY_ACCOUNT_NOT_FOUND");
  look.set_gateway_account("external");
  EXPECT_EQ(no(&Service::GetLedgerPayment, look).reason, "NOT_A_SANDBOX");
  look.clear_gateway_reference();
  EXPECT_THAT(no(&Service::GetLedgerPayment, look).fields, ElementsAre("gateway_reference"));

  sandbox_pb::AuthorizeRequest authorize;
  authorize.mutable_amount()->set_currency_code("EURO");
  EXPECT_THAT(no(&Service::Authorize, authorize).fields,
              ElementsAre("amount.currency_code", "amount.amount_minor"));
  EXPECT_THAT(no(&Service::SimulateEvent, event_of("p")).fields, ElementsAre("event"));
  sandbox_pb::SetCapabilitiesRequest capabilities;
  capabilities.set_gateway_reference("p");
  EXPECT_THAT(no(&Service::SetCapabilities, capabilities).fields, ElementsAre("capabilities"));
  capabilities.mutable_capabilities();
  EXPECT_EQ(no(&Service::SetCapabilities, capabilities).reason, "SANDBOX_PAYMENT_NOT_FOUND");

  sandbox_pb::AddFaultRequest add;
  EXPECT_THAT(no(&Service::AddFault, add).fields, ElementsAre("fault.operation", "fault.kind"));
  add.mutable_fault()->set_operation(sandbox_pb::OPERATION_CAPTURE);
  add.mutable_fault()->set_kind(sandbox_pb::FAULT_KIND_PENDING_REFUND);
  EXPECT_THAT(no(&Service::AddFault, add).fields, ElementsAre("fault.kind"));
  add.mutable_fault()->set_kind(sandbox_pb::FAULT_KIND_DELAY);
  add.mutable_fault()->set_times(-1);
  EXPECT_THAT(no(&Service::AddFault, add).fields, ElementsAre("fault.delay", "fault.times"));
  add.mutable_fault()->set_kind(sandbox_pb::FAULT_KIND_REFUSE);
  add.mutable_fault()->set_reason("card declined");
  add.mutable_fault()->set_times(1);
  EXPECT_THAT(no(&Service::AddFault, add).fields, ElementsAre("fault.reason"));
}

}  // namespace
}  // namespace orderd::test
