#include <gtest/gtest.h>
#include <signal.h>

#include <iostream>

#include "tests/money/cancel.h"
#include "tests/process/database_check.h"

namespace orderd::test {
namespace {

constexpr const char* kFailpoints[] = {"cancel_after_begin",         "cancel_before_advance",
                                       "cancel_after_advance",       "before_gateway_call",
                                       "after_gateway_applied",      "before_transaction_two",
                                       "after_commit_before_answer", "cancel_before_answer"};
constexpr Shape kShapes[] = {Shape::kAuthorized, Shape::kPartlyCaptured, Shape::kTwoAccounts};
/// Longer than any test: such a server leaves all to others.
constexpr char kNever[] = "3600";

class CancelCrash : public DatabaseTest {
 protected:
  /// A server that dies at the N-th passing of a place, and the orders canceled through it until it
  /// does: of one order a place may be passed only once.
  struct Cell {
    std::string failpoint;
    bool notify = false;
    std::vector<Purchase> orders;
    std::vector<pb::CancelOrderRequest> requests = {};
    /// In which order's call the server died.
    std::size_t died_in = 0;
    std::string name = {};
  };

  Server start(const std::string& interval, const std::string& failpoint = "") {
    Server::Options options;
    options.gateways = {folder_.gateway("shop"), folder_.gateway("bank")};
    options.reconcile_interval = interval;
    options.failpoint = failpoint;
    options.more_arguments = mail_arguments(mail_.url(), interval);
    return Server(url(), options);
  }

  std::vector<Cell> prepare_cells() {
    const Server server = start(kNever);
    std::vector<Cell> cells;
    for (const char* failpoint : kFailpoints) {
      for (const char* passing : {"", ":2"}) {
        for (const Shape shape : kShapes) {
          for (const bool notify : {false, true}) {
            Cell cell{std::string(failpoint) + passing, notify, {}};
            cell.name = cell.failpoint + ", " + name_of(shape) + (notify ? ", notify" : "");
            for (int i = 0; i < (*passing == 0 ? 1 : 2); ++i) {
              cell.orders.push_back(make_purchase(server.shop(), shape, "shop", "bank"));
              cell.requests.push_back(cancel_request(cell.orders.back(), notify));
            }
            cells.push_back(std::move(cell));
          }
        }
      }
    }
    return cells;
  }

  void crash(Cell& cell) {
    Server server = start(kNever, cell.failpoint);
    for (cell.died_in = 0; cell.died_in < cell.orders.size(); ++cell.died_in) {
      const auto answer = cancel(server.shop(), cell.requests[cell.died_in]);
      if (answer.code == grpc::StatusCode::UNAVAILABLE) break;
      ASSERT_TRUE(answer.ok()) << answer;
      EXPECT_EQ(answer->report().status(), pb::CANCELLATION_STATUS_COMPLETED) << answer;
    }
    ASSERT_LT(cell.died_in, cell.orders.size()) << "the place was not passed";
    EXPECT_EQ(server.process().wait(), -SIGKILL);
  }

  /// The answers to the client that asks again, while nobody drives the cancellation: it has begun,
  /// and is as far as it was.
  static void retry_at_once(const Shop& shop, const Cell& cell) {
    const Purchase& purchase = cell.orders[cell.died_in];
    const pb::CancelOrderRequest& request = cell.requests[cell.died_in];
    const auto answer = cancel(shop, request);
    ASSERT_TRUE(answer.ok()) << answer;
    EXPECT_TRUE(answer->replayed()) << answer;
    EXPECT_TRUE(answer->changed()) << answer;
    const bool done = cell.failpoint.starts_with("cancel_before_answer");
    if (done) {
      EXPECT_EQ(answer->report().status(), pb::CANCELLATION_STATUS_COMPLETED) << answer;
    } else if (!cell.failpoint.starts_with("cancel_after_advance")) {
      // After the last decision it is completed.
      EXPECT_EQ(answer->report().status(), pb::CANCELLATION_STATUS_IN_PROGRESS) << answer;
    }
    EXPECT_EQ(answer->report().notifies_customer(), cell.notify);
    expect_honest(shop, purchase, answer.response);
    const bool completed = answer->report().status() == pb::CANCELLATION_STATUS_COMPLETED;
    EXPECT_EQ(emails_of(shop, purchase.order_id).size(), completed && cell.notify ? 1U : 0U);

    const auto again = cancel(shop, request);
    ASSERT_TRUE(again.ok()) << again;
    EXPECT_EQ(again->SerializeAsString(), answer->SerializeAsString());
    // Somebody else's call starts nothing new, and nothing of his counts.
    auto other = request;
    other.set_request_id(new_uuid());
    other.set_notify_customer(!cell.notify);
    other.set_reason("another");
    const auto others = cancel(shop, other);
    ASSERT_TRUE(others.ok()) << others;
    EXPECT_FALSE(others->changed()) << others;
    EXPECT_FALSE(others->replayed()) << others;
    EXPECT_EQ(others->report().SerializeAsString(), answer->report().SerializeAsString());
    EXPECT_EQ(others->order().cancellation().reason(), request.reason());

    if (completed) return;
    const auto& paid = purchase.payments.back();
    EXPECT_EQ(shop.send(&Orders::CapturePayment, capture_request(paid, 1)).reason,
              "CANCELLATION_IN_PROGRESS");
    EXPECT_EQ(shop.send(&Orders::RefundPayment, refund_request(paid, 1)).reason,
              "CANCELLATION_IN_PROGRESS");
  }

  static void check_end(const Shop& shop, const Mailboxes& boxes, const Cell& cell) {
    for (std::size_t i = 0; i <= cell.died_in; ++i) {
      const Purchase& purchase = cell.orders[i];
      expect_canceled(shop, purchase, cell.notify);
      expect_mailed(shop, boxes, purchase, cell.notify);
      const auto answer = cancel(shop, cell.requests[i]);
      ASSERT_TRUE(answer.ok()) << answer;
      EXPECT_TRUE(answer->replayed()) << answer;
      EXPECT_TRUE(answer->changed()) << answer;
      EXPECT_EQ(answer->report().status(), pb::CANCELLATION_STATUS_COMPLETED) << answer;
      EXPECT_EQ(answer->report().notifies_customer(), cell.notify);
      EXPECT_EQ(answer->report().pending().amount_minor(), 0);
      expect_honest(shop, purchase, answer.response);
      EXPECT_EQ(answer->order().cancellation().pass(), 1);
      auto other = cancel_request(purchase, true);
      const auto others = cancel(shop, other);
      EXPECT_TRUE(others.ok()) << others;
      EXPECT_FALSE(others->changed()) << others;
      EXPECT_EQ(others->order().etag(), answer->order().etag());
    }
  }

  const Folder folder_;
  const MailServer mail_;
};
ORDERD_ON_BOTH_DATABASES(CancelCrash);

TEST_P(CancelCrash, EveryPlaceAndEveryShapeEndsCanceled) {
  std::vector<Cell> cells = prepare_cells();
  for (Cell& cell : cells) {
    SCOPED_TRACE(cell.name);
    crash(cell);
    if (HasFatalFailure()) return;
  }
  {
    // Nothing goes on by itself while this one runs.
    const Server server = start(kNever);
    for (const Cell& cell : cells) {
      SCOPED_TRACE(cell.name);
      retry_at_once(server.shop(), cell);
    }
    EXPECT_TRUE(mail_.messages().empty());
  }
  {
    Server server = start("0.1");
    for (const Cell& cell : cells) {
      const auto end = cell.orders.begin() + static_cast<std::ptrdiff_t>(cell.died_in) + 1;
      wait_until_canceled(server.shop(), {cell.orders.begin(), end});
    }
    server.shop().wait_until_settled();
    wait_until_mailed(server.shop());
    const Mailboxes boxes = mailboxes_of(mail_);
    for (const Cell& cell : cells) {
      SCOPED_TRACE(cell.name);
      check_end(server.shop(), boxes, cell);
    }
    wait_until_mailed(server.shop());
    EXPECT_EQ(mail_.messages().size(), boxes.size()) << "somebody was told twice";
    EXPECT_EQ(server.process().terminate(), 0);
  }
  check_database(url());
}

/// The call ended with its server, and the servers that go on die too, one after the other.
TEST_P(CancelCrash, TheReconcilerMayDieToo) {
  std::vector<Cell> cells;
  {
    const Server server = start(kNever);
    for (const Shape shape : kShapes) {
      for (const bool notify : {false, true}) {
        Cell cell{
            "cancel_after_begin", notify, {make_purchase(server.shop(), shape, "shop", "bank")}};
        cell.requests = {cancel_request(cell.orders[0], notify)};
        cell.name = std::string(name_of(shape)) + (notify ? ", notify" : "");
        cells.push_back(std::move(cell));
      }
    }
  }
  for (Cell& cell : cells) {
    SCOPED_TRACE(cell.name);
    crash(cell);
    if (HasFatalFailure()) return;
  }
  for (const char* failpoint :
       {"cancel_before_advance:3", "cancel_after_advance:2", "before_gateway_call",
        "after_gateway_applied:2", "before_transaction_two", "after_commit_before_answer:2"}) {
    SCOPED_TRACE(failpoint);
    Server server = start("0.1", failpoint);
    EXPECT_EQ(server.process().wait(), -SIGKILL);
  }
  Server server = start("0.1");
  for (const Cell& cell : cells) wait_until_canceled(server.shop(), cell.orders);
  server.shop().wait_until_settled();
  // A server may have died with a claim on an e-mail.
  let_emails_fall_due(url());
  wait_until_mailed(server.shop());
  const Mailboxes boxes = mailboxes_of(mail_);
  for (const Cell& cell : cells) {
    SCOPED_TRACE(cell.name);
    expect_canceled(server.shop(), cell.orders[0], cell.notify);
    expect_mailed(server.shop(), boxes, cell.orders[0], cell.notify, 2);
  }
  EXPECT_EQ(server.process().terminate(), 0);
  check_database(url());
}

}  // namespace
}  // namespace orderd::test
