#include <atomic>
#include <future>
#include <set>

#include "tests/support/storage_test.h"

// The reconciler's queue.

namespace orderd::test {
namespace {

using storage::ChangeSet;
using storage::DueCheck;
using storage::Postponement;
using storage::ScheduleRow;
using storage::UnresolvedRow;

const std::vector<std::string> kAcme{"acme"};

class PaymentScheduleTest : public StorageTest {
 protected:
  void schedule(const std::vector<ScheduleRow>& rows) {
    ChangeSet changes;
    changes.schedule = rows;
    save(changes);
  }
  ScheduleRow row(const std::string& payment_id, std::optional<Micros> next_check,
                  std::optional<Micros> unresolved_since = std::nullopt,
                  const std::string& account = "acme") const {
    return {order_id_, account, {payment_id, next_check, unresolved_since}};
  }
  static std::vector<std::string> ids_of(const std::vector<DueCheck>& checks) {
    std::vector<std::string> ids;
    for (const DueCheck& check : checks) ids.push_back(check.payment_id);
    return ids;
  }
  /// What is due, in order.
  std::vector<std::string> claim(Micros now, Micros lease_until, int limit = 100) {
    return ids_of(storage_->claim_due_checks(kAcme, now, lease_until, limit));
  }
  void postpone(const std::string& payment_id, Micros lease_until, Micros next_check) {
    const Postponement postponement{order_id_, payment_id, lease_until, next_check};
    storage_->postpone_checks({&postponement, 1});
  }
  std::vector<UnresolvedRow> unresolved(const std::string& account, int page_size) {
    std::vector<UnresolvedRow> all;
    std::optional<UnresolvedRow::Keyset> after;
    for (;;) {
      auto page = begin_read()->list_unresolved(account, after, page_size);
      EXPECT_LE(page.size(), static_cast<std::size_t>(page_size));
      if (page.empty()) return all;
      after = page.back().key;
      all.insert(all.end(), page.begin(), page.end());
    }
  }

  const Uuid order_id_ = Uuid::generate();
};
ORDERD_ON_BOTH_DATABASES(PaymentScheduleTest);

TEST_P(PaymentScheduleTest, GivesWhatIsDueOldestFirst) {
  schedule({row("c", 30), row("a", 10), row("b", 20), row("later", 31), row("x", INT64_MIN)});
  schedule({row("never", std::nullopt, 1)});
  const auto claimed = storage_->claim_due_checks(kAcme, 30, 1000, 100);
  EXPECT_THAT(ids_of(claimed), testing::ElementsAre("x", "a", "b", "c"));
  for (const DueCheck& check : claimed) {
    EXPECT_EQ(check.order_id, order_id_);
    EXPECT_EQ(check.gateway_account, "acme");
    EXPECT_EQ(check.tries, 1);
  }
  EXPECT_THAT(claim(30, 1000), testing::IsEmpty());
  EXPECT_THAT(claim(31, 1000), testing::ElementsAre("later"));
  EXPECT_THAT(claim(INT64_MAX - 1, INT64_MAX - 1).size(), 5u) << "not what is never asked";
}

TEST_P(PaymentScheduleTest, GivesAtMostTheLimit) {
  std::vector<ScheduleRow> rows;
  for (int i = 0; i < 1300; ++i) rows.push_back(row(std::to_string(1000 + i), i));
  schedule(rows);
  std::vector<std::string> all;
  for (const int expected : {600, 600, 100, 0}) {
    const auto ids = claim(5000, 9000, 600);
    EXPECT_EQ(ids.size(), static_cast<std::size_t>(expected));
    all.insert(all.end(), ids.begin(), ids.end());
  }
  EXPECT_TRUE(std::ranges::is_sorted(all));
  EXPECT_EQ(std::set(all.begin(), all.end()).size(), 1300u);
}

TEST_P(PaymentScheduleTest, GivesPaymentsOfTheAccountsOnly) {
  schedule({row("1", 4, {}, "acme"), row("2", 3, {}, "Acme"), row("3", 2, {}, "acme "),
            row("4", 1, {}, "other"), row("5", 5, {}, "bank")});
  EXPECT_THAT(storage_->claim_due_checks({}, 10, 100, 10), testing::IsEmpty());
  // The oldest of all of them, whatever their account.
  const std::vector<std::string> accounts{"bank", "acme", "nobody's", "other"};
  const auto claimed = storage_->claim_due_checks(accounts, 10, 100, 2);
  EXPECT_THAT(ids_of(claimed), testing::ElementsAre("4", "1"));
  EXPECT_EQ(claimed[0].gateway_account, "other");
  EXPECT_EQ(claimed[1].gateway_account, "acme");
  EXPECT_THAT(ids_of(storage_->claim_due_checks(accounts, 10, 100, 9)), testing::ElementsAre("5"));
}

TEST_P(PaymentScheduleTest, AClaimRunsOut) {
  schedule({row("a", 10)});
  EXPECT_THAT(claim(10, 100), testing::ElementsAre("a"));
  EXPECT_THAT(claim(99, 200), testing::IsEmpty());
  reopen();  // the server that had it is gone
  const auto again = storage_->claim_due_checks(kAcme, 100, 200, 10);
  ASSERT_THAT(ids_of(again), testing::ElementsAre("a"));
  EXPECT_EQ(again[0].tries, 2);
}

TEST_P(PaymentScheduleTest, APostponedCheckKeepsItsTries) {
  schedule({row("a", 10), row("b", 10)});
  claim(10, 100);
  postpone("a", 100, 500);
  EXPECT_THAT(claim(499, 600), testing::ElementsAre("b"));
  const auto again = storage_->claim_due_checks(kAcme, 500, 700, 10);
  ASSERT_THAT(ids_of(again), testing::ElementsAre("a"));
  EXPECT_EQ(again[0].tries, 2);
  EXPECT_EQ(again[0].gateway_account, "acme");
}

TEST_P(PaymentScheduleTest, AClaimThatNobodyWasAskedForIsNoTry) {
  schedule({row("asked", 10), row("not asked", 10)});
  for (const Micros now : {10, 20, 30}) {
    std::vector<Postponement> all;
    for (const DueCheck& check : storage_->claim_due_checks(kAcme, now, now + 5, 10)) {
      all.push_back({order_id_, check.payment_id, now + 5, now + 10, check.payment_id == "asked"});
    }
    EXPECT_EQ(all.size(), 2u);
    storage_->postpone_checks(all);
  }
  for (const DueCheck& check : storage_->claim_due_checks(kAcme, 40, 100, 10)) {
    EXPECT_EQ(check.tries, check.payment_id == "asked" ? 4 : 1);
  }
}

TEST_P(PaymentScheduleTest, KeepsSinceWhenItIsUnresolvedIfItIsToldTo) {
  const auto keeping = [&](const std::string& payment_id, Micros since) {
    ScheduleRow kept = row(payment_id, since + 100, since);
    kept.schedule.keeps_since = true;
    return kept;
  };
  const auto since = [&] { return unresolved("", 10).at(0).key.since; };
  schedule({keeping("a", 50)});
  EXPECT_EQ(since(), 50);
  schedule({keeping("a", 70), row("resolved", 1)});
  EXPECT_EQ(since(), 50);
  EXPECT_EQ(ids_of(storage_->claim_due_checks(kAcme, 170, 500, 1)),
            std::vector<std::string>{"resolved"});
  EXPECT_THAT(claim(170, 500), testing::ElementsAre("a")) << "the rest is new";
  schedule({keeping("a", 30)});
  EXPECT_EQ(since(), 30);
  schedule({row("a", 90, 90)});
  EXPECT_EQ(since(), 90);
  schedule({row("a", 95)});
  EXPECT_THAT(unresolved("", 10), testing::IsEmpty());
  schedule({keeping("a", 97)});
  EXPECT_EQ(since(), 97) << "there was no earlier one";
}

TEST_P(PaymentScheduleTest, APostponementIsIgnoredAfterANewSchedule) {
  schedule({row("changed", 10), row("removed", 10), row("reclaimed", 10), row("mine", 10)});
  EXPECT_EQ(claim(10, 100).size(), 4u);
  schedule({row("changed", 50), row("removed", std::nullopt)});
  std::vector<Postponement> all;
  for (const char* id : {"changed", "removed", "reclaimed", "mine"}) {
    all.push_back({order_id_, id, id == std::string("reclaimed") ? 99 : 100, 5000});
  }
  all.push_back({Uuid::generate(), "mine", 100, 7000});  // another order's
  storage_->postpone_checks(all);
  EXPECT_THAT(claim(50, 6000), testing::ElementsAre("changed"));
  EXPECT_THAT(claim(100, 6000), testing::ElementsAre("reclaimed"));
  EXPECT_THAT(claim(4999, 6000), testing::IsEmpty());
  EXPECT_THAT(claim(5000, 6000), testing::ElementsAre("mine"));
}

TEST_P(PaymentScheduleTest, ANewScheduleStartsAfresh) {
  schedule({row("a", 10, 3)});
  for (const Micros now : {10, 20, 30}) EXPECT_EQ(claim(now, now + 10).size(), 1u);
  schedule({row("a", 15, 7, "bank")});
  EXPECT_THAT(claim(1000, 2000), testing::IsEmpty()) << "the account is another";
  const std::vector<std::string> bank{"bank"};
  EXPECT_THAT(storage_->claim_due_checks(bank, 14, 2000, 10), testing::IsEmpty());
  const auto claimed = storage_->claim_due_checks(bank, 15, 2000, 10);
  ASSERT_THAT(ids_of(claimed), testing::ElementsAre("a"));
  EXPECT_EQ(claimed[0].tries, 1);
  EXPECT_EQ(unresolved("bank", 10).at(0).key.since, 7);

  // Neither time: the row goes, and what is removed twice too.
  schedule({row("a", std::nullopt, std::nullopt, "bank"), row("b", std::nullopt)});
  EXPECT_THAT(storage_->claim_due_checks(bank, 5000, 6000, 10), testing::IsEmpty());
  EXPECT_THAT(unresolved("", 10), testing::IsEmpty());
}

TEST_P(PaymentScheduleTest, ManyRowsAreWrittenAndRemovedAtOnce) {
  std::vector<ScheduleRow> rows;
  for (int i = 0; i < 1200; ++i) {
    rows.push_back({Uuid::generate(), "acme", {"p" + std::to_string(i % 3), i, 5000 + i}});
  }
  schedule(rows);
  EXPECT_EQ(unresolved("", 1000).size(), 1200u);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (i % 7 != 0) rows[i].schedule = {rows[i].schedule.payment_id, {}, {}};
  }
  schedule(rows);
  const auto left = unresolved("acme", 1000);
  ASSERT_EQ(left.size(), 172u);
  for (const UnresolvedRow& row : left) EXPECT_EQ(row.key.since % 7, 5000 % 7);
}

TEST_P(PaymentScheduleTest, TheBacklogIsCountedByAccountUpToALimit) {
  schedule({row("late", 1, 50), row("early", {}, 40), row("never", {}, 60), row("settled", 5),
            row("elsewhere", 1, 7, "bank")});
  const auto backlog = [&](const std::string& account, int most) {
    return begin_read()->unresolved_backlog(account, most);
  };
  EXPECT_EQ(backlog("acme", 10).count, 3);
  EXPECT_EQ(backlog("acme", 10).oldest, 40);
  EXPECT_EQ(backlog("acme", 2).count, 2);
  EXPECT_EQ(backlog("acme", 2).oldest, 40);
  EXPECT_EQ(backlog("bank", 10).count, 1);
  EXPECT_EQ(backlog("bank", 10).oldest, 7);
  EXPECT_EQ(backlog("nobody's", 10).count, 0);
  EXPECT_EQ(backlog("nobody's", 10).oldest, std::nullopt);
}

TEST_P(PaymentScheduleTest, UnresolvedPaymentsAreListedInPages) {
  std::vector<ScheduleRow> rows;
  std::vector<Uuid> orders;
  for (int i = 0; i < 6; ++i) orders.push_back(Uuid::generate());
  // Few different times, so that order and payment decide often.
  for (std::size_t i = 0; i < 60; ++i) {
    const Micros since = static_cast<Micros>(i * 7 % 4);
    const std::optional<Micros> next = i % 5 == 0 ? std::nullopt : std::optional<Micros>(i);
    rows.push_back(
        {orders[i % 6], i % 3 == 0 ? "acme" : "bank", {"p" + std::to_string(i / 6), next, since}});
  }
  schedule(rows);
  schedule({row("settled", 5), row("also settled", 6, {}, "bank")});
  const auto key = [](const ScheduleRow& row) {
    return std::tuple(*row.schedule.unresolved_since, row.order_id, row.schedule.payment_id);
  };
  std::ranges::sort(rows, {}, key);
  for (const std::string account : {"", "acme", "bank", "nobody's"}) {
    std::vector<ScheduleRow> expected;
    for (const ScheduleRow& row : rows) {
      if (account.empty() || row.gateway_account == account) expected.push_back(row);
    }
    for (const int page_size : {1, 7, 100}) {
      const auto listed = unresolved(account, page_size);
      ASSERT_EQ(listed.size(), expected.size()) << "account '" << account << "'";
      for (std::size_t i = 0; i < listed.size(); ++i) {
        const UnresolvedRow& row = listed[i];
        EXPECT_EQ(std::tuple(row.key.since, row.key.order_id, row.key.payment_id),
                  key(expected[i]));
        EXPECT_EQ(row.next_check, expected[i].schedule.next_check);
      }
    }
  }
}

TEST_P(PaymentScheduleTest, ConcurrentClaimsNeverOverlap) {
  constexpr int kPayments = 600;
  std::vector<ScheduleRow> rows;
  for (int i = 0; i < kPayments; ++i) {
    rows.push_back(row(std::to_string(i), i % 10, {}, i % 2 == 0 ? "acme" : "bank"));
  }
  schedule(rows);
  const std::vector<std::string> accounts{"acme", "bank"};
  std::atomic<int> left = kPayments;
  const auto worker = [&] {
    std::vector<DueCheck> mine;
    const auto deadline = soon();
    while (left > 0 && storage::Clock::now() < deadline) {
      // Empty while others have locked all that is left.
      const auto claimed = storage_->claim_due_checks(accounts, 10, 1000, 7);
      left -= static_cast<int>(claimed.size());
      mine.insert(mine.end(), claimed.begin(), claimed.end());
    }
    return mine;
  };
  std::vector<std::future<std::vector<DueCheck>>> workers;
  for (int i = 0; i < 6; ++i) workers.push_back(std::async(std::launch::async, worker));
  std::multiset<std::string> claimed;
  for (auto& future : workers) {
    for (const DueCheck& check : future.get()) {
      claimed.insert(check.payment_id);
      EXPECT_EQ(check.tries, 1);
    }
  }
  EXPECT_EQ(claimed.size(), static_cast<std::size_t>(kPayments));
  EXPECT_EQ(std::set(claimed.begin(), claimed.end()).size(), claimed.size());
}

TEST_P(PaymentScheduleTest, ClaimsAndSchedulesDoNotLoseEachOther) {
  // A payment that is scheduled anew while it is claimed is due at its new time, or claimed after
  // it.
  std::vector<ScheduleRow> rows;
  for (int i = 0; i < 50; ++i) rows.push_back(row(std::to_string(i), 1));
  schedule(rows);
  std::atomic<bool> stop = false;
  auto claimer = std::async(std::launch::async, [&] {
    int count = 0;
    while (!stop) {
      for (const DueCheck& check : storage_->claim_due_checks(kAcme, 10, 1000, 20)) {
        const Postponement postponement{check.order_id, check.payment_id, 1000, 2000};
        storage_->postpone_checks({&postponement, 1});
        ++count;
      }
    }
    return count;
  });
  for (int round = 0; round < 20; ++round) {
    for (ScheduleRow& row : rows) row.schedule.next_check = 1 + round % 5;
    schedule(rows);
  }
  for (ScheduleRow& row : rows) row.schedule.next_check = 500;
  schedule(rows);
  stop = true;
  EXPECT_GE(claimer.get(), 0);
  EXPECT_EQ(claim(500, 600).size(), 50u);
}

class MariadbPaymentScheduleTest : public PaymentScheduleTest {};
INSTANTIATE_TEST_SUITE_P(, MariadbPaymentScheduleTest, testing::Values(Backend::kMariadb),
                         backend_name);

TEST_P(MariadbPaymentScheduleTest, ClaimsWaitForNobody) {
  schedule({row("busy", 1), row("removed", 1), row("free", 2)});
  ChangeSet changes;
  changes.batch_key = Uuid::generate();
  changes.schedule = {row("busy", 5), row("new", 1), row("removed", std::nullopt)};
  auto write = begin_write();
  write->save(changes);
  EXPECT_THAT(claim(10, 100), testing::ElementsAre("free"));
  EXPECT_THAT(claim(10, 100), testing::IsEmpty());
  // A postponement that meets a lock is given up: the payment is due when its claim ends.
  postpone("busy", 1, 50);
  postpone("free", 100, 200);
  write->commit();
  EXPECT_THAT(claim(10, 100), testing::ElementsAre("new", "busy"));
  EXPECT_THAT(claim(199, 300), testing::UnorderedElementsAre("new", "busy"));
  EXPECT_THAT(claim(200, 300), testing::ElementsAre("free"));
}

}  // namespace
}  // namespace orderd::test
