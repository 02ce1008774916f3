#include <gtest/gtest.h>

#include <atomic>
#include <random>

#include "tests/engine/payment_commands.h"
#include "tests/support/storage_test.h"

// Money on its way through the engine: an attempt is stored with its order, settled once, answered
// to retries as it is now; and what a cache holds is what the database holds.

namespace orderd::test {
namespace {

class Payments : public EngineTest {
 protected:
  void SetUp() override {
    storage::Options options;
    options.on_statement = [this](std::string_view sql) {
      if (!sql.starts_with("SELECT") && !sql.starts_with("BEGIN") && !sql.starts_with("START") &&
          !sql.starts_with("ROLLBACK") && !sql.starts_with("COMMIT")) {
        ++writes_;
      }
    };
    opened_ = open(options);
    server_ = std::make_unique<Server>(opened_);
  }

  /// An order with an external payment.
  Uuid make(std::int64_t authorized) {
    const Uuid id = make_order(*server_);
    EXPECT_TRUE(server_->call(add_payment(id, authorized)).ok());
    return id;
  }

  pb::Payment payment(const Uuid& id, int n = 0) { return server_->stored(id)->order->payments(n); }

  std::vector<pb::PaymentTransaction> ledger(const Uuid& id) {
    return opened_->begin_read(storage::Clock::now() + kPatience)
        ->list_transactions(id, "", std::nullopt, 1000);
  }

  /// That the order's open transactions are those of the ledger, and that its sums are too.
  void expect_books_agree(const Uuid& id) {
    const pb::Order order = server_->stored(id)->order;
    std::map<std::string, std::int64_t> captured;
    std::map<std::string, std::vector<std::string>> open;
    for (const pb::PaymentTransaction& transaction : ledger(id)) {
      if (transaction.status() == pb::TRANSACTION_STATUS_UNKNOWN ||
          transaction.status() == pb::TRANSACTION_STATUS_PENDING) {
        open[transaction.payment_id()].push_back(transaction.SerializeAsString());
      } else if (transaction.status() == pb::TRANSACTION_STATUS_SUCCEEDED &&
                 transaction.kind() == pb::TRANSACTION_KIND_CAPTURE) {
        captured[transaction.payment_id()] += transaction.amount().amount_minor();
      }
    }
    for (const pb::Payment& payment : order.payments()) {
      std::vector<std::string> in_order;
      for (const auto& transaction : payment.open_transactions()) {
        in_order.push_back(transaction.SerializeAsString());
      }
      EXPECT_EQ(in_order, open[payment.payment_id()]);
      EXPECT_EQ(payment.captured().amount_minor(), captured[payment.payment_id()]);
    }
  }

  std::atomic<int> writes_{0};
  std::shared_ptr<storage::Storage> opened_;
  std::unique_ptr<Server> server_;
};

TEST_P(Payments, AnAttemptIsStoredWithItsOrderAndSettledOnce) {
  const Uuid id = make(1000);
  const AnswerOr tried = server_->call(capture(id, payment(id).payment_id(), 400));
  ASSERT_TRUE(tried.ok()) << tried.status();
  ASSERT_TRUE(tried->transaction.has_value());
  EXPECT_EQ(tried->transaction->status(), pb::TRANSACTION_STATUS_UNKNOWN);
  EXPECT_EQ(tried->order->order->payments(0).open_transactions_size(), 1);
  EXPECT_EQ(tried->order->order->payments(0).capturable().amount_minor(), 600);
  EXPECT_TRUE(same(server_->stored(id)->order, tried->order->order));
  expect_books_agree(id);

  const std::string transaction_id = tried->transaction->transaction_id();
  const auto settle_it = [&] {
    return settle(id, payment(id).payment_id(), transaction_id, succeeded("g-1"));
  };
  const AnswerOr settled = server_->call(settle_it());
  ASSERT_TRUE(settled.ok()) << settled.status();
  EXPECT_TRUE(settled->changed);
  EXPECT_EQ(settled->transaction->status(), pb::TRANSACTION_STATUS_SUCCEEDED);
  EXPECT_EQ(settled->order->order->payments(0).captured().amount_minor(), 400);
  EXPECT_TRUE(same(server_->stored(id)->order, settled->order->order));
  expect_books_agree(id);

  const AnswerOr again = server_->call(settle_it());
  ASSERT_TRUE(again.ok());
  EXPECT_FALSE(again->changed);
  EXPECT_EQ(again->etag, settled->etag);
  EXPECT_EQ(again->transaction->gateway_transaction_id(), "g-1");
}

TEST_P(Payments, AReplayAnswersWithTheTransactionAsItIsNow) {
  const Uuid id = make(1000);
  const std::string payment_id = payment(id).payment_id();
  const std::string request_id = Uuid::generate().to_string();
  const AnswerOr first = server_->call(capture(id, payment_id, 400, request_id));
  ASSERT_TRUE(first.ok()) << first.status();
  const AnswerOr before = server_->call(capture(id, payment_id, 400, request_id));
  ASSERT_TRUE(before.ok()) << before.status();
  EXPECT_TRUE(before->replayed);
  EXPECT_EQ(before->transaction->status(), pb::TRANSACTION_STATUS_UNKNOWN);

  ASSERT_TRUE(
      server_->call(settle(id, payment_id, first->transaction->transaction_id(), succeeded("g-1")))
          .ok());
  // Another server, which has nothing in its cache, and however old the request is.
  while (opened_->sweep(INT64_MAX - 1, 1000) > 0) {
  }
  Server other(opened_);
  const AnswerOr after = other.call(capture(id, payment_id, 400, request_id));
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_TRUE(after->replayed);
  EXPECT_EQ(after->transaction->transaction_id(), first->transaction->transaction_id());
  EXPECT_EQ(after->transaction->status(), pb::TRANSACTION_STATUS_SUCCEEDED);
  EXPECT_EQ(after->etag, first->etag);

  const AnswerOr reused = other.call(capture(id, payment_id, 401, request_id));
  EXPECT_EQ(errors::reason(reused.status()), "REQUEST_ID_REUSED");
}

TEST_P(Payments, AskingWhatWouldHappenWritesNothing) {
  const Uuid id = make(1000);
  const std::string etag = server_->stored(id)->order->etag();
  Command asked = capture(id, payment(id).payment_id(), 400);
  asked.validate_only = true;
  writes_ = 0;
  const AnswerOr answer = server_->call(std::move(asked));
  ASSERT_TRUE(answer.ok()) << answer.status();
  EXPECT_EQ(writes_, 0);
  EXPECT_TRUE(answer->changed);
  EXPECT_EQ(answer->etag, etag);
  EXPECT_EQ(answer->transaction->amount().amount_minor(), 400);
  EXPECT_EQ(server_->stored(id)->order->etag(), etag);
  EXPECT_EQ(payment(id).open_transactions_size(), 0);

  Command too_much = capture(id, payment(id).payment_id(), 1001);
  too_much.validate_only = true;
  EXPECT_EQ(errors::reason(server_->call(std::move(too_much)).status()), "AMOUNT_TOO_LARGE");
}

TEST_P(Payments, CapturesOfOneBatchSeeEachOther) {
  const Uuid id = make(1000);
  const std::string payment_id = payment(id).payment_id();
  std::vector<std::future<AnswerOr>> answers;
  {
    Held held(*server_);
    for (int i = 0; i < 5; ++i) answers.push_back(server_->send(capture(id, payment_id, 300)));
  }
  int accepted = 0;
  for (auto& future : answers) {
    const AnswerOr answer = get(std::move(future));
    accepted += answer.ok();
    EXPECT_EQ(errors::reason(answer.status()), answer.ok() ? "" : "AMOUNT_TOO_LARGE");
  }
  EXPECT_EQ(accepted, 3);
  EXPECT_EQ(payment(id).capturable().amount_minor(), 100);
  expect_books_agree(id);
}

TEST_P(Payments, AReadingIsFoldedOnceAndAnOldOneIsRefused) {
  const Uuid id = make_order(*server_);
  ASSERT_TRUE(server_->call(attach_payment(id, "sandbox")).ok());
  const std::string payment_id = payment(id).payment_id();
  const auto reading = reading_of(payment_id, payment(id).revision(), 1000, {300, 200});
  const AnswerOr folded = server_->call(fold(id, reading));
  ASSERT_TRUE(folded.ok()) << folded.status();
  EXPECT_TRUE(folded->changed);
  EXPECT_EQ(payment(id).captured().amount_minor(), 500);
  EXPECT_EQ(ledger(id).size(), 3u);
  expect_books_agree(id);

  const AnswerOr again =
      server_->call(fold(id, reading_of(payment_id, payment(id).revision(), 1000, {300, 200})));
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_FALSE(again->changed);

  const auto old = reading_of(payment_id, payment(id).revision(), 1000, {300, 200});
  ASSERT_TRUE(server_->call(capture(id, payment_id, 100)).ok());
  const AnswerOr stale = server_->call(fold(id, old));
  EXPECT_EQ(errors::reason(stale.status()), "STALE_READING");
}

TEST_P(Payments, ARandomWalkLeavesCacheAndDatabaseAlike) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE(::testing::Message() << "seed " << seed);
  std::mt19937 random(seed);
  const auto pick = [&](int most) { return std::uniform_int_distribution<int>(0, most)(random); };
  std::vector<Uuid> ids;
  for (int i = 0; i < 4; ++i) ids.push_back(make(1000));
  for (int round = 0; round < 30; ++round) {
    std::vector<Command> commands;
    for (int i = 0; i < 8; ++i) {
      const Uuid& id = ids[static_cast<std::size_t>(pick(3))];
      const pb::Payment current = payment(id);
      if (pick(3) == 0) {
        commands.push_back(invoice(id, Uuid::generate().to_string()));
      } else if (pick(1) == 0 || current.open_transactions().empty()) {
        commands.push_back(capture(id, current.payment_id(), 1 + pick(200)));
      } else {
        payments::CallResult result = succeeded("g-" + Uuid::generate().to_string());
        if (pick(2) == 0) result.kind = payments::CallResult::Kind::kRefused;
        commands.push_back(settle(id, current.payment_id(),
                                  current.open_transactions(0).transaction_id(), result));
      }
    }
    server_->call(std::move(commands));
    for (const Uuid& id : ids) {
      const OrderPtr stored = server_->stored(id);
      const OrderPtr cached = server_->cache.find(id, stored->version);
      ASSERT_NE(cached, nullptr);
      ASSERT_TRUE(same(stored->order, cached->order));
      expect_books_agree(id);
    }
  }
  std::map<Uuid, std::int64_t> versions;
  for (const Uuid& id : ids) versions[id] = server_->stored(id)->version;
  raw().expect_history_without_gap(versions);
}

ORDERD_ON_BOTH_DATABASES(Payments);

}  // namespace
}  // namespace orderd::test
