#include <functional>
#include <limits>
#include <thread>

#include "tests/rpc/rpc_fixture.h"

// Bad input: each gets a typed, precise error, and nothing is written.

namespace orderd::test {
namespace {

using testing::Contains;
using testing::Not;
using testing::StartsWith;

constexpr auto kInvalid = grpc::StatusCode::INVALID_ARGUMENT;
const std::string kEmoji = "\U0001F9FE";  // four bytes

class BadInputTest : public RpcTest {
 protected:
  void SetUp() override {
    RpcTest::SetUp();
    order_ = create(new_order("N-1"));
    pb::AddNoteRequest note;
    note.set_order_id(order_.order_id());
    note.set_body("first");
    note_id_ = call(&Orders::AddNote, note).note().note_id();
    stale_etag_ = order_.etag();
    order_ = get(order_.order_id());
  }

  void expect(const std::string& what, const Failure& failure, grpc::StatusCode code,
              const std::string& reason, const std::string& field = "") {
    SCOPED_TRACE(what);
    EXPECT_EQ(failure.code, code) << failure.message;
    EXPECT_EQ(failure.reason, reason) << failure.message;
    EXPECT_FALSE(failure.message.empty());
    if (!field.empty()) {
      EXPECT_THAT(failure.fields, Contains(StartsWith(field)));
    }
    EXPECT_EQ(content(), before_) << "something was written";
  }

  /// The order as CreateOrder and as ImportOrders would take it, with one thing wrong.
  void expect_bad_order(const std::string& what, const std::string& field,
                        const std::function<void(pb::NewOrder&)>& spoil) {
    pb::NewOrder order = new_order("N-2");
    spoil(order);
    pb::CreateOrderRequest request;
    *request.mutable_order() = order;
    expect("CreateOrder: " + what, refusal(&Orders::CreateOrder, request), kInvalid,
           "INVALID_REQUEST", field);
    pb::ImportOrdersRequest imported;
    *imported.mutable_order() = order;
    const auto answers = import({imported});
    ASSERT_EQ(answers.size(), 1u);
    EXPECT_EQ(answers[0].result(), pb::IMPORT_RESULT_REFUSED);
    EXPECT_EQ(answers[0].order_id(), "");
    expect("ImportOrders: " + what, failure_of(answers[0].error()), kInvalid, "INVALID_REQUEST",
           field);
  }

  template <class Request, class Response>
  void expect_bad(grpc::Status (Orders::*method)(grpc::ClientContext*, const Request&, Response*),
                  Request request, const std::string& what, const std::string& field,
                  const std::function<void(Request&)>& spoil) {
    spoil(request);
    expect(what, refusal(method, request), kInvalid, "INVALID_REQUEST", field);
  }

  pb::UpdateInvoiceRequest invoice() {
    pb::UpdateInvoiceRequest request;
    request.set_order_id(order_.order_id());
    request.set_invoice_number("I-1");
    return request;
  }
  pb::AddNoteRequest add_note() {
    pb::AddNoteRequest request;
    request.set_order_id(order_.order_id());
    request.set_body("second");
    return request;
  }
  pb::UpdateNoteRequest update_note() {
    pb::UpdateNoteRequest request;
    request.set_order_id(order_.order_id());
    request.set_note_id(note_id_);
    request.set_body("edited");
    return request;
  }
  pb::DeleteNoteRequest delete_note() {
    pb::DeleteNoteRequest request;
    request.set_order_id(order_.order_id());
    request.set_note_id(note_id_);
    return request;
  }
  pb::UpdateOrderStatusRequest status() {
    pb::UpdateOrderStatusRequest request;
    request.set_order_id(order_.order_id());
    request.set_state_id("processing");
    return request;
  }
  pb::UpdateOrderRequest update() {
    pb::UpdateOrderRequest request;
    request.set_order_id(order_.order_id());
    request.mutable_customer()->set_name("Eve");
    request.mutable_update_mask()->add_paths("customer");
    return request;
  }

  /// One thing wrong that every mutation of an order can have.
  template <class Spoil>
  void expect_all_bad(const std::string& what, grpc::StatusCode code, const std::string& reason,
                      const std::string& field, const Spoil& spoil) {
    const auto one = [&](const std::string& name, auto method, auto request) {
      spoil(request);
      expect(name + ": " + what, refusal(method, request), code, reason, field);
    };
    one("UpdateInvoice", &Orders::UpdateInvoice, invoice());
    one("AddNote", &Orders::AddNote, add_note());
    one("UpdateNote", &Orders::UpdateNote, update_note());
    one("DeleteNote", &Orders::DeleteNote, delete_note());
    one("UpdateOrderStatus", &Orders::UpdateOrderStatus, status());
    one("UpdateOrder", &Orders::UpdateOrder, update());
  }

  pb::Order order_;
  std::string note_id_;
  std::string stale_etag_;
  std::string before_;
};
ORDERD_ON_BOTH_DATABASES(BadInputTest);

TEST_P(BadInputTest, Ids) {
  before_ = content();
  expect_all_bad("empty id", kInvalid, "INVALID_REQUEST", "order_id",
                 [](auto& request) { request.clear_order_id(); });
  expect_all_bad("300 characters of id", kInvalid, "INVALID_REQUEST", "order_id",
                 [](auto& request) { request.set_order_id(std::string(300, 'x')); });
  for (const char* id : {kUnknownId, "no-such-order", "'; DROP TABLE orders; --",
                         "00000000-0000-0000-0000-000000000000"}) {
    expect_all_bad("unknown id", grpc::StatusCode::NOT_FOUND, "ORDER_NOT_FOUND", "",
                   [&](auto& request) { request.set_order_id(id); });
    pb::GetOrderRequest get_order;
    get_order.set_order_id(id);
    const Failure failure = refusal(&Orders::GetOrder, get_order);
    expect("GetOrder", failure, grpc::StatusCode::NOT_FOUND, "ORDER_NOT_FOUND");
    EXPECT_TRUE(failure.has_resource);
    pb::ListNotesRequest notes;
    notes.set_order_id(id);
    expect("ListNotes", refusal(&Orders::ListNotes, notes), grpc::StatusCode::NOT_FOUND,
           "ORDER_NOT_FOUND");
  }
  expect_all_bad("request id", kInvalid, "INVALID_REQUEST", "request_id",
                 [](auto& request) { request.set_request_id("1"); });
  expect_bad<pb::GetOrderRequest>(&Orders::GetOrder, {}, "GetOrder", "order_id", [](auto&) {});
  expect_bad<pb::ListNotesRequest>(&Orders::ListNotes, {}, "ListNotes", "order_id", [](auto&) {});
  expect_bad<pb::BatchGetOrdersRequest>(&Orders::BatchGetOrders, {}, "BatchGetOrders: none",
                                        "order_ids", [](auto&) {});
  expect_bad<pb::BatchGetOrdersRequest>(&Orders::BatchGetOrders, {}, "BatchGetOrders: 1,001",
                                        "order_ids", [](auto& request) {
                                          for (int i = 0; i < 1001; ++i)
                                            request.add_order_ids(kUnknownId);
                                        });
  for (const char* id : {kUnknownId, "no-such-note"}) {
    pb::UpdateNoteRequest edit = update_note();
    edit.set_note_id(id);
    expect("note", refusal(&Orders::UpdateNote, edit), grpc::StatusCode::NOT_FOUND,
           "NOTE_NOT_FOUND");
    pb::DeleteNoteRequest remove = delete_note();
    remove.set_note_id(id);
    expect("note", refusal(&Orders::DeleteNote, remove), grpc::StatusCode::NOT_FOUND,
           "NOTE_NOT_FOUND");
  }
  pb::UpdateOrderStatusRequest unknown = status();
  unknown.set_state_id("no-such-state");
  expect("state", refusal(&Orders::UpdateOrderStatus, unknown), kInvalid, "STATE_UNKNOWN");
}

TEST_P(BadInputTest, TextAtAndOverItsLimits) {
  before_ = content();
  const auto over = [&](const std::string& field, int limit,
                        const std::function<void(pb::NewOrder&, std::string)>& set) {
    expect_bad_order("one over the limit", "order." + field, [&](auto& order) {
      set(order, std::string(static_cast<std::size_t>(limit) + 1, 'x'));
    });
    expect_bad_order("one over the limit, in 4-byte characters", "order." + field,
                     [&](auto& order) { set(order, repeat(kEmoji, limit + 1)); });
    expect_bad_order("invalid UTF-8", "order." + field, [&](auto& order) { set(order, "a\xffz"); });
    expect_bad_order("U+0000", "order." + field,
                     [&](auto& order) { set(order, std::string("a\0z", 3)); });
  };
  over("order_number", 64, [](auto& order, auto text) { order.set_order_number(text); });
  over("customer.name", 255,
       [](auto& order, auto text) { order.mutable_customer()->set_name(text); });
  over("customer.phone", 64,
       [](auto& order, auto text) { order.mutable_customer()->set_phone(text); });
  over("shipping_address.line1", 255,
       [](auto& order, auto text) { order.mutable_shipping_address()->set_line1(text); });
  over("items[1].sku", 128, [](auto& order, auto text) { order.mutable_items(1)->set_sku(text); });
  over("items[1].name", 512,
       [](auto& order, auto text) { order.mutable_items(1)->set_name(text); });
  over("items[1].item_id", 64,
       [](auto& order, auto text) { order.mutable_items(1)->set_item_id(text); });
  over("labels", 255, [](auto& order, auto text) { (*order.mutable_labels())["k"] = text; });
  over("labels", 63, [](auto& order, auto text) { (*order.mutable_labels())[text] = "v"; });

  const std::string invalid = "a\xc0\xaf";
  expect_bad<pb::UpdateInvoiceRequest>(&Orders::UpdateInvoice, invoice(), "65", "invoice_number",
                                       [](auto& r) { r.set_invoice_number(repeat(kEmoji, 65)); });
  expect_bad<pb::UpdateInvoiceRequest>(&Orders::UpdateInvoice, invoice(), "control",
                                       "invoice_number",
                                       [](auto& r) { r.set_invoice_number("a\nb"); });
  expect_bad<pb::UpdateInvoiceRequest>(&Orders::UpdateInvoice, invoice(), "UTF-8", "invoice_number",
                                       [&](auto& r) { r.set_invoice_number(invalid); });
  expect_bad<pb::AddNoteRequest>(&Orders::AddNote, add_note(), "10,001", "body",
                                 [](auto& r) { r.set_body(repeat(kEmoji, 10'001)); });
  expect_bad<pb::AddNoteRequest>(&Orders::AddNote, add_note(), "empty", "body",
                                 [](auto& r) { r.clear_body(); });
  expect_bad<pb::AddNoteRequest>(&Orders::AddNote, add_note(), "UTF-8", "body",
                                 [&](auto& r) { r.set_body(invalid); });
  expect_bad<pb::UpdateOrderStatusRequest>(&Orders::UpdateOrderStatus, status(), "1,001", "reason",
                                           [](auto& r) { r.set_reason(repeat(kEmoji, 1001)); });
  expect_all_bad("UTF-8", kInvalid, "INVALID_REQUEST", "order_id",
                 [&](auto& request) { request.set_order_id(invalid); });
}

TEST_P(BadInputTest, EveryInvalidStringIsNamed) {
  before_ = content();
  pb::CreateOrderRequest request;
  *request.mutable_order() = new_order();
  request.mutable_order()->mutable_customer()->set_name("\xff");
  request.mutable_order()->mutable_items(0)->set_name("\xfe");
  request.mutable_order()->mutable_items(1)->set_sku("\xed\xa0\x80");  // a surrogate
  (*request.mutable_order()->mutable_labels())["k"] = "\xf8";
  const Failure failure = refusal(&Orders::CreateOrder, request);
  expect("all", failure, kInvalid, "INVALID_REQUEST");
  EXPECT_THAT(failure.fields,
              testing::UnorderedElementsAre("order.customer.name", "order.items[0].name",
                                            "order.items[1].sku", "order.labels.value"));
}

TEST_P(BadInputTest, Orders) {
  before_ = content();
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  expect_bad_order("negative price", "order.items[0].unit_price",
                   [](auto& order) { *order.mutable_items(0)->mutable_unit_price() = eur(-1); });
  expect_bad_order("no price", "order.items[0].unit_price",
                   [](auto& order) { order.mutable_items(0)->clear_unit_price(); });
  expect_bad_order("line overflow", "order.items[0]",
                   [&](auto& order) { *order.mutable_items(0)->mutable_unit_price() = eur(kMax); });
  expect_bad_order("sum overflow", "order.items", [&](auto& order) {
    order.mutable_items(0)->set_quantity(1);
    *order.mutable_items(0)->mutable_unit_price() = eur(kMax);
    *order.mutable_items(1)->mutable_unit_price() = eur(kMax);
  });
  expect_bad_order("total overflow", "order.totals",
                   [&](auto& order) { *order.mutable_totals()->mutable_shipping() = eur(kMax); });
  expect_bad_order("mixed currencies", "order.items[1].unit_price.currency_code", [](auto& order) {
    order.mutable_items(1)->mutable_unit_price()->set_currency_code("USD");
  });
  for (const char* currency : {"EUX", "eur", "XXX", "", "E", "€€€"}) {
    expect_bad_order("unknown currency", "order.items[1].unit_price.currency_code",
                     [&](auto& order) {
                       order.mutable_items(1)->mutable_unit_price()->set_currency_code(currency);
                     });
  }
  expect_bad_order("wrong total", "order.totals.total",
                   [](auto& order) { *order.mutable_totals()->mutable_total() = eur(1999); });
  expect_bad_order("wrong line total", "order.items[0].total",
                   [](auto& order) { *order.mutable_items(0)->mutable_total() = eur(2001); });
  expect_bad_order("discount above the price", "order.items[0].discount",
                   [](auto& order) { *order.mutable_items(0)->mutable_discount() = eur(2001); });
  expect_bad_order("negative tax", "order.items[0].tax",
                   [](auto& order) { *order.mutable_items(0)->mutable_tax() = eur(-1); });
  expect_bad_order("negative order", "order.totals", [](auto& order) {
    auto* voucher = order.mutable_totals()->add_adjustments();
    voucher->set_label("voucher");
    *voucher->mutable_amount() = eur(-2001);
  });
  for (const std::int64_t quantity : {std::int64_t{0}, std::int64_t{-1}, 1'000'000'001L, kMax}) {
    expect_bad_order("quantity", "order.items[0].quantity",
                     [&](auto& order) { order.mutable_items(0)->set_quantity(quantity); });
  }
  expect_bad_order("1,001 items", "order.items", [](auto& order) {
    while (order.items_size() < 1001) *order.add_items() = order.items(0);
  });
  expect_bad_order("duplicate item ids", "order.items[1].item_id", [](auto& order) {
    order.mutable_items(0)->set_item_id("a");
    order.mutable_items(1)->set_item_id("a");
  });
  expect_bad_order("65 labels", "order.labels", [](auto& order) {
    for (int i = 0; i < 65; ++i) (*order.mutable_labels())[std::to_string(i)] = "";
  });
  expect_bad_order("e-mail", "order.customer.email",
                   [](auto& order) { order.mutable_customer()->set_email("nobody"); });
  expect_bad_order("time", "order.order_time",
                   [](auto& order) { order.mutable_order_time()->set_seconds(-1); });
  expect_bad<pb::CreateOrderRequest>(&Orders::CreateOrder, {}, "no order", "order", [](auto&) {});

  pb::CreateOrderRequest taken;
  *taken.mutable_order() = new_order(" N-1 ");
  const Failure failure = refusal(&Orders::CreateOrder, taken);
  expect("order number", failure, grpc::StatusCode::ALREADY_EXISTS, "ORDER_NUMBER_IN_USE");
  EXPECT_EQ(failure.metadata.at("order_id"), order_.order_id());
  EXPECT_TRUE(failure.has_resource);
}

TEST_P(BadInputTest, AllViolationsAtOnceWithinWhatTrailersHold) {
  before_ = content();
  pb::CreateOrderRequest request;
  *request.mutable_order() = new_order();
  request.mutable_order()->mutable_customer()->set_email("nobody");
  while (request.order().items_size() < 1000)
    *request.mutable_order()->add_items() = request.order().items(0);
  for (auto& item : *request.mutable_order()->mutable_items()) {
    item.set_quantity(0);
    item.clear_sku();
  }
  const Failure failure = refusal(&Orders::CreateOrder, request);
  expect("2,001 violations", failure, kInvalid, "INVALID_REQUEST", "order.customer.email");
  EXPECT_GT(failure.fields.size(), 20u);
  EXPECT_EQ(failure.metadata.at("violation_count"), "2001");
}

TEST_P(BadInputTest, ListsAndTokens) {
  for (int i = 2; i < 5; ++i) create(new_order("N-" + std::to_string(i)));
  before_ = content();
  pb::ListOrdersRequest list;
  list.set_page_size(2);
  const std::string token = call(&Orders::ListOrders, list).next_page_token();
  ASSERT_NE(token, "");
  const auto bad_token = [&](const std::string& what, pb::ListOrdersRequest request,
                             const std::string& page_token) {
    request.set_page_token(page_token);
    expect(what, refusal(&Orders::ListOrders, request), kInvalid, "PAGE_TOKEN_INVALID",
           "page_token");
  };
  for (std::size_t i = 0; i < token.size(); ++i) {
    std::string altered = token;
    altered[i] = altered[i] == 'A' ? 'B' : 'A';
    bad_token("altered", list, altered);
  }
  bad_token("shortened", list, token.substr(0, token.size() - 1));
  bad_token("padded", list, token + "=");
  bad_token("made up", list, "abc");
  pb::ListOrdersRequest other = list;
  other.set_sort(pb::ORDER_SORT_UPDATE_TIME);
  bad_token("another sort", other, token);
  other = list;
  other.set_direction(pb::SORT_DIRECTION_ASCENDING);
  bad_token("another direction", other, token);
  other = list;
  other.mutable_filter()->add_state_ids("new");
  bad_token("another filter", other, token);
  pb::ListNotesRequest notes;
  notes.set_order_id(order_.order_id());
  notes.set_page_token(token);
  expect("another list", refusal(&Orders::ListNotes, notes), kInvalid, "PAGE_TOKEN_INVALID");

  expect_bad<pb::ListOrdersRequest>(&Orders::ListOrders, {}, "page size -1", "page_size",
                                    [](auto& request) { request.set_page_size(-1); });
  expect_bad<pb::ListOrdersRequest>(&Orders::ListOrders, {}, "by total", "sort",
                                    [](auto& request) { request.set_sort(pb::ORDER_SORT_TOTAL); });
  expect_bad<pb::ListOrdersRequest>(
      &Orders::ListOrders, {}, "range", "filter.create_time.end_time", [](auto& request) {
        request.mutable_filter()->mutable_create_time()->mutable_start_time()->set_seconds(2);
        request.mutable_filter()->mutable_create_time()->mutable_end_time()->set_seconds(2);
      });
  pb::ListOrdersRequest huge;
  huge.set_page_size(1'000'000'000);
  EXPECT_EQ(call(&Orders::ListOrders, huge).orders_size(), 4);
}

TEST_P(BadInputTest, MutationsInConflict) {
  const std::string request_id = new_request_id();
  pb::AddNoteRequest note = add_note();
  note.set_request_id(request_id);
  call(&Orders::AddNote, note);
  pb::CreateOrderRequest other;
  *other.mutable_order() = new_order("N-2");
  pb::UpdateInvoiceRequest taken = invoice();
  taken.set_order_id(call(&Orders::CreateOrder, other).order().order_id());
  call(&Orders::UpdateInvoice, taken);
  before_ = content();

  note.set_body("another body");
  Failure failure = refusal(&Orders::AddNote, note);
  expect("request id", failure, kInvalid, "REQUEST_ID_REUSED");
  EXPECT_EQ(failure.metadata.at("request_id"), request_id);

  const std::string current = get(order_.order_id()).etag();
  expect_all_bad("stale etag", grpc::StatusCode::ABORTED, "ETAG_MISMATCH", "",
                 [&](auto& request) { request.set_etag(stale_etag_); });
  expect_all_bad("nonsense etag", grpc::StatusCode::ABORTED, "ETAG_MISMATCH", "",
                 [&](auto& request) { request.set_etag("' OR 1=1"); });
  pb::UpdateInvoiceRequest stale = invoice();
  stale.set_etag(stale_etag_);
  EXPECT_EQ(refusal(&Orders::UpdateInvoice, stale).metadata.at("current_etag"), current);

  failure = refusal(&Orders::UpdateInvoice, invoice());
  expect("invoice number", failure, grpc::StatusCode::ALREADY_EXISTS, "INVOICE_NUMBER_IN_USE");
  EXPECT_EQ(failure.metadata.at("order_id"), taken.order_id());

  pb::UpdateOrderStatusRequest suspended = status();
  suspended.set_state_id("suspended");
  failure = refusal(&Orders::UpdateOrderStatus, suspended);
  expect("state", failure, grpc::StatusCode::FAILED_PRECONDITION, "STATE_NOT_ENTERABLE");
  EXPECT_TRUE(failure.has_precondition);

  pb::BatchUpdateOrderStatusRequest twice;
  for (int i = 0; i < 2; ++i) {
    twice.add_updates()->set_order_id(order_.order_id());
    twice.mutable_updates(i)->set_state_id("processing");
  }
  expect("twice in a batch", refusal(&Orders::BatchUpdateOrderStatus, twice), kInvalid,
         "INVALID_REQUEST", "updates[1].order_id");
  expect("empty batch", refusal(&Orders::BatchUpdateOrderStatus, {}), kInvalid, "INVALID_REQUEST",
         "updates");
}

TEST_P(BadInputTest, ChecksComeInTheirOrder) {
  const std::string request_id = new_request_id();
  pb::UpdateInvoiceRequest first = invoice();
  first.set_request_id(request_id);
  call(&Orders::UpdateInvoice, first);
  before_ = content();
  // Everything is wrong with it; then one thing less at a time.
  pb::UpdateInvoiceRequest request;
  request.set_request_id(request_id);
  request.set_order_id("no-such-order");
  request.set_etag("stale");
  request.set_invoice_number("a\nb");
  expect("validity", refusal(&Orders::UpdateInvoice, request), kInvalid, "INVALID_REQUEST");
  request.set_invoice_number("I-9");
  expect("replay", refusal(&Orders::UpdateInvoice, request), kInvalid, "REQUEST_ID_REUSED");
  request.set_request_id(new_request_id());
  expect("existence", refusal(&Orders::UpdateInvoice, request), grpc::StatusCode::NOT_FOUND,
         "ORDER_NOT_FOUND");
  request.set_order_id(create(new_order("N-3")).order_id());
  before_ = content();
  request.set_invoice_number("I-1");
  expect("etag", refusal(&Orders::UpdateInvoice, request), grpc::StatusCode::ABORTED,
         "ETAG_MISMATCH");
  request.clear_etag();
  expect("rule", refusal(&Orders::UpdateInvoice, request), grpc::StatusCode::ALREADY_EXISTS,
         "INVOICE_NUMBER_IN_USE");
}

TEST_P(BadInputTest, MessagesThatAreTooLargeOrNoMessagesAtAll) {
  before_ = content();
  pb::AddNoteRequest large = add_note();
  large.set_body(std::string(5 << 20, 'x'));
  const Failure failure = refusal(&Orders::AddNote, large);
  expect("5 MB", failure, kInvalid, "INVALID_REQUEST");
  EXPECT_THAT(failure.message, testing::HasSubstr("4194304"));

  // A customer whose bytes are not a message.
  pb::UpdateOrderRequest broken;
  broken.GetReflection()->MutableUnknownFields(&broken)->AddLengthDelimited(2, "x");
  broken.GetReflection()->MutableUnknownFields(&broken)->AddLengthDelimited(4, "\x0f");
  expect("not a message", refusal(&Orders::UpdateOrder, broken), kInvalid, "INVALID_REQUEST");
}

TEST_P(BadInputTest, MetacharactersAreJustCharacters) {
  const std::vector<std::string> nasty = {"'; DROP TABLE orders; --",
                                          "\" OR \"\"=\"",
                                          "\\'; --",
                                          "a\\",
                                          "%_%",
                                          ":name :1 ?",
                                          "{}{0}%s%n",
                                          "${jndi:x}",
                                          "/* */ #",
                                          "<b>&amp;",
                                          "\U0001F9FE\u202E",
                                          "NULL",
                                          "`x`",
                                          "a\tb"};
  int n = 0;
  for (const std::string& text : nasty) {
    SCOPED_TRACE(text);
    pb::NewOrder order = new_order();
    const bool control = text.find('\t') != text.npos;
    if (!control) order.set_order_number(text);
    order.mutable_customer()->set_customer_id(text);
    order.mutable_customer()->set_name(text);
    order.mutable_customer()->set_phone(text);
    order.mutable_customer()->set_email("it's\"" + std::to_string(n) + "@example.com");
    order.mutable_billing_address()->set_line1(text);
    order.mutable_shipping_address()->set_city(text);
    order.mutable_items(0)->set_item_id(text);
    order.mutable_items(0)->set_sku(text);
    order.mutable_items(0)->set_name(text);
    (*order.mutable_labels())[text] = text;
    const pb::Order made = create(order);
    // Not from the cache.
    stop();
    start();
    const pb::Order read = get(made.order_id());
    EXPECT_EQ(read.ShortDebugString(), made.ShortDebugString());
    EXPECT_EQ(read.customer().name(), text);
    EXPECT_EQ(read.items(0).sku(), text);
    EXPECT_EQ(read.labels().at(text), text);

    pb::ListOrdersRequest list;
    auto& filter = *list.mutable_filter();
    filter.set_customer_email(order.customer().email());
    filter.mutable_label()->set_key(text);
    filter.mutable_label()->set_value(text);
    if (!control) filter.set_order_number(text);
    ASSERT_EQ(call(&Orders::ListOrders, list).orders_size(), 1);
    EXPECT_EQ(call(&Orders::ListOrders, list).orders(0).order_id(), made.order_id());

    pb::AddNoteRequest note;
    note.set_order_id(made.order_id());
    note.set_body(text);
    EXPECT_EQ(call(&Orders::AddNote, note).note().body(), text);
    pb::UpdateInvoiceRequest number;
    number.set_order_id(made.order_id());
    number.set_invoice_number(control ? "tab" : text);
    EXPECT_EQ(call(&Orders::UpdateInvoice, number).order().invoice_number(),
              number.invoice_number());
    pb::UpdateOrderStatusRequest moved;
    moved.set_order_id(made.order_id());
    moved.set_state_id("processing");
    moved.set_reason(text);
    EXPECT_TRUE(call(&Orders::UpdateOrderStatus, moved).changed());
    ++n;
  }
}

}  // namespace
}  // namespace orderd::test
