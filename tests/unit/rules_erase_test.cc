#include "server/orders/erase.h"

#include <google/protobuf/util/message_differencer.h>

#include "server/orders/emails.h"
#include "server/orders/update.h"
#include "tests/unit/rules_fixture.h"

namespace orderd::rules {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

const Pseudonyms kPseudonyms{"secret"};
const std::string kMarker = "PERSONAL";
const Uuid kErasure = uuid(77);

/// Every text of what an erasure looks at must be in one of three sets: of a customer (gone, but
/// for two fields), what people wrote (gone with `texts`), or here (stays).
const std::set<std::string> kStays = {
    "Address.country_code",
    "Adjustment.label",
    "AvailableAction.payment_id",
    "AvailableAction.reason",
    "AvailableAction.state_id",
    "Cancellation.target_state_id",
    "CancellationLeg.payment_id",
    "CancellationLeg.reason",
    "CancellationLeg.transaction_id",
    "Customer.customer_id",
    "CustomerErased.erasure_id",
    "CustomerErased.open_reason",
    "Email.email_id",
    "Email.last_error",
    "Email.message_id",
    "Email.order_id",
    "InvoiceNumberChanged.after",
    "InvoiceNumberChanged.before",
    "Item.item_id",
    "Item.name",
    "Item.shipment_method_id",
    "Item.sku",
    "Money.currency_code",
    "Note.author",
    "Note.note_id",
    "Order.LabelsEntry.key",
    "Order.LabelsEntry.value",
    "Order.currency_code",
    "Order.etag",
    "Order.invoice_number",
    "Order.order_id",
    "Order.order_number",
    "Order.state_id",
    "OrderDetails.LabelsEntry.key",
    "OrderDetails.LabelsEntry.value",
    "OrderEvent.actor",
    "OrderEvent.etag",
    "OrderEvent.order_id",
    "OrderEvent.request_id",
    "Payment.gateway_account",
    "Payment.gateway_reference",
    "Payment.payment_id",
    "PaymentTransaction.actor",
    "PaymentTransaction.gateway_transaction_id",
    "PaymentTransaction.payment_id",
    "PaymentTransaction.reason",
    "PaymentTransaction.released_by",
    "PaymentTransaction.request_id",
    "PaymentTransaction.transaction_id",
    "Shipment.method_id",
    "Shipment.shipment_id",
    "ShipmentLine.delivery_state_id",
    "ShipmentLine.item_id",
    "ShipmentLine.line_id",
    "StateChanged.after_state_id",
    "StateChanged.before_state_id",
    "TrackingNumber.number",
    "TrackingNumber.url",
};

const std::set<std::string> kTexts = {
    "Cancellation.reason", "CancellationChanged.reason",
    "Note.body",           "OrderUpdated.reason",
    "Payment.description", "PaymentChanged.reason",
    "StateChanged.reason", "PaymentTransaction.description",
};

const std::set<std::string> kErased = {
    "Address.city",   "Address.company", "Address.line1",       "Address.line2",
    "Address.name",   "Address.phone",   "Address.postal_code", "Address.region",
    "Customer.email", "Customer.name",   "Customer.phone",      "Email.recipient",
};

std::string name_of(const FieldDescriptor& field) {
  return field.full_name().substr(std::string("orders.v1.").size());
}

/// Sets every text of a message, and of all messages in it, to the marker; of a oneof the last
/// field, or `payload`. Returns the fields that can have one.
void fill(Message& message, std::set<std::string>& fields,
          const FieldDescriptor* payload = nullptr) {
  const Descriptor& type = *message.GetDescriptor();
  const auto& reflection = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    if (payload != nullptr && field.containing_oneof() != nullptr && &field != payload) continue;
    if (field.cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      fields.insert(name_of(field));
      if (field.is_repeated()) {
        reflection.AddString(&message, &field, kMarker);
      } else {
        reflection.SetString(&message, &field, kMarker);
      }
    } else if (field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!field.message_type()->full_name().starts_with("orders.v1.")) continue;
      fill(field.is_repeated() ? *reflection.AddMessage(&message, &field)
                               : *reflection.MutableMessage(&message, &field),
           fields);
    }
  }
}

/// The fields that have the marker.
void find(const Message& message, std::set<std::string>& found) {
  const auto& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      const std::string text = field->is_repeated()
                                   ? reflection.GetRepeatedString(message, field, 0)
                                   : reflection.GetString(message, field);
      if (text.find(kMarker) != std::string::npos) found.insert(name_of(*field));
    } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      if (!field->is_repeated()) find(reflection.GetMessage(message, field), found);
      for (int i = 0; field->is_repeated() && i < reflection.FieldSize(message, field); ++i) {
        find(reflection.GetRepeatedMessage(message, field, i), found);
      }
    }
  }
}

/// All that is kept of an order, filled; an event of each type.
std::vector<std::unique_ptr<Message>> everything(std::set<std::string>& fields) {
  std::vector<std::unique_ptr<Message>> all;
  const auto add = [&](auto message, const FieldDescriptor* payload = nullptr) {
    fill(message, fields, payload);
    all.push_back(std::make_unique<decltype(message)>(std::move(message)));
  };
  add(pb::Order());
  add(pb::Note());
  add(pb::PaymentTransaction());
  add(pb::Email());
  const auto& payloads = *pb::OrderEvent::descriptor()->FindOneofByName("payload");
  for (int i = 0; i < payloads.field_count(); ++i) add(pb::OrderEvent(), payloads.field(i));
  return all;
}

TEST(ErasePersonalData, EveryTextIsErasedOrIsToStay) {
  for (const bool texts : {false, true}) {
    std::set<std::string> fields, left;
    for (const auto& message : everything(fields)) {
      const std::string before = message->SerializeAsString();
      const bool erased = erase_personal_data(kPseudonyms, texts, *message);
      EXPECT_EQ(erased, message->SerializeAsString() != before) << message->DebugString();
      find(*message, left);
    }
    std::set<std::string> all = kStays;
    all.insert(kTexts.begin(), kTexts.end());
    all.insert(kErased.begin(), kErased.end());
    EXPECT_EQ(fields, all)
        << "a new text: is it personal? Then `erase_personal_data` must erase it";
    std::set<std::string> expected = kStays;
    expected.erase("Customer.customer_id");
    if (!texts) expected.insert(kTexts.begin(), kTexts.end());
    EXPECT_EQ(left, expected);
  }
}

TEST(ErasePersonalData, KeepsCountryAndPseudonym) {
  pb::Order order;
  order.mutable_customer()->set_customer_id("C-1");
  order.mutable_customer()->set_name("Ann");
  order.mutable_billing_address()->set_country_code("DE");
  order.mutable_billing_address()->set_city("Bonn");
  order.mutable_shipping_address()->set_city("Bonn");
  EXPECT_TRUE(erase_personal_data(kPseudonyms, false, order));
  pb::Order expected;
  expected.mutable_customer()->set_customer_id(kPseudonyms.of_customer_id("C-1"));
  expected.mutable_billing_address()->set_country_code("DE");
  EXPECT_TRUE(MessageDifferencer::Equals(order, expected)) << order.DebugString();
  EXPECT_FALSE(erase_personal_data(kPseudonyms, true, order)) << "nothing is left";
}

TEST(ErasePersonalData, AnEventKeepsItsType) {
  pb::OrderEvent event;
  event.mutable_state_changed()->set_reason("Ann called");
  EXPECT_TRUE(erase_personal_data(kPseudonyms, true, event));
  EXPECT_TRUE(event.has_state_changed());
}

TEST(PseudonymsTest, AreStableKeyedAndTheirOwn) {
  const std::string one = kPseudonyms.of_customer_id("C-1");
  EXPECT_EQ(one.size(), std::string("erased-").size() + 32);
  EXPECT_EQ(kPseudonyms.of_customer_id("C-1"), one);
  EXPECT_EQ(kPseudonyms.of_customer_id(one), one);
  EXPECT_NE(kPseudonyms.of_customer_id("C-2"), one);
  EXPECT_NE(Pseudonyms("other").of_customer_id("C-1"), one);
  EXPECT_NE(kPseudonyms.of_email("C-1"), one);
  EXPECT_EQ(kPseudonyms.of_email("Ann@Example.com"), kPseudonyms.of_email("ann@example.COM"));
  // What only looks like one is an id like any other.
  EXPECT_NE(kPseudonyms.of_customer_id("erased-"), "erased-");
  EXPECT_NE(kPseudonyms.of_customer_id("erased-" + std::string(32, 'g')),
            "erased-" + std::string(32, 'g'));
}

TEST(EraseValidation, Requests) {
  pb::EraseCustomerDataRequest request;
  EXPECT_ONLY_VIOLATION(validate(request), "selector");
  request.set_customer_id("");
  EXPECT_ONLY_VIOLATION(validate(request), "customer_id");
  request.set_customer_id(repeated(kClef, 255));
  EXPECT_TRUE(validate(request).ok());
  request.set_email("");
  EXPECT_ONLY_VIOLATION(validate(request), "email");
  request.set_email("ann@example.com");
  EXPECT_TRUE(validate(request).ok());
  request.mutable_orders();
  EXPECT_ONLY_VIOLATION(validate(request), "orders.order_ids");
  for (int i = 0; i < 1000; ++i) request.mutable_orders()->add_order_ids(uuid(i).to_string());
  EXPECT_TRUE(validate(request).ok());
  request.mutable_orders()->add_order_ids("x");
  EXPECT_ONLY_VIOLATION(validate(request), "orders.order_ids");
  request.mutable_orders()->clear_order_ids();
  request.mutable_orders()->add_order_ids("");
  request.set_request_id("1");
  request.set_page_size(-1);
  EXPECT_THAT(fields_of(validate(request)),
              ElementsAre("orders.order_ids[0]", "page_size", "request_id"));

  pb::ListErasuresRequest list;
  EXPECT_TRUE(validate(list).ok());
  list.set_customer_id("C-1");
  EXPECT_TRUE(validate(list).ok());
  list.set_email("ann@example.com");
  EXPECT_ONLY_VIOLATION(validate(list), "email");
}

class Erase : public RulesTest {
 protected:
  Erase() {
    order_.set_state_id("completed");
    order_.mutable_customer()->set_customer_id("C-1");
    order_.mutable_billing_address()->set_city("Bonn");
    request_.set_customer_id("C-1");
    auto& note = target_.notes.emplace_back();
    note.set_note_id(uuid(2).to_string());
    note.set_body("Ann called");
    auto& payment = *order_.add_payments();
    payment.set_payment_id(uuid(3).to_string());
    payment.set_description("Ann's card");
    payment.set_status(pb::PAYMENT_STATUS_CAPTURED);
    auto& transaction = target_.ledger.emplace_back();
    transaction.set_transaction_id(uuid(4).to_string());
    transaction.set_description("because Ann called");
    *target_.history.emplace_back().mutable_order_created()->mutable_order() = order_;
    target_.history.emplace_back().mutable_note_added()->mutable_note()->set_body("Ann called");
    target_.history.emplace_back().mutable_invoice_number_changed()->set_after("I-1");
    add_email(pb::EMAIL_STATUS_SENT, "ann@example.com");
    add_email(pb::EMAIL_STATUS_PENDING, "ann@example.com");
    add_email(pb::EMAIL_STATUS_DEAD, "");
  }

  void add_email(pb::EmailStatus status, const std::string& recipient) {
    auto& email = target_.emails.emplace_back();
    email.set_email_id(uuid(10 + static_cast<int>(target_.emails.size())).to_string());
    email.set_status(status);
    email.set_recipient(recipient);
    if (status == pb::EMAIL_STATUS_PENDING) *email.mutable_next_time() = to_timestamp(kNow);
  }

  Result erase() {
    EXPECT_TRUE(validate(request_).ok());
    return run(
        [&](const Target& target, const Context& c) {
          return erase_customer(request_, kErasure, kPseudonyms, target, c);
        },
        target_);
  }

  /// Makes what the change says to what there is.
  void apply(Change change) {
    order_ = *change.after;
    for (auto& [i, event] : change.history_erased) target_.history[i] = event;
    for (auto& event : change.events) target_.history.push_back(event);
    for (const auto& changed : change.notes_erased) target_.notes.at(0) = changed;
    for (const auto& changed : change.transactions_updated) target_.ledger.at(0) = changed;
    for (const auto& changed : change.emails_erased) {
      for (auto& email : target_.emails) {
        if (email.email_id() == changed.email_id()) email = changed;
      }
    }
  }

  std::string everything() const {
    std::string all = order_.DebugString();
    for (const auto& event : target_.history) all += event.DebugString();
    for (const auto& note : target_.notes) all += note.DebugString();
    for (const auto& transaction : target_.ledger) all += transaction.DebugString();
    for (const auto& email : target_.emails) all += email.DebugString();
    return all;
  }

  pb::EraseCustomerDataRequest request_;
  Target target_;
};

TEST_F(Erase, TakesTheCustomerOutOfOrderHistoryAndEmails) {
  const auto result = erase();
  ASSERT_TRUE(result.ok()) << result.status();
  const pb::Order& after = *result->after;
  EXPECT_EQ(after.customer().customer_id(), kPseudonyms.of_customer_id("C-1"));
  EXPECT_EQ(after.customer().email(), "");
  EXPECT_FALSE(after.has_billing_address());
  EXPECT_EQ(to_micros(after.customer_erase_time()), kNow);
  EXPECT_EQ(after.order_number(), "N-1");
  EXPECT_TRUE(result->customer_changed);
  EXPECT_FALSE(result->payments_changed);
  EXPECT_EQ(result->erasure_id, kErasure);
  EXPECT_EQ(result->outcome.emails_erased(), 3);
  EXPECT_EQ(result->history_erased.size(), 1u);
  EXPECT_TRUE(result->notes_erased.empty());
  EXPECT_TRUE(result->transactions_updated.empty());
  ASSERT_EQ(result->emails_erased.size(), 3u);
  EXPECT_EQ(result->emails_erased[0].status(), pb::EMAIL_STATUS_SENT);
  EXPECT_EQ(result->emails_erased[1].status(), pb::EMAIL_STATUS_WITHDRAWN);
  EXPECT_FALSE(result->emails_erased[1].has_next_time());
  EXPECT_EQ(result->emails_erased[2].status(), pb::EMAIL_STATUS_WITHDRAWN);
  // What became of the e-mails, and the erasure.
  ASSERT_EQ(result->events.size(), 3u);
  EXPECT_EQ(result->events[0].email_changed().after().status(), pb::EMAIL_STATUS_WITHDRAWN);
  EXPECT_EQ(result->events[2].customer_erased().erasure_id(), kErasure.to_string());
  EXPECT_FALSE(result->events[2].customer_erased().texts());
  EXPECT_EQ(result->events[2].customer_erased().open_reason(), "");
  apply(*result);
  EXPECT_THAT(everything(), Not(HasSubstr("example.com")));
  EXPECT_THAT(everything(), Not(HasSubstr("C-1")));
  EXPECT_THAT(everything(), HasSubstr("Ann called")) << "texts were not asked for";
}

TEST_F(Erase, WithTextsNothingThatPeopleWroteIsLeft) {
  request_.set_erase_texts(true);
  const auto result = erase();
  ASSERT_TRUE(result.ok());
  EXPECT_TRUE(result->payments_changed);
  EXPECT_EQ(result->notes_erased.size(), 1u);
  EXPECT_EQ(result->transactions_updated.size(), 1u);
  EXPECT_TRUE(result->events.back().customer_erased().texts());
  apply(*result);
  EXPECT_THAT(everything(), Not(HasSubstr("Ann")));
  EXPECT_THAT(everything(), HasSubstr("I-1"));
}

TEST_F(Erase, ASecondTimeThereIsNothingLeft) {
  apply(*erase());
  request_.mutable_orders()->add_order_ids(order_.order_id());
  EXPECT_FALSE(erase()->after);
  order_.set_state_id("new");
  EXPECT_FALSE(erase()->after) << "nor does it matter then that the order is open";
  order_.set_state_id("completed");

  // Texts may follow later.
  request_.set_erase_texts(true);
  const auto texts = erase();
  ASSERT_TRUE(texts->after);
  EXPECT_TRUE(texts->emails_erased.empty());
  EXPECT_EQ(texts->after->customer().customer_id(), kPseudonyms.of_customer_id("C-1"));
  apply(*texts);
  EXPECT_FALSE(erase()->after);
}

TEST_F(Erase, AnOrderWithoutDataIsMarkedAllTheSame) {
  order_.clear_customer();
  order_.clear_billing_address();
  target_.history.clear();
  target_.emails.clear();
  request_.mutable_orders()->add_order_ids(order_.order_id());
  const auto result = erase();
  ASSERT_TRUE(result->after);
  EXPECT_TRUE(result->after->has_customer_erase_time());
  EXPECT_TRUE(result->customer_changed);
}

TEST_F(Erase, AnOrderThatIsSelectedNoMoreIsLeftAlone) {
  request_.set_customer_id("C-2");
  EXPECT_FALSE(erase()->after);
  request_.set_customer_id("c-1");
  EXPECT_FALSE(erase()->after);
  request_.set_email("bob@example.com");
  EXPECT_FALSE(erase()->after);
  request_.set_email("ANN@example.com");
  EXPECT_TRUE(erase()->after);
}

TEST_F(Erase, OpenOrdersAreLeftAlone) {
  const auto expect_open = [&](const std::string& reason) {
    SCOPED_TRACE(reason);
    EXPECT_REFUSED(erase(), reason);
    request_.set_include_open(true);
    const auto result = erase();
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->events.back().customer_erased().open_reason(), reason);
    request_.set_include_open(false);
  };
  for (const auto* state : {"new", "processing", "fraud", "suspended"}) {
    order_.set_state_id(state);
    expect_open("ORDER_OPEN");
  }
  order_.set_state_id("canceled");
  EXPECT_TRUE(erase().ok());
  order_.set_state_id("completed");
  for (const auto status : {pb::CANCELLATION_STATUS_IN_PROGRESS, pb::CANCELLATION_STATUS_FAILED}) {
    order_.mutable_cancellation()->set_status(status);
    expect_open("CANCELLATION_IN_PROGRESS");
  }
  order_.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_COMPLETED);
  EXPECT_TRUE(erase().ok());

  auto& payment = *order_.mutable_payments(0);
  for (const auto status :
       {pb::PAYMENT_STATUS_UNSYNCED, pb::PAYMENT_STATUS_OPEN, pb::PAYMENT_STATUS_PROCESSING}) {
    payment.set_status(status);
    expect_open("PAYMENT_OPEN");
  }
  payment.set_status(pb::PAYMENT_STATUS_AUTHORIZED);
  payment.mutable_capturable()->set_amount_minor(1);
  expect_open("PAYMENT_OPEN");
  payment.mutable_capturable()->set_amount_minor(0);
  EXPECT_TRUE(erase().ok());
  payment.add_open_transactions();
  expect_open("PAYMENT_OPEN");
  payment.clear_open_transactions();

  add_item(order_, "1", 2);
  auto& shipment = add_shipment(order_, uuid(20).to_string(), "standard");
  add_line(shipment, uuid(21).to_string(), "1", 1, "delivered");
  add_line(shipment, uuid(22).to_string(), "1", 1, "pending");
  EXPECT_TRUE(erase().ok()) << "in this state no line moves";
  settings_.states.at("completed").set_allows_shipment_update(true);
  expect_open("DELIVERY_OPEN");
  order_.mutable_shipments(0)->mutable_lines(1)->set_delivery_state_id("shipped");
  expect_open("DELIVERY_OPEN");
  for (const auto* state : {"delivered", "returned", "canceled"}) {
    order_.mutable_shipments(0)->mutable_lines(1)->set_delivery_state_id(state);
    EXPECT_TRUE(erase().ok()) << state;
  }
}

TEST_F(Erase, AnErasedOrderTakesNoNewData) {
  apply(*erase());
  pb::UpdateOrderRequest update;
  const auto run_update = [&] {
    return run(
        [&](const Target& target, const Context& c) { return update_order(update, target, c); });
  };
  update.mutable_update_mask()->add_paths("customer.name");
  EXPECT_FALSE(run_update()->after) << "it is empty already";
  update.mutable_customer()->set_name("Ann");
  EXPECT_REFUSED(run_update(), "CUSTOMER_ERASED");
  update.mutable_update_mask()->set_paths(0, "shipping_address");
  update.mutable_shipping_address()->set_city("Bonn");
  update.set_reason("again");
  EXPECT_REFUSED(run_update(), "CUSTOMER_ERASED");
  update.mutable_update_mask()->set_paths(0, "labels");
  (*update.mutable_labels())["a"] = "b";
  EXPECT_TRUE(run_update()->after);

  for (std::size_t i = 0; i < target_.emails.size(); ++i) {
    Target target;
    target.email = &target_.emails[i];
    pb::RetryEmailRequest retry;
    retry.set_recipient("ann@example.com");
    EXPECT_REFUSED(
        run([&](const Target& t, const Context& c) { return retry_email(retry, t, c); }, target),
        i == 0 ? "EMAIL_SENT" : "CUSTOMER_ERASED");
  }
}

}  // namespace
}  // namespace orderd::rules
