#include "server/orders/import.h"

#include "tests/unit/rules_fixture.h"

namespace orderd::rules {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;
using namespace std::string_literals;

constexpr auto kMax = std::numeric_limits<std::int64_t>::max();

pb::Money eur(std::int64_t minor) { return make_money("EUR", minor); }

pb::ImportOrdersRequest make_request() {
  pb::ImportOrdersRequest request;
  auto& order = *request.mutable_order();
  order.set_order_number(" H-1 ");
  auto& item = *order.add_items();
  item.set_sku("sku");
  item.set_quantity(1);
  *item.mutable_unit_price() = eur(1000);
  request.set_state_id("completed");
  request.set_invoice_number(" I-1 ");
  request.add_notes()->set_body("hello");
  auto& payment = *request.add_payments();
  payment.set_gateway_account("external");
  payment.set_gateway_reference(" P-1 ");
  *payment.mutable_captured() = eur(1000);
  return request;
}

struct Case {
  std::string name;
  std::function<void(pb::ImportOrdersRequest&)> alter;
  std::string field;
};

void run_validation(const std::vector<Case>& cases) {
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

TEST(ImportValidation, Fields) {
  using R = pb::ImportOrdersRequest;
  auto note = [](R& r) { return r.mutable_notes(0); };
  run_validation({
      {"right", [](R&) {}, ""},
      {"no number", [](R& r) { r.mutable_order()->set_order_number("  "); }, "order.order_number"},
      {"no order", [](R& r) { r.clear_order(); }, "order.order_number"},
      {"no items", [](R& r) { r.mutable_order()->clear_items(); }, ""},
      {"as in CreateOrder", [](R& r) { r.mutable_order()->mutable_items(0)->clear_sku(); },
       "order.items[0].sku"},
      {"no state", [](R& r) { r.clear_state_id(); }, ""},
      {"long state", [](R& r) { r.set_state_id(std::string(65, 's')); }, "state_id"},
      {"longest invoice", [](R& r) { r.set_invoice_number(repeated(kClef, 64)); }, ""},
      {"long invoice", [](R& r) { r.set_invoice_number(repeated(kClef, 65)); }, "invoice_number"},
      {"control character", [](R& r) { r.set_invoice_number("a\nb"); }, "invoice_number"},
      {"empty note", [=](R& r) { note(r)->clear_body(); }, "notes[0].body"},
      {"longest note", [=](R& r) { note(r)->set_body(repeated(kClef, 10'000)); }, ""},
      {"long note", [=](R& r) { note(r)->set_body(repeated(kClef, 10'001)); }, "notes[0].body"},
      {"longest author", [=](R& r) { note(r)->set_author(repeated(kClef, 255)); }, ""},
      {"long author", [=](R& r) { note(r)->set_author(repeated(kClef, 256)); }, "notes[0].author"},
      {"visibility", [=](R& r) { note(r)->set_visibility(static_cast<pb::NoteVisibility>(9)); },
       "notes[0].visibility"},
      {"note's time", [=](R& r) { note(r)->mutable_create_time()->set_seconds(-1); },
       "notes[0].create_time"},
      {"1000 notes",
       [](R& r) {
         while (r.notes_size() < 1000) r.add_notes()->set_body("x");
       },
       ""},
      {"1001 notes",
       [](R& r) {
         while (r.notes_size() < 1001) r.add_notes()->set_body("x");
       },
       "notes"},
  });
}

TEST(ImportValidation, Payments) {
  using R = pb::ImportOrdersRequest;
  auto payment = [](R& r) { return r.mutable_payments(0); };
  auto pay = [](int count) {
    return [=](R& r) {
      for (int i = r.payments_size(); i < count; ++i) {
        auto& more = *r.add_payments();
        more.set_gateway_account("external");
        more.set_gateway_reference(std::to_string(i));
      }
    };
  };
  run_validation({
      {"100", pay(100), ""},
      {"101", pay(101), "payments"},
      {"account", [=](R& r) { payment(r)->set_gateway_account("stripe"); },
       "payments[0].gateway_account"},
      {"no account", [=](R& r) { payment(r)->clear_gateway_account(); },
       "payments[0].gateway_account"},
      {"no reference", [=](R& r) { payment(r)->set_gateway_reference(" "); },
       "payments[0].gateway_reference"},
      {"longest reference", [=](R& r) { payment(r)->set_gateway_reference(repeated(kClef, 255)); },
       ""},
      {"long reference", [=](R& r) { payment(r)->set_gateway_reference(repeated(kClef, 256)); },
       "payments[0].gateway_reference"},
      {"newline", [=](R& r) { payment(r)->set_gateway_reference("a\nb"); },
       "payments[0].gateway_reference"},
      {"same reference",
       [=](R& r) {
         *r.add_payments() = r.payments(0);
         r.mutable_payments(1)->set_gateway_reference("P-1");
       },
       "payments[1].gateway_reference"},
      {"long description", [=](R& r) { payment(r)->set_description(std::string(256, 'x')); },
       "payments[0].description"},
      {"negative", [=](R& r) { *payment(r)->mutable_captured() = eur(-1); },
       "payments[0].captured.amount_minor"},
      {"refunded", [=](R& r) { *payment(r)->mutable_refunded() = eur(1000); }, ""},
      {"too much refunded", [=](R& r) { *payment(r)->mutable_refunded() = eur(1001); },
       "payments[0].refunded.amount_minor"},
      {"too little authorized", [=](R& r) { *payment(r)->mutable_authorized() = eur(999); },
       "payments[0].authorized.amount_minor"},
      {"too much voided",
       [=](R& r) {
         *payment(r)->mutable_authorized() = eur(1500);
         *payment(r)->mutable_voided() = eur(501);
       },
       "payments[0].authorized.amount_minor"},
      {"overflow", [=](R& r) { *payment(r)->mutable_voided() = eur(kMax); },
       "payments[0].voided.amount_minor"},
      {"other currency", [=](R& r) { *payment(r)->mutable_captured() = make_money("USD", 1000); },
       "payments[0].captured.currency_code"},
      {"unknown currency",
       [=](R& r) {
         r.mutable_order()->clear_items();
         *payment(r)->mutable_captured() = make_money("XYZ", 1000);
       },
       "payments[0].captured.currency_code"},
      {"currency of its own",
       [=](R& r) {
         r.mutable_order()->clear_items();
         *payment(r)->mutable_captured() = make_money("USD", 1000);
       },
       ""},
  });
}

TEST(ImportClaims, ClaimsNumberInvoiceAndReferences) {
  auto request = make_request();
  EXPECT_THAT(
      import_claims(request),
      ElementsAre(Claim{ClaimKind::kOrderNumber, "H-1"}, Claim{ClaimKind::kInvoiceNumber, "I-1"},
                  Claim{ClaimKind::kPaymentReference, "external\nP-1"}));
  EXPECT_EQ(import_ids(request), 3u);
  request.clear_invoice_number();
  EXPECT_EQ(import_claims(request).size(), 2u);
}

class Import : public RulesTest {
 protected:
  Result import_with(const pb::ImportOrdersRequest& request,
                     std::vector<std::optional<ClaimHolder>> holders = {}) {
    const auto bytes = request.SerializeAsString();
    holders.resize(import_claims(request).size());
    std::vector<Uuid> ids;
    for (std::size_t i = 0; i < import_ids(request); ++i) {
      ids.push_back(uuid(static_cast<int>(i) + 100));
    }
    auto result = import_order(request, "digest", ids, holding(holders), context());
    EXPECT_EQ(bytes, request.SerializeAsString());
    return result;
  }
};

TEST_F(Import, TakesTheWholeOrder) {
  auto request = make_request();
  request.mutable_order()->mutable_order_time()->set_seconds(1'500'000'000);
  const auto result = import_with(request);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->import_digest, "digest");
  EXPECT_FALSE(result->imported_before);
  const auto& order = *result->after;
  EXPECT_EQ(order.order_id(), uuid(100).to_string());
  EXPECT_EQ(order.order_number(), "H-1");
  EXPECT_EQ(order.invoice_number(), "I-1");
  EXPECT_EQ(order.state_id(), "completed");
  EXPECT_EQ(order.currency_code(), "EUR");
  EXPECT_EQ(order.totals().total().amount_minor(), 1000);
  EXPECT_EQ(order.order_time().seconds(), 1'500'000'000);
  EXPECT_EQ(to_micros(order.create_time()), kNow);
  EXPECT_EQ(order.note_count(), 1);
  EXPECT_EQ(order.cancellation().status(), pb::CANCELLATION_STATUS_NONE);

  ASSERT_EQ(result->notes_created.size(), 1u);
  const auto& note = result->notes_created[0];
  EXPECT_EQ(note.note_id(), uuid(101).to_string());
  EXPECT_EQ(note.author(), kActor);
  EXPECT_EQ(note.visibility(), pb::NOTE_VISIBILITY_INTERNAL);
  EXPECT_EQ(to_micros(note.create_time()), kNow);
  EXPECT_EQ(to_micros(note.update_time()), kNow);

  ASSERT_EQ(order.payments_size(), 1);
  EXPECT_EQ(order.payments(0).payment_id(), uuid(102).to_string());
  EXPECT_EQ(order.payments(0).gateway_reference(), "P-1");

  ASSERT_EQ(result->events.size(), 1u);
  const auto& event = result->events[0].order_imported();
  EXPECT_EQ(event.order().SerializeAsString(), order.SerializeAsString());
  ASSERT_EQ(event.notes_size(), 1);
  EXPECT_EQ(event.notes(0).SerializeAsString(), note.SerializeAsString());
}

TEST_F(Import, NotesKeepAuthorTimeAndVisibilityAndAreSortedByTime) {
  auto request = make_request();
  request.clear_notes();
  for (int seconds : {300, 100, 200, 100}) {
    auto& note = *request.add_notes();
    note.set_author("bob" + std::to_string(request.notes_size()));
    note.set_body("x");
    note.set_visibility(pb::NOTE_VISIBILITY_CUSTOMER);
    note.mutable_create_time()->set_seconds(seconds);
  }
  const auto result = import_with(request);
  ASSERT_TRUE(result.ok());
  std::vector<std::string> authors, ids;
  for (const auto& note : result->notes_created) {
    authors.push_back(note.author());
    ids.push_back(note.note_id());
    EXPECT_EQ(note.visibility(), pb::NOTE_VISIBILITY_CUSTOMER);
    EXPECT_EQ(note.create_time().seconds(), note.update_time().seconds());
  }
  EXPECT_THAT(authors, ElementsAre("bob2", "bob4", "bob3", "bob1"));
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
}

TEST_F(Import, DerivesStatusAndRemainders) {
  struct PaymentCase {
    std::optional<std::int64_t> authorized;
    std::int64_t captured, refunded, voided;
    pb::PaymentStatus status;
    std::int64_t capturable, refundable;
  };
  const std::vector<PaymentCase> cases = {
      {{}, 10, 0, 0, pb::PAYMENT_STATUS_CAPTURED, 0, 10},
      {10, 10, 4, 0, pb::PAYMENT_STATUS_CAPTURED, 0, 6},
      {10, 10, 10, 0, pb::PAYMENT_STATUS_REFUNDED, 0, 0},
      {10, 4, 4, 0, pb::PAYMENT_STATUS_PARTLY_CAPTURED, 6, 0},
      {10, 4, 0, 0, pb::PAYMENT_STATUS_PARTLY_CAPTURED, 6, 4},
      {{}, 4, 1, 6, pb::PAYMENT_STATUS_CAPTURED, 0, 3},
      {10, 0, 0, 0, pb::PAYMENT_STATUS_AUTHORIZED, 10, 0},
      {10, 0, 0, 4, pb::PAYMENT_STATUS_AUTHORIZED, 6, 0},
      {{}, 0, 0, 10, pb::PAYMENT_STATUS_VOIDED, 0, 0},
      {0, 0, 0, 0, pb::PAYMENT_STATUS_CAPTURED, 0, 0},
      {{}, 0, 0, 0, pb::PAYMENT_STATUS_CAPTURED, 0, 0},
  };
  for (std::size_t i = 0; i < cases.size(); ++i) {
    SCOPED_TRACE(i);
    const auto& c = cases[i];
    auto request = make_request();
    auto& payment = *request.mutable_payments(0);
    if (c.authorized) *payment.mutable_authorized() = eur(*c.authorized);
    *payment.mutable_captured() = eur(c.captured);
    *payment.mutable_refunded() = eur(c.refunded);
    *payment.mutable_voided() = eur(c.voided);
    ASSERT_TRUE(validate(request).ok());
    const auto result = import_with(request);
    ASSERT_TRUE(result.ok());
    const auto& built = result->after->payments(0);
    EXPECT_EQ(built.status(), c.status);
    EXPECT_EQ(built.authorized().amount_minor(), c.authorized.value_or(c.captured + c.voided));
    EXPECT_EQ(built.capturable().amount_minor(), c.capturable);
    EXPECT_EQ(built.refundable().amount_minor(), c.refundable);
    EXPECT_EQ(built.refundable().currency_code(), "EUR");
  }
}

TEST_F(Import, TheCurrencyMayComeFromThePayments) {
  auto request = make_request();
  request.mutable_order()->clear_items();
  const auto result = import_with(request);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->after->currency_code(), "EUR");

  request.mutable_payments(0)->clear_captured();
  const auto without = import_with(request);
  ASSERT_TRUE(without.ok());
  EXPECT_EQ(without->after->currency_code(), "");
  EXPECT_FALSE(without->after->payments(0).has_captured());
}

TEST_F(Import, AnyLiveStateNoRule) {
  auto request = make_request();
  request.clear_state_id();
  EXPECT_EQ(import_with(request)->after->state_id(), "new");
  request.set_state_id("suspended");
  EXPECT_EQ(import_with(request)->after->state_id(), "suspended");
  request.set_state_id("canceled");
  const auto canceled = import_with(request);
  ASSERT_TRUE(canceled.ok());
  EXPECT_EQ(canceled->after->cancellation().status(), pb::CANCELLATION_STATUS_COMPLETED);

  request.set_state_id("nowhere");
  EXPECT_REFUSED(import_with(request), "STATE_UNKNOWN");
  request.set_state_id("fraud");
  delete_state_in(settings_, "fraud");
  EXPECT_REFUSED(import_with(request), "STATE_UNKNOWN");
}

TEST_F(Import, TheOrderNumberDecidesFirst) {
  auto request = make_request();
  request.set_state_id("nowhere");  // does not matter any more
  const auto same = import_with(request, {ClaimHolder{uuid(5), "digest"}});
  ASSERT_TRUE(same.ok());
  EXPECT_EQ(same->imported_before, uuid(5));
  EXPECT_FALSE(same->after);
  EXPECT_TRUE(same->events.empty());

  const auto other = import_with(request, {ClaimHolder{uuid(5), "other"}});
  EXPECT_REFUSED(other, "IMPORT_CONFLICT");
  EXPECT_EQ(metadata_of(other.status(), "order_id"), uuid(5).to_string());
  EXPECT_REFUSED(import_with(request, {ClaimHolder{uuid(5), ""}}), "ORDER_NUMBER_IN_USE");
}

TEST_F(Import, NamesAllRefusals) {
  auto request = make_request();
  const auto invoice = import_with(request, {std::nullopt, ClaimHolder{uuid(6), ""}});
  EXPECT_REFUSED(invoice, "INVOICE_NUMBER_IN_USE");
  EXPECT_EQ(metadata_of(invoice.status(), "order_id"), uuid(6).to_string());
  EXPECT_REFUSED(import_with(request, {std::nullopt, std::nullopt, ClaimHolder{uuid(7), ""}}),
                 "PAYMENT_REFERENCE_IN_USE");

  request.set_state_id("nowhere");
  const auto all =
      import_with(request, {std::nullopt, ClaimHolder{uuid(6), ""}, ClaimHolder{uuid(7), ""}});
  EXPECT_REFUSED(all, "STATE_UNKNOWN");
  EXPECT_THAT(fields_of(all.status()),
              UnorderedElementsAre("state_id", "invoice_number", "payments[0].gateway_reference"));
}

}  // namespace
}  // namespace orderd::rules
