#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>

#include "tests/rpc/cancellation_fixture.h"
#include "tests/rpc/watch_fixture.h"

// EraseCustomerData and ListErasures, and that nothing of the customer is left anywhere.

namespace orderd::test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

/// In every text that is personal; and in every text that somebody wrote.
const std::string kPerson = "personal-marker";
const std::string kText = "written-marker";
const std::string kCustomer = "personal-marker-id";
const std::string kEmail = "personal-marker@example.com";

pb::Address address_of(const std::string& marker) {
  pb::Address address;
  const auto* type = pb::Address::descriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    address.GetReflection()->SetString(&address, type->field(i), marker);
  }
  address.set_country_code("BR");
  return address;
}

pb::NewOrder personal_order(const std::string& number = "") {
  pb::NewOrder order = new_order(number);
  auto& customer = *order.mutable_customer();
  customer.set_customer_id(kCustomer);
  customer.set_name(kPerson);
  customer.set_email(kEmail);
  customer.set_phone(kPerson);
  *order.mutable_billing_address() = address_of(kPerson);
  *order.mutable_shipping_address() = address_of(kPerson);
  return order;
}

class EraseTest : public CancellationRpcTest {
 protected:
  /// Everything that the database holds, column by column, as bytes: "table.column" -> values.
  std::map<std::string, std::string> dump() {
    std::map<std::string, std::string> dump;
    RawDatabase raw(url());
    storage::Session& session = raw.session();
    const bool sqlite = backend() == Backend::kSqlite;
    const auto tables =
        session.script_rows(sqlite ? "SELECT name FROM sqlite_master WHERE type = 'table'"
                                   : "SELECT table_name FROM information_schema.tables"
                                     " WHERE table_schema = DATABASE()",
                            1);
    EXPECT_GT(tables.size(), 20u);
    for (const auto& table : tables) {
      const auto columns =
          session.script_rows(sqlite ? "SELECT name FROM pragma_table_info('" + table[0] + "')"
                                     : "SELECT column_name FROM information_schema.columns"
                                       " WHERE table_schema = DATABASE() AND table_name = '" +
                                           table[0] + "'",
                              1);
      EXPECT_FALSE(columns.empty()) << table[0];
      for (const auto& column : columns) {
        std::string& values = dump[table[0] + "." + column[0]];
        const auto rows = session.script_rows("SELECT HEX(" + column[0] + ") FROM " + table[0], 1);
        for (const auto& row : rows) {
          for (std::size_t i = 0; i + 1 < row[0].size(); i += 2) {
            values += static_cast<char>(std::stoi(row[0].substr(i, 2), nullptr, 16));
          }
          values += '\n';
        }
      }
    }
    return dump;
  }
  /// The columns in which a text occurs.
  std::vector<std::string> places_of(const std::string& text) {
    std::vector<std::string> places;
    for (const auto& [column, values] : dump()) {
      if (values.find(text) != std::string::npos) places.push_back(column);
    }
    return places;
  }

  static pb::EraseCustomerDataRequest by_customer(const std::string& customer_id = kCustomer) {
    pb::EraseCustomerDataRequest request;
    request.set_customer_id(customer_id);
    return request;
  }
  static pb::EraseCustomerDataRequest by_orders(const std::vector<std::string>& order_ids) {
    pb::EraseCustomerDataRequest request;
    for (const auto& id : order_ids) request.mutable_orders()->add_order_ids(id);
    return request;
  }
  pb::EraseCustomerDataResponse erase(const pb::EraseCustomerDataRequest& request) {
    return call(&Orders::EraseCustomerData, request);
  }
  /// All pages.
  std::vector<pb::EraseCustomerDataResponse> erase_all(pb::EraseCustomerDataRequest request) {
    std::vector<pb::EraseCustomerDataResponse> pages;
    do {
      pages.push_back(erase(request));
      request.set_page_token(pages.back().next_page_token());
    } while (!request.page_token().empty());
    return pages;
  }
  std::vector<pb::Erasure> erasures(const pb::ListErasuresRequest& request = {}) {
    const auto listed = call(&Orders::ListErasures, request);
    return {listed.erasures().begin(), listed.erasures().end()};
  }

  /// An order of the customer in a final state.
  std::string closed_order() {
    const std::string id = create(personal_order()).order_id();
    move(id, "completed");
    return id;
  }

  void update(const std::string& order_id, const std::string& marker) {
    pb::UpdateOrderRequest request;
    request.set_order_id(order_id);
    for (const auto* path :
         {"customer.name", "customer.phone", "billing_address", "shipping_address"}) {
      request.mutable_update_mask()->add_paths(path);
    }
    request.mutable_customer()->set_name(marker);
    request.mutable_customer()->set_phone(marker);
    *request.mutable_billing_address() = address_of(marker);
    *request.mutable_shipping_address() = address_of(marker);
    request.set_reason(kText);
    EXPECT_TRUE(call(&Orders::UpdateOrder, request).changed());
  }

  /// An order that has been through everything, with the markers wherever they can be; canceled,
  /// with an e-mail that waits to be sent.
  std::string eventful_order() {
    const std::string id = create(personal_order()).order_id();
    update(id, kPerson + " 2");
    pb::UpdateOrderStatusRequest status;
    status.set_order_id(id);
    status.set_state_id("processing");
    status.set_reason(kText);
    call(&Orders::UpdateOrderStatus, status);

    pb::AddNoteRequest add;
    add.set_order_id(id);
    add.set_body(kText);
    const auto note = call(&Orders::AddNote, add).note();
    pb::UpdateNoteRequest edit;
    edit.set_order_id(id);
    edit.set_note_id(note.note_id());
    edit.set_body(kText + " 2");
    call(&Orders::UpdateNote, edit);
    pb::DeleteNoteRequest remove;
    remove.set_order_id(id);
    remove.set_note_id(call(&Orders::AddNote, add).note().note_id());
    call(&Orders::DeleteNote, remove);

    pb::NewPayment payment = new_payment(authorize(3000));
    payment.set_description(kText);
    const Paid paid = attach(id, payment);
    auto capturing = capture(paid, 1000);
    capturing.set_reason(kText);
    call(&Orders::CapturePayment, capturing);
    auto canceling = cancellation(id);
    canceling.set_reason(kText);
    canceling.set_notify_customer(true);
    EXPECT_EQ(cancel(canceling).report().status(), kCompleted);
    EXPECT_THAT(emails(id), SizeIs(1));
    return id;
  }

  std::string imported_order(const std::string& number) {
    auto request = imported(number);
    const auto responses = import({request});
    EXPECT_EQ(responses.at(0).result(), pb::IMPORT_RESULT_CREATED);
    return responses.at(0).order_id();
  }
  static pb::ImportOrdersRequest imported(const std::string& number) {
    pb::ImportOrdersRequest request;
    *request.mutable_order() = personal_order(number);
    request.set_state_id("completed");
    request.add_notes()->set_body(kText);
    auto& payment = *request.add_payments();
    payment.set_gateway_account("external");
    payment.set_gateway_reference("cash-" + number);
    payment.set_description(kText);
    *payment.mutable_captured() = eur(2000);
    return request;
  }
};
ORDERD_ON_BOTH_DATABASES(EraseTest);

TEST_P(EraseTest, NothingOfTheCustomerIsLeftAnywhere) {
  std::optional<Watch> watch(std::in_place, *orders_, pb::WatchOrdersRequest());
  watch->next();
  const std::string beginning = watch->token();
  pb::NewOrder other = new_order();
  other.mutable_customer()->set_name("somebody else");
  other.mutable_customer()->set_customer_id("other");
  const pb::Order untouched = create(other);
  const std::string eventful = eventful_order();
  const std::string import = imported_order("I-1");
  const pb::Order before = get(eventful);
  // So that the server has it all in memory.
  std::int64_t version = 0;
  while (version < std::stoll(before.etag())) {
    const auto change = watch->changes(1).at(0);
    if (change.order_id() == eventful) version = std::stoll(change.etag());
  }
  EXPECT_GT(places_of(kPerson).size(), 8u) << "the markers are where they should be";
  EXPECT_GT(places_of(kText).size(), 4u);

  const auto response = erase(by_customer());
  EXPECT_EQ(response.orders_erased(), 2);
  EXPECT_EQ(response.emails_erased(), 1);
  EXPECT_EQ(response.next_page_token(), "");
  EXPECT_THAT(response.skipped_orders(), IsEmpty());
  EXPECT_THAT(places_of(kPerson), IsEmpty());
  EXPECT_FALSE(places_of(kText).empty()) << "texts were not asked for";

  auto texts = by_customer(response.erasure().pseudonym());
  texts.set_erase_texts(true);
  EXPECT_EQ(erase(texts).orders_erased(), 2) << "the pseudonym selects them";
  EXPECT_THAT(places_of(kPerson), IsEmpty());
  EXPECT_THAT(places_of(kText), IsEmpty());
  EXPECT_EQ(erase(texts).orders_erased(), 0);
  EXPECT_EQ(erase(texts).orders_unchanged(), 2);

  // The order is what it was but for that.
  pb::Order after = get(eventful);
  EXPECT_EQ(after.customer().customer_id(), response.erasure().pseudonym());
  EXPECT_EQ(after.billing_address().ShortDebugString(), "country_code: \"BR\"");
  EXPECT_TRUE(after.has_customer_erase_time());
  pb::Order expected = before;
  for (auto* order : {&after, &expected}) {
    for (auto* field : {"customer", "billing_address", "shipping_address", "etag", "update_time",
                        "customer_erase_time"}) {
      order->GetReflection()->ClearField(order, pb::Order::descriptor()->FindFieldByName(field));
    }
    order->mutable_cancellation()->clear_reason();
    for (auto& payment : *order->mutable_payments()) payment.clear_description();
  }
  EXPECT_EQ(after.DebugString(), expected.DebugString());
  EXPECT_EQ(get(untouched.order_id()).DebugString(), untouched.DebugString());

  // Nor does anybody hear of it any more who goes on from before.
  // While the other one keeps the server's memory alive.
  std::optional<Watch> late(std::in_place, *orders_, from(beginning));
  bool erased = false;
  int event_count = 0;
  version = 0;
  while (version < std::stoll(get(eventful).etag())) {
    const auto change = late->changes(1).at(0);
    EXPECT_EQ(change.DebugString().find(kPerson), std::string::npos) << change.DebugString();
    EXPECT_EQ(change.DebugString().find(kText), std::string::npos) << change.DebugString();
    if (change.order_id() != eventful) continue;
    version = std::stoll(change.etag());
    event_count += change.events_size();
    for (const auto& event : change.events()) erased |= event.has_customer_erased();
  }
  EXPECT_TRUE(erased);
  EXPECT_GT(event_count, 12) << "the history is as long as it was";
  pb::ListOrderEventsRequest list;
  list.set_order_id(eventful);
  list.set_page_size(1000);
  EXPECT_EQ(call(&Orders::ListOrderEvents, list).events_size(), event_count);

  // On SQLite what was overwritten is gone from the file too, once the log is part of it.
  if (backend() != Backend::kSqlite) return;
  watch.reset();
  late.reset();
  stop();
  for (const auto* ending : {"", "-wal"}) {
    std::ifstream file(database_.name() + ending, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(bytes.find(kPerson), std::string::npos) << ending;
    EXPECT_EQ(bytes.find(kText), std::string::npos) << ending;
  }
  start();
}

TEST_P(EraseTest, AnImportDoesNotBringItBack) {
  const std::string id = imported_order("I-1");
  erase(by_customer());
  const std::string etag = get(id).etag();
  EXPECT_EQ(import({imported("I-1")}).at(0).result(), pb::IMPORT_RESULT_UNCHANGED);
  auto other = imported("I-1");
  other.mutable_order()->mutable_customer()->set_phone("another " + kPerson);
  EXPECT_EQ(import({other}).at(0).result(), pb::IMPORT_RESULT_CONFLICT);
  EXPECT_EQ(get(id).etag(), etag);
  EXPECT_THAT(places_of(kPerson), IsEmpty());

  pb::UpdateOrderRequest update;
  update.set_order_id(id);
  update.mutable_update_mask()->add_paths("customer");
  update.mutable_customer()->set_name(kPerson);
  EXPECT_EQ(refusal(&Orders::UpdateOrder, update).reason, "CUSTOMER_ERASED");
}

TEST_P(EraseTest, EmailsThatWaitAreNeverSent) {
  const std::string id = eventful_order();
  erase(by_customer());
  const pb::Email email = emails(id).at(0);
  EXPECT_EQ(email.status(), pb::EMAIL_STATUS_WITHDRAWN);
  EXPECT_EQ(email.recipient(), "");
  EXPECT_THAT(storage_->claim_due_emails(INT64_MAX, INT64_MAX, 100), IsEmpty());
  pb::RetryEmailRequest retry;
  retry.set_order_id(id);
  retry.set_email_id(email.email_id());
  retry.set_recipient(kEmail);
  EXPECT_EQ(refusal(&Orders::RetryEmail, retry).reason, "CUSTOMER_ERASED");
  pb::ListEmailsRequest withdrawn;
  withdrawn.set_status(pb::EMAIL_STATUS_WITHDRAWN);
  EXPECT_EQ(call(&Orders::ListEmails, withdrawn).emails_size(), 1);
}

TEST_P(EraseTest, PagesRecordsAndRetries) {
  std::vector<std::string> ids;
  for (int i = 0; i < 7; ++i) ids.push_back(closed_order());
  const std::string open = create(personal_order()).order_id();

  auto request = by_customer();
  request.set_page_size(3);
  request.set_validate_only(true);
  int erased = 0;
  for (const auto& page : erase_all(request)) {
    erased += page.orders_erased();
    EXPECT_FALSE(page.has_erasure());
  }
  EXPECT_EQ(erased, 7);
  EXPECT_THAT(erasures(), IsEmpty());
  EXPECT_EQ(get(ids[0]).customer().name(), kPerson) << "nothing was written";

  request.set_validate_only(false);
  request.set_request_id(new_request_id());
  const auto first = erase(request);
  EXPECT_EQ(first.orders_erased(), 3);
  EXPECT_EQ(first.erasure().erasure_id(), request.request_id());
  EXPECT_FALSE(first.erasure().has_complete_time());
  EXPECT_EQ(get(ids[2]).customer().name(), "");
  EXPECT_EQ(get(ids[3]).customer().name(), kPerson);
  // The answer was lost: the same call goes on where nothing is done yet.
  const auto again = erase(request);
  EXPECT_EQ(again.orders_erased(), 3);
  EXPECT_EQ(again.erasure().orders_erased(), 6);
  // And a token is as good twice as once.
  auto next = request;
  next.set_page_token(again.next_page_token());
  for (int i = 0; i < 2; ++i) {
    const auto last = erase(next);
    EXPECT_EQ(last.orders_erased(), i == 0 ? 1 : 0);
    ASSERT_THAT(last.skipped_orders(), SizeIs(1));
    EXPECT_EQ(last.skipped_orders(0).order_id(), open);
    EXPECT_EQ(last.skipped_orders(0).reason(), "ORDER_OPEN");
    EXPECT_EQ(last.next_page_token(), "");
    EXPECT_EQ(last.erasure().orders_erased(), 7);
    EXPECT_EQ(last.erasure().orders_skipped(), 1);
    EXPECT_TRUE(last.erasure().has_complete_time());
  }
  const pb::OrderEvent event = events({ids[6], "", ""}).back();
  EXPECT_EQ(event.customer_erased().erasure_id(), request.request_id());
  EXPECT_EQ(event.actor(), "local");

  // Another customer's data under the same id is a mistake, and so is a token of another erasure.
  auto reused = by_customer("other");
  reused.set_request_id(request.request_id());
  EXPECT_EQ(refusal(&Orders::EraseCustomerData, reused).reason, "REQUEST_ID_REUSED");
  reused.set_page_token(again.next_page_token());
  EXPECT_EQ(refusal(&Orders::EraseCustomerData, reused).reason, "PAGE_TOKEN_INVALID");

  auto all = by_customer();
  all.set_include_open(true);
  EXPECT_EQ(erase(all).orders_erased(), 1);
  EXPECT_EQ(events({open, "", ""}).back().customer_erased().open_reason(), "ORDER_OPEN");
  EXPECT_THAT(places_of(kPerson), IsEmpty());
}

TEST_P(EraseTest, SelectsByEmailAndByOrder) {
  const std::string id = closed_order();
  const std::string second = closed_order();
  pb::EraseCustomerDataRequest by_email;
  by_email.set_email("PERSONAL-marker@Example.com");
  auto one = by_orders({second, kUnknownId, "no id at all", second});
  const auto response = erase(one);
  EXPECT_EQ(response.orders_erased(), 1);
  EXPECT_EQ(response.orders_unchanged(), 1);
  ASSERT_THAT(response.skipped_orders(), SizeIs(2));
  EXPECT_EQ(response.skipped_orders(0).order_id(), kUnknownId);
  EXPECT_EQ(response.skipped_orders(1).order_id(), "no id at all");
  EXPECT_EQ(response.skipped_orders(1).reason(), "ORDER_NOT_FOUND");
  EXPECT_EQ(response.erasure().pseudonym(), "");
  EXPECT_EQ(erase(by_email).orders_erased(), 1);
  EXPECT_THAT(places_of(kPerson), IsEmpty());
  EXPECT_EQ(erase(by_customer("nobody")).orders_erased(), 0);

  // What proves it, the latest first.
  const auto all = erasures();
  ASSERT_THAT(all, SizeIs(3));
  EXPECT_EQ(all[0].selector(), pb::ERASURE_SELECTOR_CUSTOMER_ID);
  EXPECT_EQ(all[1].selector(), pb::ERASURE_SELECTOR_EMAIL);
  EXPECT_EQ(all[2].selector(), pb::ERASURE_SELECTOR_ORDERS);
  EXPECT_EQ(all[2].orders_skipped(), 2);
  pb::ListErasuresRequest list;
  list.set_email("personal-MARKER@example.com");
  EXPECT_THAT(erasures(list),
              ElementsAre(testing::Property(&pb::Erasure::erasure_id, all[1].erasure_id())));
  list.Clear();
  list.set_page_size(2);
  const auto page = call(&Orders::ListErasures, list);
  EXPECT_EQ(page.erasures_size(), 2);
  list.set_page_token(page.next_page_token());
  const auto rest = call(&Orders::ListErasures, list);
  EXPECT_EQ(rest.next_page_token(), "");
  ASSERT_EQ(rest.erasures_size(), 1);
  EXPECT_EQ(rest.erasures(0).DebugString(), all[2].DebugString());
  list.set_email("x");
  EXPECT_EQ(refusal(&Orders::ListErasures, list).reason, "PAGE_TOKEN_INVALID");
}

TEST_P(EraseTest, ACustomerIdIsComparedBytewise) {
  pb::NewOrder order = personal_order();
  order.mutable_customer()->set_customer_id("C-1 ");
  const std::string id = create(order).order_id();
  auto request = by_customer("C-1");
  request.set_include_open(true);
  EXPECT_EQ(erase(request).orders_erased(), 0);
  EXPECT_EQ(get(id).customer().name(), kPerson);
  request.set_customer_id("c-1 ");
  EXPECT_EQ(erase(request).orders_erased(), 0);
  request.set_customer_id("C-1 ");
  EXPECT_EQ(erase(request).orders_erased(), 1);
}

TEST_P(EraseTest, TwoErasuresAndAnUpdateAtOnce) {
  // A page of many orders, while another one erases the same and callers change them.
  std::vector<std::string> ids;
  for (int i = 0; i < 60; ++i) ids.push_back(create(personal_order()).order_id());
  auto request = by_customer();
  request.set_include_open(true);
  std::vector<std::future<pb::EraseCustomerDataResponse>> calls;
  for (int i = 0; i < 2; ++i) calls.push_back(call_async(&Orders::EraseCustomerData, request));
  for (const auto& id : ids) {
    pb::UpdateOrderRequest update;
    update.set_order_id(id);
    update.mutable_update_mask()->add_paths("customer.phone");
    update.mutable_customer()->set_phone(kPerson + " 3");
    pb::UpdateOrderResponse response;
    const Failure failure = failure_of(send(&Orders::UpdateOrder, update, response));
    if (failure.code != grpc::StatusCode::OK) {
      EXPECT_EQ(failure.reason, "CUSTOMER_ERASED");
    }
  }
  std::int64_t erased = 0;
  for (auto& call : calls) erased += call.get().orders_erased();
  EXPECT_EQ(erased, 60) << "each by one of the two";
  EXPECT_THAT(places_of(kPerson), IsEmpty());
}

}  // namespace
}  // namespace orderd::test
