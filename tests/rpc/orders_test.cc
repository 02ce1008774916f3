#include <thread>

#include "server/orders/fields.h"
#include "tests/rpc/rpc_fixture.h"

// What each RPC about orders and notes does when all is well: answers, views, replays, etags.

namespace orderd::test {
namespace {

class OrdersTest : public RpcTest {};
ORDERD_ON_BOTH_DATABASES(OrdersTest);

TEST_P(OrdersTest, CreateAndGet) {
  pb::CreateOrderRequest request;
  *request.mutable_order() = new_order("  N-1\t");
  request.mutable_order()->mutable_order_time()->set_seconds(1'600'000'000);
  const auto answer = call(&Orders::CreateOrder, request);
  const pb::Order& order = answer.order();
  EXPECT_TRUE(answer.changed());
  EXPECT_FALSE(answer.replayed());
  EXPECT_EQ(answer.etag(), order.etag());
  EXPECT_TRUE(Uuid::parse(order.order_id()));
  EXPECT_EQ(order.order_number(), "N-1");
  EXPECT_EQ(order.state_id(), "new");
  EXPECT_EQ(order.totals().total().amount_minor(), 2000);
  EXPECT_EQ(order.item_count(), 2);
  EXPECT_EQ(order.order_time().seconds(), 1'600'000'000);
  EXPECT_EQ(order.cancellation().status(), pb::CANCELLATION_STATUS_NONE);
  EXPECT_EQ(order.available_actions_size(),
            7);  // the other states, its shipments, and to cancel it
  ASSERT_EQ(order.shipments_size(), 1);
  EXPECT_EQ(order.shipments(0).method_id(), "standard");
  EXPECT_EQ(order.shipments(0).lines_size(), 2);
  EXPECT_EQ(get(order.order_id()).ShortDebugString(), order.ShortDebugString());
  EXPECT_NE(create(new_order()).order_number(), create(new_order()).order_number());
}

TEST_P(OrdersTest, Views) {
  const pb::Order order = create(new_order());
  const auto summarized = [&](const pb::Order& seen) {
    EXPECT_EQ(seen.items_size() + seen.labels_size() + seen.shipments_size(), 0);
    EXPECT_EQ(seen.available_actions_size(), 0);
    EXPECT_EQ(seen.item_count(), 2);
    EXPECT_EQ(seen.customer().name(), "Ada");
    EXPECT_EQ(seen.totals().total().amount_minor(), 2000);
  };
  pb::GetOrderRequest one;
  one.set_order_id(order.order_id());
  one.set_view(pb::ORDER_VIEW_SUMMARY);
  summarized(call(&Orders::GetOrder, one).order());
  one.set_view(pb::ORDER_VIEW_FULL);
  EXPECT_EQ(call(&Orders::GetOrder, one).order().ShortDebugString(), order.ShortDebugString());

  pb::BatchGetOrdersRequest batch;
  for (const std::string& id :
       {order.order_id(), std::string(kUnknownId), order.order_id(), std::string("nonsense")}) {
    batch.add_order_ids(id);
  }
  const auto found = call(&Orders::BatchGetOrders, batch);
  ASSERT_EQ(found.orders_size(), 2);
  for (const auto& seen : found.orders()) {
    EXPECT_EQ(seen.ShortDebugString(), order.ShortDebugString());
  }
  EXPECT_THAT(found.missing_order_ids(), testing::ElementsAre(kUnknownId, "nonsense"));
  batch.set_view(pb::ORDER_VIEW_SUMMARY);
  summarized(call(&Orders::BatchGetOrders, batch).orders(0));

  pb::ListOrdersRequest list;
  summarized(call(&Orders::ListOrders, list).orders(0));
  list.set_view(pb::ORDER_VIEW_FULL);
  EXPECT_EQ(call(&Orders::ListOrders, list).orders(0).ShortDebugString(), order.ShortDebugString());
}

TEST_P(OrdersTest, EachChangeIsOneVersionAndNoChangeIsNone) {
  const std::string id = create(new_order()).order_id();
  std::string etag = get(id).etag();
  const auto changed = [&](const auto& answer) {
    EXPECT_TRUE(answer.changed());
    EXPECT_NE(answer.etag(), etag);
    EXPECT_EQ(answer.order().etag(), answer.etag());
    EXPECT_EQ(answer.order().ShortDebugString(), get(id).ShortDebugString());
    etag = answer.etag();
  };
  const auto unchanged = [&](const auto& answer) {
    EXPECT_FALSE(answer.changed());
    EXPECT_EQ(answer.etag(), etag);
    EXPECT_EQ(get(id).etag(), etag);
  };
  pb::UpdateInvoiceRequest invoice;
  invoice.set_order_id(id);
  invoice.set_etag(etag);
  invoice.set_invoice_number(" I-1 ");
  changed(call(&Orders::UpdateInvoice, invoice));
  invoice.set_etag(etag);
  unchanged(call(&Orders::UpdateInvoice, invoice));
  EXPECT_EQ(get(id).invoice_number(), "I-1");

  pb::UpdateOrderRequest update;
  update.set_order_id(id);
  update.mutable_customer()->set_email("eve@example.com");
  update.mutable_customer()->set_name("ignored");
  (*update.mutable_labels())["a"] = "b";
  update.mutable_update_mask()->add_paths("customer.email");
  update.mutable_update_mask()->add_paths("labels");
  changed(call(&Orders::UpdateOrder, update));
  unchanged(call(&Orders::UpdateOrder, update));
  EXPECT_EQ(get(id).customer().name(), "Ada");
  EXPECT_EQ(get(id).customer().email(), "eve@example.com");
  EXPECT_EQ(get(id).labels().size(), 1u);

  changed(move(id, "processing"));
  unchanged(move(id, "processing"));
  invoice.clear_etag();
  invoice.clear_invoice_number();
  changed(call(&Orders::UpdateInvoice, invoice));
}

TEST_P(OrdersTest, Notes) {
  const std::string id = create(new_order()).order_id();
  pb::AddNoteRequest add;
  add.set_order_id(id);
  add.set_request_id(new_request_id());
  add.set_body("first");
  const auto added = call(&Orders::AddNote, add);
  EXPECT_EQ(added.note().author(), "local");
  EXPECT_EQ(added.note().visibility(), pb::NOTE_VISIBILITY_INTERNAL);
  EXPECT_EQ(added.order().note_count(), 1);

  pb::UpdateNoteRequest edit;
  edit.set_order_id(id);
  edit.set_note_id(added.note().note_id());
  edit.set_body("edited");
  const auto edited = call(&Orders::UpdateNote, edit);
  EXPECT_TRUE(edited.changed());
  EXPECT_EQ(edited.note().body(), "edited");
  EXPECT_FALSE(call(&Orders::UpdateNote, edit).changed());
  // A replay answers the note as it is now.
  auto replay = call(&Orders::AddNote, add);
  EXPECT_TRUE(replay.replayed());
  EXPECT_EQ(replay.etag(), added.etag());
  EXPECT_EQ(replay.note().ShortDebugString(), edited.note().ShortDebugString());

  std::vector<std::string> ids = {added.note().note_id()};
  for (int i = 0; i < 4; ++i) {
    add.set_request_id(new_request_id());
    ids.push_back(call(&Orders::AddNote, add).note().note_id());
  }
  pb::ListNotesRequest list;
  list.set_order_id(id);
  list.set_page_size(2);
  std::vector<std::string> listed;
  do {
    const auto page = call(&Orders::ListNotes, list);
    EXPECT_LE(page.notes_size(), 2);
    for (const auto& note : page.notes()) listed.push_back(note.note_id());
    list.set_page_token(page.next_page_token());
  } while (!list.page_token().empty());
  EXPECT_EQ(listed, ids);

  pb::DeleteNoteRequest remove;
  remove.set_order_id(id);
  remove.set_note_id(ids[0]);
  remove.set_request_id(new_request_id());
  EXPECT_EQ(call(&Orders::DeleteNote, remove).order().note_count(), 4);
  EXPECT_TRUE(call(&Orders::DeleteNote, remove).replayed());
  remove.clear_request_id();
  EXPECT_EQ(refusal(&Orders::DeleteNote, remove).reason, "NOTE_NOT_FOUND");
}

TEST_P(OrdersTest, ReplayOfADeletedNoteNamesItsId) {
  const std::string id = create(new_order()).order_id();
  pb::AddNoteRequest add;
  add.set_order_id(id);
  add.set_request_id(new_request_id());
  add.set_body("gone soon");
  const auto added = call(&Orders::AddNote, add);
  pb::DeleteNoteRequest remove;
  remove.set_order_id(id);
  remove.set_note_id(added.note().note_id());
  call(&Orders::DeleteNote, remove);
  pb::Note only_id;
  only_id.set_note_id(added.note().note_id());
  EXPECT_EQ(call(&Orders::AddNote, add).note().ShortDebugString(), only_id.ShortDebugString());
}

TEST_P(OrdersTest, ReplayChangesNothingAndSurvivesARestart) {
  pb::CreateOrderRequest create_request;
  create_request.set_request_id(new_request_id());
  *create_request.mutable_order() = new_order();
  const auto created = call(&Orders::CreateOrder, create_request);
  pb::UpdateInvoiceRequest invoice;
  invoice.set_request_id(create_request.request_id());  // scoped by method: no reuse
  invoice.set_order_id(created.order().order_id());
  invoice.set_etag(created.etag());
  invoice.set_invoice_number("I-1");
  const auto first = call(&Orders::UpdateInvoice, invoice);
  move(created.order().order_id(), "processing");
  const std::string before = content();

  for (int round = 0; round < 2; ++round) {
    const auto again = call(&Orders::UpdateInvoice, invoice);
    EXPECT_TRUE(again.replayed());
    EXPECT_TRUE(again.changed());
    EXPECT_EQ(again.etag(), first.etag());
    EXPECT_EQ(again.order().state_id(), "processing");
    const auto recreated = call(&Orders::CreateOrder, create_request);
    EXPECT_TRUE(recreated.replayed());
    EXPECT_EQ(recreated.etag(), created.etag());
    EXPECT_EQ(recreated.order().order_id(), created.order().order_id());
    EXPECT_EQ(recreated.order().invoice_number(), "I-1");
    EXPECT_EQ(content(), before);
    stop();
    start();
  }
}

TEST_P(OrdersTest, ErrorsAndNoOpsAreNotRecorded) {
  const std::string id = create(new_order()).order_id();
  pb::UpdateOrderStatusRequest request;
  request.set_order_id(id);
  request.set_request_id(new_request_id());
  request.set_state_id("suspended");
  EXPECT_EQ(refusal(&Orders::UpdateOrderStatus, request).reason, "STATE_NOT_ENTERABLE");
  request.set_state_id("new");
  EXPECT_FALSE(call(&Orders::UpdateOrderStatus, request).changed());
  request.set_state_id("processing");
  EXPECT_TRUE(call(&Orders::UpdateOrderStatus, request).changed());
  EXPECT_TRUE(call(&Orders::UpdateOrderStatus, request).replayed());
}

TEST_P(OrdersTest, ForceNeedsAReasonAndNeverLeavesACancellation) {
  const std::string id = create(new_order()).order_id();
  pb::UpdateOrderStatusRequest request;
  request.set_order_id(id);
  request.set_state_id("suspended");
  request.set_force(true);
  EXPECT_THAT(refusal(&Orders::UpdateOrderStatus, request).fields, testing::Contains("reason"));
  request.set_reason("the police asked");
  EXPECT_EQ(call(&Orders::UpdateOrderStatus, request).order().state_id(), "suspended");
  const auto canceled = move(id, "canceled");
  EXPECT_EQ(canceled.order().cancellation().status(), pb::CANCELLATION_STATUS_COMPLETED);
  request.set_state_id("new");
  EXPECT_EQ(refusal(&Orders::UpdateOrderStatus, request).code,
            grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_P(OrdersTest, BatchAnswersEachOrderInItsPlace) {
  std::vector<std::string> ids;
  for (int i = 0; i < 3; ++i) ids.push_back(create(new_order()).order_id());
  pb::BatchUpdateOrderStatusRequest request;
  request.set_request_id(new_request_id());
  const auto add = [&](const std::string& id, const std::string& state, const std::string& etag) {
    auto& update = *request.add_updates();
    update.set_order_id(id);
    update.set_state_id(state);
    update.set_etag(etag);
  };
  add(ids[0], "processing", get(ids[0]).etag());
  add(kUnknownId, "processing", "");
  add(ids[1], "suspended", "");
  add(ids[2], "processing", "stale");
  add("nonsense", "processing", "");
  const auto answer = call(&Orders::BatchUpdateOrderStatus, request);
  ASSERT_EQ(answer.results_size(), 5);
  std::vector<std::string> reasons;
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(answer.results(i).order_id(), request.updates(i).order_id());
    reasons.push_back(failure_of(answer.results(i).status()).reason);
  }
  EXPECT_THAT(reasons, testing::ElementsAre("", "ORDER_NOT_FOUND", "STATE_NOT_ENTERABLE",
                                            "ETAG_MISMATCH", "ORDER_NOT_FOUND"));
  EXPECT_TRUE(answer.results(0).changed());
  EXPECT_EQ(answer.results(0).etag(), get(ids[0]).etag());

  // What was refused is tried again; what was done is replayed.
  request.mutable_updates(3)->clear_etag();
  const auto again = call(&Orders::BatchUpdateOrderStatus, request);
  EXPECT_TRUE(again.results(0).replayed());
  EXPECT_EQ(again.results(0).etag(), answer.results(0).etag());
  EXPECT_TRUE(again.results(3).changed());
  EXPECT_FALSE(again.results(3).replayed());
  request.mutable_updates(0)->set_reason("another body");
  EXPECT_EQ(failure_of(call(&Orders::BatchUpdateOrderStatus, request).results(0).status()).reason,
            "REQUEST_ID_REUSED");
}

TEST_P(OrdersTest, ABatchOfAThousand) {
  std::vector<pb::ImportOrdersRequest> imports;
  for (int i = 0; i < 1000; ++i) imports.push_back(new_import("N-" + std::to_string(i)));
  pb::BatchUpdateOrderStatusRequest request;
  pb::BatchGetOrdersRequest read;
  for (const auto& imported : import(imports)) {
    request.add_updates()->set_order_id(imported.order_id());
    request.mutable_updates()->rbegin()->set_state_id("processing");
    read.add_order_ids(imported.order_id());
  }
  const auto answer = call(&Orders::BatchUpdateOrderStatus, request);
  for (const auto& result : answer.results()) {
    EXPECT_TRUE(result.changed());
  }
  const auto orders = call(&Orders::BatchGetOrders, read);
  ASSERT_EQ(orders.orders_size(), 1000);
  for (int i = 0; i < 1000; ++i) {
    EXPECT_EQ(orders.orders(i).order_id(), read.order_ids(i));
    EXPECT_EQ(orders.orders(i).state_id(), "processing");
  }
}

TEST_P(OrdersTest, ConcurrentChangesOfOneOrderAreAllCounted) {
  const std::string id = create(new_order()).order_id();
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 25; ++i) {
        pb::UpdateInvoiceRequest request;
        request.set_order_id(id);
        request.set_invoice_number(std::to_string(t) + "-" + std::to_string(i));
        EXPECT_TRUE(call(&Orders::UpdateInvoice, request).changed());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(get(id).etag(), "201");
}

class ListOrdersTest : public RpcTest {
 protected:
  std::vector<std::string> list(pb::ListOrdersRequest request) {
    std::vector<std::string> ids;
    do {
      const auto page = call(&Orders::ListOrders, request);
      EXPECT_LE(page.orders_size(), request.page_size() == 0 ? 50 : request.page_size());
      for (const auto& order : page.orders()) ids.push_back(order.order_id());
      request.set_page_token(page.next_page_token());
    } while (!request.page_token().empty());
    return ids;
  }
};
ORDERD_ON_BOTH_DATABASES(ListOrdersTest);

TEST_P(ListOrdersTest, PagesInEveryOrder) {
  std::vector<pb::ImportOrdersRequest> imports;
  for (int i = 0; i < 60; ++i) {
    imports.push_back(new_import("N-" + std::to_string(i)));
    // Order times with repeats, against the order of creation.
    imports.back().mutable_order()->mutable_order_time()->set_seconds(1'600'000'000 - i / 3);
  }
  std::vector<std::string> made;
  for (const auto& imported : import(imports)) made.push_back(imported.order_id());
  const std::vector<std::string> reversed(made.rbegin(), made.rend());

  pb::ListOrdersRequest request;
  EXPECT_EQ(list(request).size(), 60u);
  for (const int size : {0, 1, 7, 59, 60, 1000}) {
    request.set_page_size(size);
    for (const auto sort :
         {pb::ORDER_SORT_UNSPECIFIED, pb::ORDER_SORT_UPDATE_TIME, pb::ORDER_SORT_ORDER_TIME}) {
      request.set_sort(sort);
      request.set_direction(pb::SORT_DIRECTION_ASCENDING);
      const auto ascending = list(request);
      request.set_direction(pb::SORT_DIRECTION_DESCENDING);
      auto descending = list(request);
      std::reverse(descending.begin(), descending.end());
      EXPECT_EQ(ascending, descending);
      EXPECT_THAT(ascending, testing::UnorderedElementsAreArray(made));
      if (sort == pb::ORDER_SORT_ORDER_TIME) {
        EXPECT_NE(ascending, made);
      }
    }
  }
}

TEST_P(ListOrdersTest, ATokenGoesOnWithAnotherPageSizeAndView) {
  for (int i = 0; i < 5; ++i) create(new_order());
  pb::ListOrdersRequest request;
  request.set_page_size(2);
  const auto first = call(&Orders::ListOrders, request);
  request.set_page_token(first.next_page_token());
  request.set_page_size(10);
  request.set_view(pb::ORDER_VIEW_FULL);
  // Unset and default are the same list.
  request.set_sort(pb::ORDER_SORT_CREATE_TIME);
  request.set_direction(pb::SORT_DIRECTION_DESCENDING);
  const auto second = call(&Orders::ListOrders, request);
  EXPECT_EQ(second.orders_size(), 3);
  EXPECT_EQ(second.orders(0).items_size(), 2);
  EXPECT_EQ(second.next_page_token(), "");
}

TEST_P(ListOrdersTest, Filters) {
  pb::ImportOrdersRequest a = new_import("A");
  a.set_invoice_number("I-A");
  a.mutable_order()->mutable_customer()->set_email("Some.One@Example.com");
  pb::ImportOrdersRequest b = new_import("B");
  b.set_state_id("completed");
  (*b.mutable_order()->mutable_labels())["channel"] = "shop";
  auto& payment = *b.add_payments();
  payment.set_gateway_account("external");
  payment.set_gateway_reference("P-1");
  *payment.mutable_captured() = eur(2000);
  pb::ImportOrdersRequest c = new_import("C");
  c.set_state_id("fraud");
  c.mutable_order()->mutable_order_time()->set_seconds(1'000'000);
  const auto made = import({a, b, c});
  const std::string ids[] = {made[0].order_id(), made[1].order_id(), made[2].order_id()};

  const auto expect = [&](const std::vector<std::string>& expected,
                          const std::function<void(pb::OrderFilter&)>& set) {
    pb::ListOrdersRequest request;
    request.set_direction(pb::SORT_DIRECTION_ASCENDING);
    set(*request.mutable_filter());
    SCOPED_TRACE(request.ShortDebugString());
    EXPECT_THAT(list(request), testing::UnorderedElementsAreArray(expected));
  };
  expect({ids[0]}, [](auto& f) { f.set_open_only(true); });
  expect({ids[1], ids[2]}, [](auto& f) {
    f.add_state_ids("completed");
    f.add_state_ids("fraud");
    f.add_state_ids("no-such-state");
  });
  expect({}, [](auto& f) {
    f.set_open_only(true);
    f.add_state_ids("completed");
  });
  expect({}, [](auto& f) { f.add_state_ids("no-such-state"); });
  expect({ids[0]}, [](auto& f) { f.set_customer_email("sOME.oNE@eXAMPLE.COM"); });
  expect({ids[0]}, [](auto& f) { f.set_invoice_number(" I-A "); });
  expect({ids[1]}, [](auto& f) { f.set_order_number("B"); });
  expect({}, [](auto& f) { f.set_order_number("b"); });
  expect({ids[1]}, [](auto& f) { f.add_payment_statuses(pb::PAYMENT_STATUS_CAPTURED); });
  expect({ids[0], ids[1], ids[2]}, [](auto& f) { f.mutable_label()->set_key("channel"); });
  expect({ids[1]}, [](auto& f) {
    f.mutable_label()->set_key("channel");
    f.mutable_label()->set_value("shop");
  });
  expect({ids[2]}, [](auto& f) {
    f.mutable_order_time()->mutable_start_time()->set_seconds(1'000'000);
    f.mutable_order_time()->mutable_end_time()->set_seconds(1'000'001);
  });
  expect({}, [](auto& f) { f.mutable_order_time()->mutable_end_time()->set_seconds(1'000'000); });
  expect({ids[0], ids[1], ids[2]},
         [](auto& f) { f.mutable_create_time()->mutable_start_time()->set_seconds(1'000'001); });
  expect({ids[1]}, [](auto& f) {
    f.mutable_label()->set_key("channel");
    f.add_state_ids("completed");
    f.add_payment_statuses(pb::PAYMENT_STATUS_CAPTURED);
  });
  pb::ListOrdersRequest by_total;
  by_total.set_sort(pb::ORDER_SORT_TOTAL);
  by_total.mutable_filter()->set_customer_email("ada@example.com");
  by_total.set_page_size(1);
  EXPECT_EQ(list(by_total).size(), 2u);
}

TEST_P(ListOrdersTest, PagesOfLargeOrdersEndEarlyAndNothingIsLost) {
  std::vector<pb::ImportOrdersRequest> imports;
  for (int i = 0; i < 30; ++i) {
    imports.push_back(new_import("N-" + std::to_string(i)));
    auto& order = *imports.back().mutable_order();
    while (order.items_size() < 500) {
      *order.add_items() = order.items(0);
      order.mutable_items()->rbegin()->set_name(std::string(400, 'x'));
    }
  }
  ASSERT_EQ(import(imports).size(), 30u);
  pb::ListOrdersRequest request;
  request.set_view(pb::ORDER_VIEW_FULL);
  request.set_page_size(1000);
  // 30 orders of 200 KiB are more than a client takes in one message.
  EXPECT_GT(call(&Orders::ListOrders, request).orders_size(), 1);
  EXPECT_EQ(list(request).size(), 30u);
}

}  // namespace
}  // namespace orderd::test
