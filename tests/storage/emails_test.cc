#include <algorithm>
#include <atomic>
#include <future>
#include <set>

#include "tests/support/storage_test.h"

// The outbox.

namespace orderd::test {
namespace {

using storage::ChangeSet;
using storage::EmailKey;
using storage::EmailRow;

constexpr Micros kDay = 86'400'000'000;

Uuid id_of(const pb::Email& email) { return *Uuid::parse(email.email_id()); }
EmailKey key_of(const EmailRow& row) { return {row.order_id, id_of(row.email)}; }

EmailRow email_row(const Uuid& order_id, pb::EmailStatus status, std::optional<Micros> next_time,
                   const std::string& name = "") {
  EmailRow row{order_id, {}, "what " + name + " tells of"};
  row.email.set_email_id(Uuid::generate().to_string());
  row.email.set_order_id(order_id.to_string());
  row.email.set_status(status);
  row.email.set_recipient(name);
  if (next_time) *row.email.mutable_next_time() = storage::to_timestamp(*next_time);
  return row;
}

class EmailsTest : public StorageTest {
 protected:
  EmailRow pending(const std::string& name, std::optional<Micros> next_time) const {
    return email_row(order_id_, pb::EMAIL_STATUS_PENDING, next_time, name);
  }
  void insert(const std::vector<EmailRow>& rows) {
    ChangeSet changes;
    changes.emails_created = rows;
    save(changes);
  }
  void update(const std::vector<EmailRow>& rows) {
    ChangeSet changes;
    changes.emails_updated = rows;
    for (EmailRow& row : changes.emails_updated) row.snapshot.clear();
    save(changes);
  }
  std::map<EmailKey, pb::Email> load_all(const std::vector<EmailRow>& rows) {
    std::vector<EmailKey> keys;
    for (const EmailRow& row : rows) keys.push_back(key_of(row));
    return begin_read()->load_emails(keys);
  }
  static std::vector<std::string> names_of(const std::vector<EmailRow>& rows) {
    std::vector<std::string> names;
    for (const EmailRow& row : rows) names.push_back(row.email.recipient());
    return names;
  }
  /// What is due, in order.
  std::vector<std::string> claim(Micros now, Micros lease_until, int limit = 100) {
    return names_of(storage_->claim_due_emails(now, lease_until, limit));
  }

  const Uuid order_id_ = Uuid::generate();
};
ORDERD_ON_BOTH_DATABASES(EmailsTest);

TEST_P(EmailsTest, KeepEverything) {
  EmailRow rich{order_id_, rich_email(order_id_), rich_order().order->SerializeAsString()};
  EmailRow poor{order_id_, {}, {}};
  poor.email.set_email_id(Uuid::generate().to_string());
  poor.email.set_order_id(order_id_.to_string());
  insert({rich, poor});
  reopen();
  const std::vector<EmailKey> keys{
      key_of(rich),
      key_of(poor),
      {order_id_, Uuid::generate()},
      {Uuid::generate(), id_of(rich.email)},  // another order's
  };
  auto loaded = begin_read()->load_emails(keys);
  ASSERT_EQ(loaded.size(), 2u);
  EXPECT_TRUE(same(loaded.at(keys[0]), rich.email));
  EXPECT_TRUE(same(loaded.at(keys[1]), poor.email));

  // Each becomes what the other was.
  std::swap(rich.email, poor.email);
  std::swap(*rich.email.mutable_email_id(), *poor.email.mutable_email_id());
  update({poor, rich});
  loaded = begin_write()->load_emails(keys);
  ASSERT_EQ(loaded.size(), 2u);
  EXPECT_TRUE(same(loaded.at(keys[0]), rich.email));
  EXPECT_TRUE(same(loaded.at(keys[1]), poor.email));
}

TEST_P(EmailsTest, AnUpdateLeavesTheSnapshot) {
  EmailRow row = pending("a", 1);
  // More than a statement has by itself, and all bytes that there are.
  row.snapshot.clear();
  for (int i = 0; i < 3'000'000; ++i) row.snapshot += static_cast<char>(i);
  const EmailRow empty{order_id_, pending("b", 2).email, {}};
  insert({row, empty});
  row.email.set_tries(1);
  *row.email.mutable_next_time() = storage::to_timestamp(3);
  ChangeSet changes;
  changes.emails_updated = {{order_id_, row.email, {}}, {order_id_, empty.email, "not this"}};
  take_statements();
  save(changes);
  for (const std::string& statement : take_statements()) {
    EXPECT_LT(statement.size(), 2000u) << "the snapshot is not written again";
  }
  const auto claimed = storage_->claim_due_emails(10, 20, 10);
  ASSERT_THAT(names_of(claimed), testing::ElementsAre("b", "a"));
  EXPECT_EQ(claimed[0].snapshot, "");
  EXPECT_TRUE(claimed[1].snapshot == row.snapshot);
  EXPECT_EQ(claimed[1].email.tries(), 1);
}

TEST_P(EmailsTest, AreInsertedOnce) {
  const EmailRow row = pending("a", 1);
  insert({row});
  EXPECT_STORAGE_ERROR(insert({row}), kDuplicate);
  EmailRow wrong = row;
  wrong.email.set_email_id("no UUID");
  EXPECT_STORAGE_ERROR(insert({wrong}), kInternal);
}

TEST_P(EmailsTest, ThoseThatArePendingAndDueAreClaimedOldestFirst) {
  const std::vector<EmailRow> rows{
      pending("c", 30),
      pending("a", -10),
      pending("b", 20),
      pending("later", 31),
      email_row(order_id_, pb::EMAIL_STATUS_SENT, 1, "sent"),
      email_row(order_id_, pb::EMAIL_STATUS_DEAD, 1, "dead"),
      email_row(order_id_, pb::EMAIL_STATUS_UNSPECIFIED, 1, "neither"),
      email_row(Uuid::generate(), pb::EMAIL_STATUS_PENDING, 25, "another order's"),
      pending("at any time", std::nullopt),
  };
  insert(rows);
  const auto claimed = storage_->claim_due_emails(30, 1000, 100);
  ASSERT_THAT(names_of(claimed),
              testing::ElementsAre("at any time", "a", "b", "another order's", "c"));
  for (const EmailRow& row : claimed) {
    const auto inserted = std::ranges::find(rows, key_of(row), key_of);
    ASSERT_NE(inserted, rows.end());
    EmailRow expected = *inserted;
    *expected.email.mutable_next_time() = storage::to_timestamp(1000);
    EXPECT_TRUE(same(row.email, expected.email));
    EXPECT_EQ(row.snapshot, expected.snapshot);
    // What is stored is the same.
    EXPECT_TRUE(same(load_all({row}).at(key_of(row)), expected.email));
  }
  EXPECT_THAT(claim(30, 1000), testing::IsEmpty());
  EXPECT_THAT(claim(31, 1000), testing::ElementsAre("later"));
  EXPECT_TRUE(same(load_all(rows).at(key_of(rows[5])), rows[5].email)) << "not touched";
}

TEST_P(EmailsTest, AtMostTheLimitIsClaimed) {
  std::vector<EmailRow> rows;
  for (int i = 0; i < 1300; ++i) rows.push_back(pending(std::to_string(1000 + i), i));
  std::ranges::reverse(rows);
  insert(rows);
  std::vector<std::string> all;
  for (const int expected : {600, 600, 100, 0}) {
    const auto names = claim(5000, 9000, 600);
    EXPECT_EQ(names.size(), static_cast<std::size_t>(expected));
    all.insert(all.end(), names.begin(), names.end());
  }
  EXPECT_TRUE(std::ranges::is_sorted(all));
  EXPECT_EQ(std::set(all.begin(), all.end()).size(), 1300u);
}

TEST_P(EmailsTest, AClaimRunsOut) {
  EmailRow sent = pending("sent", 10);
  EmailRow failed = pending("failed", 10);
  insert({pending("lost", 10), sent, failed});
  EXPECT_EQ(claim(10, 100).size(), 3u);
  sent.email.set_status(pb::EMAIL_STATUS_SENT);
  sent.email.clear_next_time();
  *failed.email.mutable_next_time() = storage::to_timestamp(50);
  update({sent, failed});
  EXPECT_THAT(claim(49, 200), testing::IsEmpty());
  EXPECT_THAT(claim(99, 200), testing::ElementsAre("failed"));
  reopen();  // the server that had the other is gone
  EXPECT_THAT(claim(100, 200), testing::ElementsAre("lost"));
  EXPECT_THAT(claim(kDay, 2 * kDay), testing::UnorderedElementsAre("lost", "failed"));
}

TEST_P(EmailsTest, ADeadOneThatIsPendingAgainIsDue) {
  EmailRow row = email_row(order_id_, pb::EMAIL_STATUS_DEAD, std::nullopt, "a");
  insert({row});
  EXPECT_THAT(claim(kDay, 2 * kDay), testing::IsEmpty());
  const std::string snapshot = row.snapshot;
  row.email.set_status(pb::EMAIL_STATUS_PENDING);
  *row.email.mutable_next_time() = storage::to_timestamp(7);
  row.email.set_recipient("b");
  update({row});
  EXPECT_THAT(claim(6, 100), testing::IsEmpty());
  const auto claimed = storage_->claim_due_emails(7, 100, 10);
  ASSERT_THAT(names_of(claimed), testing::ElementsAre("b"));
  EXPECT_EQ(claimed[0].snapshot, snapshot);
}

TEST_P(EmailsTest, AreListedInPages) {
  std::vector<EmailRow> rows;
  std::vector<Uuid> orders;
  for (int i = 0; i < 5; ++i) orders.push_back(Uuid::generate());
  for (std::size_t i = 0; i < 90; ++i) {
    const auto status = static_cast<pb::EmailStatus>(1 + i * 7 % 3);
    rows.push_back(email_row(orders[i % 4], status, static_cast<Micros>(i)));
  }
  std::vector<EmailRow> shuffled = rows;
  std::ranges::reverse(shuffled);
  insert(shuffled);
  std::ranges::sort(rows, {}, [](const EmailRow& row) { return row.email.email_id(); });

  auto read = begin_read();
  std::size_t total = 0;
  for (std::size_t n = 0; n <= orders.size(); ++n) {
    const std::optional<Uuid> order_id = n < 5 ? std::optional(orders[n]) : std::nullopt;
    for (int s = 0; s <= 3; ++s) {
      const auto status = s > 0 ? std::optional(static_cast<pb::EmailStatus>(s)) : std::nullopt;
      std::vector<const pb::Email*> expected;
      for (const EmailRow& row : rows) {
        if (order_id && row.order_id != *order_id) continue;
        if (status && row.email.status() != *status) continue;
        expected.push_back(&row.email);
      }
      total += expected.size();
      for (const int limit : {1, 7, 1000}) {
        std::vector<pb::Email> listed;
        std::optional<Uuid> after;
        for (;;) {
          const auto page = read->list_emails(order_id, status, after, limit);
          ASSERT_LE(page.size(), static_cast<std::size_t>(limit));
          if (page.empty()) break;
          listed.insert(listed.end(), page.begin(), page.end());
          ASSERT_LE(listed.size(), expected.size()) << "order " << n << ", status " << s;
          after = id_of(page.back());
        }
        ASSERT_EQ(listed.size(), expected.size()) << "order " << n << ", status " << s;
        for (std::size_t i = 0; i < listed.size(); ++i) {
          ASSERT_TRUE(same(listed[i], *expected[i])) << "order " << n << ", status " << s;
        }
      }
    }
  }
  EXPECT_EQ(total, 4 * rows.size()) << "each by order, status, both and neither";
}

TEST_P(EmailsTest, ManyAreLoadedAtOnce) {
  std::vector<EmailRow> rows;
  for (int i = 0; i < 1200; ++i) {
    rows.push_back(email_row(Uuid::generate(), pb::EMAIL_STATUS_PENDING, i, std::to_string(i)));
  }
  insert(rows);
  for (EmailRow& row : rows) row.email.set_tries(row.email.tries() + 3);
  update(rows);
  const auto loaded = load_all(rows);
  ASSERT_EQ(loaded.size(), rows.size());
  for (const EmailRow& row : rows) ASSERT_TRUE(same(loaded.at(key_of(row)), row.email));
}

TEST_P(EmailsTest, ConcurrentClaimsNeverOverlap) {
  constexpr int kEmails = 600;
  std::vector<EmailRow> rows;
  for (int i = 0; i < kEmails; ++i) {
    rows.push_back(
        email_row(Uuid::generate(), pb::EMAIL_STATUS_PENDING, i % 10, std::to_string(i)));
  }
  insert(rows);
  std::atomic<int> left = kEmails;
  const auto worker = [&] {
    std::vector<std::string> mine;
    const auto deadline = soon();
    while (left > 0 && storage::Clock::now() < deadline) {
      // Empty while others have locked all that is left.
      const auto claimed = claim(10, 1000, 7);
      left -= static_cast<int>(claimed.size());
      mine.insert(mine.end(), claimed.begin(), claimed.end());
    }
    return mine;
  };
  std::vector<std::future<std::vector<std::string>>> workers;
  for (int i = 0; i < 6; ++i) workers.push_back(std::async(std::launch::async, worker));
  std::multiset<std::string> claimed;
  for (auto& future : workers) {
    for (const std::string& name : future.get()) claimed.insert(name);
  }
  EXPECT_EQ(claimed.size(), static_cast<std::size_t>(kEmails));
  EXPECT_EQ(std::set(claimed.begin(), claimed.end()).size(), claimed.size());
}

TEST_P(EmailsTest, ClaimsAndChangesDoNotLoseEachOther) {
  // Each is claimed, and then recorded as sent, while others are written: none stays behind, and
  // none is claimed again.
  constexpr int kRounds = 20;
  constexpr int kPerRound = 15;
  std::atomic<int> sent = 0;
  const auto sender = [&] {
    std::vector<std::string> mine;
    const auto deadline = soon();
    while (sent < kRounds * kPerRound && storage::Clock::now() < deadline) {
      auto claimed = storage_->claim_due_emails(10, 1000, 4);
      for (EmailRow& row : claimed) {
        mine.push_back(row.email.recipient());
        row.email.set_status(pb::EMAIL_STATUS_SENT);
        row.email.clear_next_time();
      }
      if (!claimed.empty()) update(claimed);
      sent += static_cast<int>(claimed.size());
    }
    return mine;
  };
  std::vector<std::future<std::vector<std::string>>> senders;
  for (int i = 0; i < 3; ++i) senders.push_back(std::async(std::launch::async, sender));
  for (int round = 0; round < kRounds; ++round) {
    std::vector<EmailRow> rows;
    for (int i = 0; i < kPerRound; ++i) {
      rows.push_back(email_row(Uuid::generate(), pb::EMAIL_STATUS_PENDING, i % 5,
                               std::to_string(round * kPerRound + i)));
    }
    insert(rows);
  }
  std::multiset<std::string> all;
  for (auto& future : senders) {
    for (const std::string& name : future.get()) all.insert(name);
  }
  EXPECT_EQ(all.size(), static_cast<std::size_t>(kRounds * kPerRound));
  EXPECT_EQ(std::set(all.begin(), all.end()).size(), all.size());
  EXPECT_EQ(begin_read()->list_emails({}, pb::EMAIL_STATUS_SENT, {}, 1000).size(), all.size());
}

TEST_P(EmailsTest, TheBacklogIsCountedByStatusUpToALimit) {
  std::vector<EmailRow> rows;
  for (int i = 0; i < 5; ++i) {
    rows.push_back(
        email_row(order_id_, i < 3 ? pb::EMAIL_STATUS_PENDING : pb::EMAIL_STATUS_DEAD, 1));
    *rows.back().email.mutable_create_time() = storage::to_timestamp(100 + i);
  }
  insert(rows);
  const auto backlog = [&](pb::EmailStatus status, int most) {
    return begin_read()->email_backlog(status, most);
  };
  EXPECT_EQ(backlog(pb::EMAIL_STATUS_PENDING, 10).count, 3);
  EXPECT_EQ(backlog(pb::EMAIL_STATUS_PENDING, 10).oldest, 100);
  EXPECT_EQ(backlog(pb::EMAIL_STATUS_PENDING, 2).count, 2);
  EXPECT_EQ(backlog(pb::EMAIL_STATUS_DEAD, 10).count, 2);
  EXPECT_EQ(backlog(pb::EMAIL_STATUS_DEAD, 10).oldest, 103);
  EXPECT_EQ(backlog(pb::EMAIL_STATUS_SENT, 10).count, 0);
  EXPECT_EQ(backlog(pb::EMAIL_STATUS_SENT, 10).oldest, std::nullopt);
}

class MariadbEmailsTest : public EmailsTest {};
INSTANTIATE_TEST_SUITE_P(, MariadbEmailsTest, testing::Values(Backend::kMariadb), backend_name);

TEST_P(MariadbEmailsTest, ClaimsWaitForNobody) {
  EmailRow busy = pending("busy", 1);
  insert({busy, pending("free", 2)});
  ChangeSet changes;
  changes.batch_key = Uuid::generate();
  *busy.email.mutable_next_time() = storage::to_timestamp(5);
  changes.emails_updated = {busy};
  changes.emails_created = {pending("new", 1)};
  auto write = begin_write();
  write->save(changes);
  EXPECT_THAT(claim(10, 100), testing::ElementsAre("free"));
  EXPECT_THAT(claim(10, 100), testing::IsEmpty());
  write->commit();
  EXPECT_THAT(claim(10, 100), testing::ElementsAre("new", "busy"));
}

}  // namespace
}  // namespace orderd::test
