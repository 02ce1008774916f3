#include "server/orders/create.h"
#include "server/orders/import.h"
#include "tests/unit/payments_fixture.h"

// How orders get payments, and whether requests about them are well formed.

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;

pb::NewPayment new_payment(const std::string& account, const std::string& reference) {
  pb::NewPayment payment;
  payment.set_gateway_account(account);
  payment.set_gateway_reference(reference);
  return payment;
}

pb::NewPayment cash(std::optional<std::int64_t> authorized, std::optional<std::int64_t> captured,
                    const std::string& reference = "till-1") {
  auto payment = new_payment("external", reference);
  if (authorized) *payment.mutable_authorized() = euros(*authorized);
  if (captured) *payment.mutable_captured() = euros(*captured);
  return payment;
}

/// "CAPTURE 40" of each transaction.
std::vector<std::string> shown(const std::vector<pb::PaymentTransaction>& transactions) {
  std::vector<std::string> shown;
  for (const auto& t : transactions) {
    EXPECT_EQ(t.status(), pb::TRANSACTION_STATUS_SUCCEEDED);
    EXPECT_EQ(t.actor(), kActor);
    EXPECT_EQ(to_micros(t.create_time()), kNow);
    shown.push_back(pb::TransactionKind_Name(t.kind()).substr(17) + " " +
                    std::to_string(t.amount().amount_minor()));
  }
  return shown;
}

class PaymentsAttach : public PaymentsTest {
 protected:
  PaymentsAttach() { order_.clear_payments(); }

  Result add(const pb::NewPayment& payment, std::optional<ClaimHolder> holder = {}) {
    pb::AddPaymentRequest request;
    request.set_request_id(kUuid);
    *request.mutable_payment() = payment;
    EXPECT_TRUE(validate_new(payment).ok()) << validate_new(payment);
    return run(
        [&](const Target& target, const Context& c) {
          return rules::add_payment(request, uuid(100), gateways_, target, c);
        },
        holding({holder}));
  }
  static absl::Status validate_new(const pb::NewPayment& payment) {
    errors::Violations violations;
    check_new_payment(payment, "payment.", violations);
    return violations.status();
  }
};

TEST_F(PaymentsAttach, AGatewaysPaymentIsUnsynced) {
  auto wanted = new_payment("bank", " pi_1 ");
  wanted.set_description("card");
  EXPECT_EQ(payment_claims(wanted),
            (std::vector<Claim>{{ClaimKind::kPaymentReference, payment_claim("bank", "pi_1")}}));
  const auto result = add(wanted);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->outcome.payment_id(), uuid(100).to_string());
  EXPECT_TRUE(result->payments_changed);
  EXPECT_TRUE(result->transactions_created.empty());
  ASSERT_EQ(result->schedule.size(), 1u);
  EXPECT_EQ(result->schedule[0].next_check, kNow + 10 * kMinutes);
  const auto& made = result->after->payments(0);
  EXPECT_EQ(result->events[0].payment_added().payment().SerializeAsString(),
            made.SerializeAsString());
  EXPECT_EQ(made.payment_id(), uuid(100).to_string());
  EXPECT_EQ(made.gateway_account(), "bank");
  EXPECT_EQ(made.gateway_reference(), "pi_1");
  EXPECT_EQ(made.description(), "card");
  EXPECT_EQ(made.status(), pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_FALSE(made.has_authorized());
  EXPECT_FALSE(made.has_capturable());
  EXPECT_FALSE(made.has_capabilities());
}

TEST_F(PaymentsAttach, AnExternalOneHasTheCallersAmounts) {
  struct Case {
    pb::NewPayment wanted;
    std::string payment;
    std::vector<std::string> transactions;
  };
  for (const Case& c : std::vector<Case>{
           {cash(100, 40),
            "PARTLY_CAPTURED 100 40 0 0, 60 40",
            {"AUTHORIZATION 100", "CAPTURE 40"}},
           {cash({}, 40), "CAPTURED 40 40 0 0, 0 40", {"AUTHORIZATION 40", "CAPTURE 40"}},
           {cash(100, {}), "AUTHORIZED 100 0 0 0, 100 0", {"AUTHORIZATION 100"}},
           {cash({}, {}), "CAPTURED 0 0 0 0, 0 0", {}}}) {
    SCOPED_TRACE(c.payment);
    order_.clear_payments();
    const auto result = add(c.wanted);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_TRUE(result->schedule.empty());
    EXPECT_EQ(shown(result->transactions_created), c.transactions);
    std::set<std::string> ids;
    for (const auto& transaction : result->transactions_created) {
      ids.insert(transaction.transaction_id());
      EXPECT_EQ(transaction.payment_id(), uuid(100).to_string());
      EXPECT_EQ(transaction.request_id(), kUuid);
      EXPECT_EQ(to_micros(transaction.complete_time()), kNow);
    }
    EXPECT_EQ(ids.size(), c.transactions.size());
    order_ = *result->after;
    EXPECT_EQ(shown_payment(), c.payment);
    EXPECT_TRUE(payment().capabilities().multi_capture());
  }
}

TEST_F(PaymentsAttach, TheOrderHasOneCurrency) {
  auto wanted = cash({}, 40);
  wanted.mutable_captured()->set_currency_code("USD");
  const auto refused = add(wanted);
  EXPECT_REFUSED(refused, "CURRENCY_MISMATCH");
  EXPECT_EQ(metadata_of(refused.status(), "expected"), "EUR");
  EXPECT_EQ(metadata_of(refused.status(), "given"), "USD");
  order_.clear_currency_code();
  EXPECT_EQ(add(wanted)->after->currency_code(), "USD");
}

TEST_F(PaymentsAttach, AGatewaysPaymentNeedsAnOrderWithACurrency) {
  order_.clear_currency_code();
  EXPECT_REFUSED(add(new_payment("bank", "x")), "ORDER_WITHOUT_CURRENCY");
  EXPECT_TRUE(add(cash({}, {})).ok());
  order_ = *add(cash({}, 40))->after;
  EXPECT_TRUE(add(new_payment("bank", "x")).ok());
}

TEST_F(PaymentsAttach, Refusals) {
  const auto wanted = new_payment("bank", "pi_1");
  const auto taken = add(wanted, ClaimHolder{uuid(5), ""});
  EXPECT_REFUSED(taken, "PAYMENT_REFERENCE_IN_USE");
  EXPECT_EQ(metadata_of(taken.status(), "order_id"), uuid(5).to_string());
  gateways_.unknown = {"bank"};
  EXPECT_REFUSED(add(wanted), "GATEWAY_NOT_CONFIGURED");
  gateways_.unknown.clear();
  for (int i = 0; i < kMaxPayments; ++i) order_.add_payments();
  EXPECT_REFUSED(add(wanted), "TOO_MANY_PAYMENTS");
  order_.mutable_payments()->RemoveLast();
  EXPECT_TRUE(add(wanted).ok());
  order_.set_state_id("canceled");
  EXPECT_REFUSED(add(wanted), "ORDER_CANCELED");
  order_.set_state_id("new");
  auto& cancellation = *order_.mutable_cancellation();
  cancellation.set_status(pb::CANCELLATION_STATUS_COMPLETED);
  EXPECT_REFUSED(add(wanted), "ORDER_CANCELED");
  cancellation.set_status(pb::CANCELLATION_STATUS_IN_PROGRESS);
  EXPECT_REFUSED(add(wanted), "CANCELLATION_IN_PROGRESS");
}

class PaymentsOfNewOrder : public PaymentsAttach {
 protected:
  PaymentsOfNewOrder() {
    request_.set_request_id(kUuid);
    auto& item = *request_.mutable_order()->add_items();
    item.set_sku("A");
    item.set_quantity(1);
    *item.mutable_unit_price() = euros(100);
  }
  Result create(std::vector<std::optional<ClaimHolder>> holders = {}) {
    EXPECT_TRUE(validate(request_).ok()) << validate(request_);
    holders.resize(create_claims(request_, "A-1").size());
    return create_order(request_, uuid(9), "A-1", gateways_, holding(holders), context());
  }
  void add(const pb::NewPayment& payment) { *request_.mutable_order()->add_payments() = payment; }

  pb::CreateOrderRequest request_;
};

TEST_F(PaymentsOfNewOrder, AreAttached) {
  add(new_payment("bank", "pi_1"));
  add(cash(60, 60));
  add(cash({}, 5, "till-2"));
  EXPECT_THAT(
      create_claims(request_, "A-1"),
      ElementsAre(Claim{ClaimKind::kOrderNumber, "A-1"},
                  Claim{ClaimKind::kPaymentReference, payment_claim("bank", "pi_1")},
                  Claim{ClaimKind::kPaymentReference, payment_claim("external", "till-1")},
                  Claim{ClaimKind::kPaymentReference, payment_claim("external", "till-2")}));
  const auto result = create();
  ASSERT_TRUE(result.ok()) << result.status();
  ASSERT_EQ(result->after->payments_size(), 3);
  EXPECT_EQ(result->after->payments(0).status(), pb::PAYMENT_STATUS_UNSYNCED);
  EXPECT_EQ(result->after->payments(1).status(), pb::PAYMENT_STATUS_CAPTURED);
  EXPECT_THAT(shown(result->transactions_created),
              ElementsAre("AUTHORIZATION 60", "CAPTURE 60", "AUTHORIZATION 5", "CAPTURE 5"));
  ASSERT_EQ(result->schedule.size(), 1u);
  EXPECT_EQ(result->schedule[0].payment_id, result->after->payments(0).payment_id());
  EXPECT_EQ(result->events[0].order_created().order().payments_size(), 3);

  std::set<std::string> ids;
  std::size_t count = 0;
  const auto take = [&](const std::string& id) {
    ids.insert(id);
    ++count;
  };
  for (const auto& shipment : result->after->shipments()) {
    take(shipment.shipment_id());
    for (const auto& line : shipment.lines()) take(line.line_id());
  }
  for (const auto& payment : result->after->payments()) take(payment.payment_id());
  for (const auto& transaction : result->transactions_created) {
    take(transaction.transaction_id());
    EXPECT_EQ(transaction.request_id(), kUuid);
  }
  EXPECT_EQ(ids.size(), count) << "all ids differ";
}

TEST_F(PaymentsOfNewOrder, AreRefusedAllAtOnce) {
  add(new_payment("bank", "pi_1"));
  add(new_payment("shop", "pi_2"));
  auto dollars = cash({}, 5);
  dollars.mutable_captured()->set_currency_code("USD");
  add(dollars);
  gateways_.unknown = {"shop"};
  const auto result = create({{}, ClaimHolder{uuid(5), ""}});
  EXPECT_REFUSED(result, "PAYMENT_REFERENCE_IN_USE");
  EXPECT_THAT(fields_of(result.status()), ElementsAre("order.payments[0].gateway_reference",
                                                      "order.payments[1]", "order.payments[2]"));
}

TEST_F(PaymentsOfNewOrder, NeedACurrencyIfTheyAreAtAGateway) {
  request_.mutable_order()->clear_items();
  add(new_payment("bank", "pi_1"));
  const auto result = create();
  EXPECT_REFUSED(result, "ORDER_WITHOUT_CURRENCY");
  EXPECT_THAT(fields_of(result.status()), ElementsAre("order.payments[0]"));
  add(cash({}, 5));
  const auto made = create();
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_EQ(made->after->currency_code(), "EUR");
}

TEST_F(PaymentsOfNewOrder, DifferAndAreNotTooMany) {
  add(new_payment("bank", "pi_1"));
  add(new_payment("shop", "pi_1"));
  EXPECT_TRUE(validate(request_).ok());
  add(new_payment("bank", " pi_1"));
  EXPECT_ONLY_VIOLATION(validate(request_), "order.payments[2].gateway_reference");
  request_.mutable_order()->clear_payments();
  for (int i = 0; i <= kMaxPayments; ++i) add(new_payment("bank", std::to_string(i)));
  EXPECT_ONLY_VIOLATION(validate(request_), "order.payments");
  pb::ImportOrdersRequest import;
  import.mutable_order()->set_order_number("A");
  *import.mutable_order()->add_payments() = new_payment("bank", "1");
  EXPECT_ONLY_VIOLATION(validate(import), "order.payments");
}

TEST_F(PaymentsOfNewOrder, ImportsHaveAHistoryOfMoney) {
  pb::ImportOrdersRequest import;
  import.mutable_order()->set_order_number("A-1");
  import.mutable_order()->mutable_order_time()->set_seconds(1'500'000'000);
  auto& imported = *import.add_payments();
  imported.set_gateway_account("external");
  imported.set_gateway_reference("r");
  *imported.mutable_authorized() = euros(100);
  *imported.mutable_captured() = euros(70);
  *imported.mutable_refunded() = euros(20);
  *imported.mutable_voided() = euros(30);
  ASSERT_TRUE(validate(import).ok()) << validate(import);
  const std::vector<Uuid> ids = {uuid(1), uuid(200)};
  const auto result = import_order(import, "d", ids, holding({{}, {}}), context());
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_THAT(shown(result->transactions_created),
              ElementsAre("AUTHORIZATION 100", "CAPTURE 70", "REFUND 20", "VOID 30"));
  for (const auto& transaction : result->transactions_created) {
    EXPECT_EQ(to_micros(transaction.complete_time()), 1'500'000'000 * kSeconds) << "the order time";
  }
  EXPECT_TRUE(result->schedule.empty());
  order_ = *result->after;
  EXPECT_EQ(shown_payment(), "CAPTURED 100 70 20 30, 0 50");
  EXPECT_EQ(payment().capture_count(), 1);
  EXPECT_EQ(payment().capabilities().SerializeAsString(),
            external_capabilities().SerializeAsString());
}

TEST(PaymentRequests, NewPaymentsAreChecked) {
  const auto check = [](const pb::NewPayment& payment) {
    errors::Violations violations;
    check_new_payment(payment, "payment.", violations);
    return violations.status();
  };
  EXPECT_TRUE(check(new_payment("bank", "pi_1")).ok());
  EXPECT_TRUE(check(new_payment("bank", repeated(kClef, 255))).ok());
  EXPECT_ONLY_VIOLATION(check(new_payment("", "pi_1")), "payment.gateway_account");
  EXPECT_ONLY_VIOLATION(check(new_payment(repeated("a", 65), "x")), "payment.gateway_account");
  EXPECT_ONLY_VIOLATION(check(new_payment("bank", " \t")), "payment.gateway_reference");
  EXPECT_ONLY_VIOLATION(check(new_payment("bank", "a\nb")), "payment.gateway_reference");
  EXPECT_ONLY_VIOLATION(check(new_payment("bank", repeated("a", 256))),
                        "payment.gateway_reference");
  auto payment = new_payment("bank", "x");
  payment.set_description(repeated("a", 256));
  EXPECT_ONLY_VIOLATION(check(payment), "payment.description");
  payment.clear_description();
  *payment.mutable_captured() = euros(1);
  EXPECT_ONLY_VIOLATION(check(payment), "payment.captured");
  payment.clear_captured();
  *payment.mutable_authorized() = euros(1);
  EXPECT_ONLY_VIOLATION(check(payment), "payment.authorized");
  EXPECT_ONLY_VIOLATION(check(cash(39, 40)), "payment.authorized.amount_minor");
  EXPECT_ONLY_VIOLATION(check(cash({}, -1)), "payment.captured.amount_minor");
  auto mixed = cash(40, 40);
  mixed.mutable_captured()->set_currency_code("USD");
  EXPECT_ONLY_VIOLATION(check(mixed), "payment.captured.currency_code");
  mixed.mutable_captured()->set_currency_code("EURO");
  EXPECT_ONLY_VIOLATION(check(mixed), "payment.captured.currency_code");
}

/// What is wrong with a request that is right but for one field.
template <class Request>
std::vector<std::string> faults(Request request, std::function<void(Request&)> spoil) {
  if constexpr (requires { request.set_order_id(""); }) request.set_order_id("o");
  if constexpr (requires { request.set_payment_id(""); }) request.set_payment_id("p");
  if constexpr (requires { request.set_transaction_id(""); }) {
    request.set_transaction_id("t");
    request.set_status(pb::TRANSACTION_STATUS_FAILED);
    request.set_reason("because");
  }
  if constexpr (requires { request.mutable_payment(); }) {
    *request.mutable_payment() = new_payment("bank", "x");
  }
  EXPECT_TRUE(validate(request).ok()) << validate(request);
  spoil(request);
  return fields_of(validate(request));
}

template <class Request>
void check_mutation_fields() {
  SCOPED_TRACE(Request::descriptor()->name());
  EXPECT_THAT(faults<Request>({}, [](auto& r) { r.set_request_id("1"); }),
              ElementsAre("request_id"));
  EXPECT_THAT(faults<Request>({}, [](auto& r) { r.clear_order_id(); }), ElementsAre("order_id"));
  EXPECT_THAT(faults<Request>({}, [](auto& r) { r.set_etag(repeated("a", 65)); }),
              ElementsAre("etag"));
}

template <class Request>
void check_attempt_fields() {
  check_mutation_fields<Request>();
  EXPECT_THAT(faults<Request>({}, [](auto& r) { r.clear_payment_id(); }),
              ElementsAre("payment_id"));
  EXPECT_THAT(faults<Request>({}, [](auto& r) { r.set_reason(repeated("a", 1001)); }),
              ElementsAre("reason"));
}

template <class Request>
void check_amount_field() {
  EXPECT_THAT(faults<Request>({}, [](auto& r) { *r.mutable_amount() = euros(1); }), ElementsAre());
  EXPECT_THAT(faults<Request>({}, [](auto& r) { *r.mutable_amount() = euros(0); }),
              ElementsAre("amount.amount_minor"));
  EXPECT_THAT(faults<Request>({}, [](auto& r) { *r.mutable_amount() = make_money("EURO", 1); }),
              ElementsAre("amount.currency_code"));
}

TEST(PaymentRequests, AreChecked) {
  check_mutation_fields<pb::AddPaymentRequest>();
  EXPECT_THAT(faults<pb::AddPaymentRequest>({}, [](auto& r) { r.clear_payment(); }),
              ElementsAre("payment"));
  EXPECT_THAT(faults<pb::AddPaymentRequest>(
                  {}, [](auto& r) { r.mutable_payment()->clear_gateway_account(); }),
              ElementsAre("payment.gateway_account"));
  check_attempt_fields<pb::CapturePaymentRequest>();
  check_attempt_fields<pb::VoidPaymentRequest>();
  check_attempt_fields<pb::RefundPaymentRequest>();
  check_amount_field<pb::CapturePaymentRequest>();
  check_amount_field<pb::RefundPaymentRequest>();
  check_mutation_fields<pb::SyncPaymentsRequest>();
  EXPECT_THAT(faults<pb::SyncPaymentsRequest>({}, [](auto& r) { r.clear_payment_id(); }),
              ElementsAre());
  EXPECT_THAT(
      faults<pb::SyncPaymentsRequest>({}, [](auto& r) { r.set_payment_id(repeated("a", 65)); }),
      ElementsAre("payment_id"));
  using List = pb::ListTransactionsRequest;
  EXPECT_THAT(faults<List>({}, [](auto& r) { r.clear_payment_id(); }), ElementsAre());
  EXPECT_THAT(faults<List>({}, [](auto& r) { r.clear_order_id(); }), ElementsAre("order_id"));
  EXPECT_THAT(faults<List>({}, [](auto& r) { r.set_page_size(-1); }), ElementsAre("page_size"));
  using Unresolved = pb::ListUnresolvedTransactionsRequest;
  EXPECT_THAT(faults<Unresolved>({}, [](auto& r) { r.set_page_size(-1); }),
              ElementsAre("page_size"));
  EXPECT_THAT(faults<Unresolved>({}, [](auto& r) { r.set_gateway_account(repeated("a", 65)); }),
              ElementsAre("gateway_account"));
  using Resolve = pb::ResolveTransactionRequest;
  check_mutation_fields<Resolve>();
  EXPECT_THAT(faults<Resolve>({}, [](auto& r) { r.clear_transaction_id(); }),
              ElementsAre("transaction_id"));
  EXPECT_THAT(faults<Resolve>({}, [](auto& r) { r.set_reason("  "); }), ElementsAre("reason"));
  EXPECT_THAT(faults<Resolve>({}, [](auto& r) { r.set_status(pb::TRANSACTION_STATUS_PENDING); }),
              ElementsAre("status"));
}

}  // namespace
}  // namespace orderd::rules
