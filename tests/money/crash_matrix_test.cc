#include <gtest/gtest.h>
#include <signal.h>

#include "tests/money/money.h"
#include "tests/process/database_check.h"

namespace orderd::test {
namespace {

constexpr const char* kFailpoints[] = {"after_transaction_one", "before_gateway_call",
                                       "after_gateway_applied", "before_transaction_two",
                                       "after_commit_before_answer"};
/// Longer than any test: such a server leaves all to others.
constexpr char kNever[] = "3600";

class CrashMatrix : public DatabaseTest {
 protected:
  struct Cell {
    std::string failpoint;
    Try attempt;

    std::string name() const { return failpoint + ", " + name_of(attempt.operation); }
  };

  Server start(const std::string& interval, const std::string& failpoint = "") {
    Server::Options options;
    options.gateways = {folder_.gateway("shop")};
    options.reconcile_interval = interval;
    options.failpoint = failpoint;
    return Server(url(), options);
  }

  std::vector<Cell> prepare_cells() {
    const Server server = start(kNever);
    std::vector<Cell> cells;
    for (const char* failpoint : kFailpoints) {
      for (const Operation operation : kOperations) {
        cells.push_back({failpoint, prepare(server.shop(), "shop", operation)});
      }
    }
    return cells;
  }

  /// The server dies in the cell's call.
  void crash(const Cell& cell) {
    Server server = start(kNever, cell.failpoint);
    const auto answer = perform(server.shop(), cell.attempt);
    EXPECT_EQ(answer.code, grpc::StatusCode::UNAVAILABLE) << answer;
    EXPECT_EQ(server.process().wait(), -SIGKILL);
  }

  /// The answer to the client that asks again, before the reconciler has been there: the attempt
  /// is known, and an answer that says more than UNKNOWN must be right already.
  std::string retry_at_once(const Shop& shop, const Cell& cell) {
    const auto answer = perform(shop, cell.attempt);
    EXPECT_TRUE(answer.ok()) << answer;
    EXPECT_TRUE(answer->replayed) << answer;
    EXPECT_TRUE(answer->changed) << answer;
    const pb::PaymentTransaction& transaction = answer->transaction;
    EXPECT_EQ(transaction.kind(), kind_of(cell.attempt.operation)) << answer;
    EXPECT_EQ(transaction.amount().amount_minor(), cell.attempt.amount) << answer;
    EXPECT_EQ(transaction.request_id(), cell.attempt.request_id) << answer;
    const bool settled = cell.failpoint == "after_commit_before_answer";
    EXPECT_EQ(transaction.status(),
              settled ? pb::TRANSACTION_STATUS_SUCCEEDED : pb::TRANSACTION_STATUS_UNKNOWN)
        << answer;
    expect_invariant(payment_of(answer->order));
    return transaction.transaction_id();
  }

  /// When nothing is unresolved any more.
  void check_end(const Shop& shop, const Cell& cell, const std::string& transaction_id) {
    const Paid& paid = cell.attempt.paid;
    expect_equal_books(shop, paid);
    const auto first = perform(shop, cell.attempt);
    const auto second = perform(shop, cell.attempt);
    for (const auto& answer : {first, second}) {
      ASSERT_TRUE(answer.ok()) << answer;
      EXPECT_TRUE(answer->replayed) << answer;
      EXPECT_EQ(answer->transaction.transaction_id(), transaction_id) << answer;
      EXPECT_EQ(answer->transaction.status(), pb::TRANSACTION_STATUS_SUCCEEDED) << answer;
      EXPECT_EQ(answer->transaction.amount().amount_minor(), cell.attempt.amount) << answer;
      EXPECT_EQ(answer->order.etag(), first->order.etag());
    }
    EXPECT_EQ(first->transaction.SerializeAsString(), second->transaction.SerializeAsString());
    EXPECT_EQ(first->etag, second->etag);

    int ours = 0;
    const auto book = shop.ledger(paid.account, paid.reference);
    for (const auto& movement : book.movements()) {
      ours += movement.attempt_id() == transaction_id;
    }
    // The capture and what it released; else one.
    EXPECT_EQ(ours, cell.attempt.operation == Operation::kFinalCapture ? 2 : 1);

    // A reading can tell what the answer that was lost would have told, but moves nothing.
    const auto before = payment_of(shop.get(paid.order_id));
    shop.call(&Orders::SyncPayments, sync_request(paid));
    const auto again = shop.call(&Orders::SyncPayments, sync_request(paid));
    EXPECT_FALSE(again.changed()) << again.ShortDebugString();
    EXPECT_EQ(again.differences_size(), 0);
    const auto& after = payment_of(again.order());
    EXPECT_EQ(after.captured().amount_minor(), before.captured().amount_minor());
    EXPECT_EQ(after.refunded().amount_minor(), before.refunded().amount_minor());
    EXPECT_EQ(after.voided().amount_minor(), before.voided().amount_minor());
    expect_invariant(after);
    expect_equal_books(shop, paid);
  }

  const Folder folder_;
};
ORDERD_ON_BOTH_DATABASES(CrashMatrix);

TEST_P(CrashMatrix, EveryPlaceAndEveryOperationMovesTheMoneyOnce) {
  const std::vector<Cell> cells = prepare_cells();
  for (const Cell& cell : cells) {
    SCOPED_TRACE(cell.name());
    crash(cell);
  }
  std::vector<std::string> ids;
  {
    // Nothing is found out while this one runs.
    const Server server = start(kNever);
    for (const Cell& cell : cells) {
      SCOPED_TRACE(cell.name());
      ids.push_back(retry_at_once(server.shop(), cell));
      EXPECT_EQ(retry_at_once(server.shop(), cell), ids.back());
    }
    // What the gateway has, it has from before the crash.
    for (std::size_t i = 0; i < cells.size(); ++i) {
      SCOPED_TRACE(cells[i].name());
      const Paid& paid = cells[i].attempt.paid;
      bool applied = false;
      const auto book = server.shop().ledger(paid.account, paid.reference);
      for (const auto& movement : book.movements()) {
        applied |= movement.attempt_id() == ids[i];
      }
      EXPECT_EQ(applied,
                cells[i].failpoint != kFailpoints[0] && cells[i].failpoint != kFailpoints[1]);
    }
  }
  {
    Server server = start("0.1");
    server.shop().wait_until_settled();
    for (std::size_t i = 0; i < cells.size(); ++i) {
      SCOPED_TRACE(cells[i].name());
      check_end(server.shop(), cells[i], ids[i]);
    }
    EXPECT_EQ(server.process().terminate(), 0);
  }
  check_database(url());
}

/// The attempt was never sent, and the server that takes it up dies as well.
TEST_P(CrashMatrix, TheReconcilerMayDieToo) {
  std::vector<Cell> cells;
  {
    const Server server = start(kNever);
    for (const Operation operation : kOperations) {
      cells.push_back({kFailpoints[0], prepare(server.shop(), "shop", operation)});
    }
  }
  for (const Cell& cell : cells) crash(cell);
  // One of them is sent and settled, or half of that, by each of these.
  for (const char* failpoint :
       {"before_gateway_call", "after_gateway_applied", "before_transaction_two"}) {
    SCOPED_TRACE(failpoint);
    Server server = start("0.1", failpoint);
    EXPECT_EQ(server.process().wait(), -SIGKILL);
  }
  Server server = start("0.1");
  std::vector<std::string> ids;
  for (const Cell& cell : cells) {
    const auto answer = perform(server.shop(), cell.attempt);
    ASSERT_TRUE(answer.ok()) << answer;
    EXPECT_TRUE(answer->replayed);
    ids.push_back(answer->transaction.transaction_id());
  }
  server.shop().wait_until_settled();
  for (std::size_t i = 0; i < cells.size(); ++i) {
    SCOPED_TRACE(cells[i].name());
    check_end(server.shop(), cells[i], ids[i]);
  }
  EXPECT_EQ(server.process().terminate(), 0);
}

}  // namespace
}  // namespace orderd::test
