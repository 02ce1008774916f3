#include "server/engine/reader.h"

#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "tests/engine/engine_fixture.h"

// Reads, alone and while orders change. Promises are shared with the reader's threads: an answer
// may be taken before the promise has been left.

namespace orderd::test {
namespace {

using engine::OrderCache;
using engine::Reader;
using StatusPromise = std::promise<absl::Status>;

absl::StatusOr<Reader::Orders> read(Reader& reader, std::vector<Uuid> ids) {
  const auto promise = std::make_shared<std::promise<absl::StatusOr<Reader::Orders>>>();
  reader.get(std::move(ids), nullptr,
             [promise](auto orders) { promise->set_value(std::move(orders)); });
  return get(promise->get_future());
}

class Reads : public EngineTest {
 protected:
  Server server_{open()};
};

TEST_P(Reads, AnswersInTheOrderAskedWithNothingForTheUnknown) {
  const auto ids = make_orders(server_, 3);
  Reader reader(*server_.storage, server_.cache, {});
  const Uuid unknown = Uuid::generate();
  for (int round = 0; round < 2; ++round) {
    const auto orders = read(reader, {ids[2], unknown, ids[0], ids[2]});
    ASSERT_TRUE(orders.ok()) << orders.status();
    ASSERT_EQ(orders->size(), 4u);
    EXPECT_EQ((*orders)[0]->id, ids[2]);
    EXPECT_EQ((*orders)[1], nullptr);
    EXPECT_EQ((*orders)[2]->id, ids[0]);
    EXPECT_EQ((*orders)[3]->id, ids[2]);
  }
  const auto none = read(reader, {});
  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_TRUE(none->empty());
}

TEST_P(Reads, ManyOrdersAtOnce) {
  const auto ids = make_orders(server_, 1100);
  OrderCache cold(0);
  Reader reader(*server_.storage, cold, {});
  const auto orders = read(reader, ids);
  ASSERT_TRUE(orders.ok()) << orders.status();
  for (std::size_t i = 0; i < ids.size(); ++i) {
    ASSERT_NE((*orders)[i], nullptr);
    EXPECT_EQ((*orders)[i]->id, ids[i]);
    EXPECT_EQ((*orders)[i]->order->items_size(), 1);
  }
}

TEST_P(Reads, ThoseWhoWaitForTheSamePageShareARead) {
  make_orders(server_, 3);
  Reader reader(*server_.storage, server_.cache, {.threads = 1});
  std::promise<void> busy;
  std::promise<void> go_on;
  const auto held = std::make_shared<StatusPromise>();
  reader.run(
      nullptr,
      [&](storage::ReadTransaction&) {
        busy.set_value();
        go_on.get_future().wait();
        held->set_value(absl::OkStatus());
      },
      [held](absl::Status status) { held->set_value(std::move(status)); });
  busy.get_future().wait();

  using PagePromise = std::promise<absl::StatusOr<Reader::Page>>;
  const auto ask = [&](int limit, bool whole, std::function<bool()> abandoned = nullptr) {
    storage::ListQuery query;
    query.limit = limit;
    const auto promise = std::make_shared<PagePromise>();
    reader.list(query, whole, std::move(abandoned),
                [promise](absl::StatusOr<Reader::Page> page) { promise->set_value(page); });
    return promise->get_future();
  };
  auto first = ask(2, false);
  auto gone = ask(2, false, [] { return true; });
  auto second = ask(2, false);
  auto longer = ask(3, false);
  auto whole = ask(2, true);
  auto nobody = ask(1, false, [] { return true; });
  go_on.set_value();
  ASSERT_TRUE(get(held->get_future()).ok());

  const auto page = get(std::move(first));
  ASSERT_TRUE(page.ok()) << page.status();
  EXPECT_EQ((*page)->orders.size(), 2u);
  EXPECT_EQ((*page)->orders[0]->order->items_size(), 0);
  EXPECT_EQ(*get(std::move(second)), *page);
  EXPECT_EQ(*get(std::move(gone)), *page);
  EXPECT_EQ((*get(std::move(longer)))->orders.size(), 3u);
  EXPECT_EQ((*get(std::move(whole)))->orders[0]->order->items_size(), 1);
  EXPECT_TRUE(absl::IsCancelled(get(std::move(nobody)).status()));
  // Who comes later sees what has happened since.
  make_orders(server_, 1);
  EXPECT_NE(*get(ask(2, false)), *page);
}

TEST_P(Reads, AnAbandonedReadIsNotRead) {
  const Uuid id = make_order(server_);
  Reader reader(*server_.storage, server_.cache, {});
  const auto gone = std::make_shared<StatusPromise>();
  reader.get(
      {id}, [] { return true; }, [gone](auto orders) { gone->set_value(orders.status()); });
  EXPECT_TRUE(absl::IsCancelled(get(gone->get_future())));
  const auto job = std::make_shared<StatusPromise>();
  std::atomic<bool> ran{false};
  reader.run([] { return true; }, [&](storage::ReadTransaction&) { ran = true; },
             [job](absl::Status status) { job->set_value(std::move(status)); });
  EXPECT_TRUE(absl::IsCancelled(get(job->get_future())));
  EXPECT_FALSE(ran);
}

TEST_P(Reads, TheQueueIsBoundedAndStopAnswersAll) {
  const Uuid id = make_order(server_);
  engine::ReaderLimits limits;
  limits.threads = 1;
  limits.queue = 2;
  Reader reader(*server_.storage, server_.cache, limits);
  std::promise<void> entered;
  std::promise<void> release;
  reader.run(
      nullptr,
      [&](storage::ReadTransaction&) {
        entered.set_value();
        release.get_future().wait();
      },
      [](absl::Status) {});
  get(entered.get_future());
  std::vector<std::future<absl::Status>> waiting;
  const auto send = [&] {
    auto promise = std::make_shared<StatusPromise>();
    auto future = promise->get_future();
    reader.get({id}, nullptr, [promise](auto orders) { promise->set_value(orders.status()); });
    return future;
  };
  waiting.push_back(send());
  waiting.push_back(send());
  const absl::Status refused = get(send());
  EXPECT_TRUE(absl::IsResourceExhausted(refused)) << refused;
  EXPECT_TRUE(has_retry_info(refused));
  release.set_value();
  reader.stop();
  for (auto& future : waiting) EXPECT_TRUE(get(std::move(future)).ok());
  EXPECT_TRUE(absl::IsUnavailable(get(send())));
}

TEST_P(Reads, AJobThatTheDatabaseFailsIsRunAgainAndThenRefused) {
  Reader reader(*server_.storage, server_.cache, {});
  std::atomic<int> runs{0};
  const auto outcome = std::make_shared<StatusPromise>();
  reader.run(
      nullptr,
      [&runs, outcome](storage::ReadTransaction&) {
        if (++runs == 1) throw storage::Error(storage::Error::Kind::kUnavailable, "injected");
        outcome->set_value(absl::OkStatus());
      },
      [outcome](absl::Status status) { outcome->set_value(std::move(status)); });
  EXPECT_TRUE(get(outcome->get_future()).ok());
  EXPECT_EQ(runs, 2);

  const auto refused = std::make_shared<StatusPromise>();
  reader.run(
      nullptr,
      [](storage::ReadTransaction&) {
        throw storage::Error(storage::Error::Kind::kUnavailable, "injected");
      },
      [refused](absl::Status status) { refused->set_value(std::move(status)); });
  const absl::Status status = get(refused->get_future());
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_TRUE(has_retry_info(status));
}

/// A change that writes the version that it makes into the order's row (invoice number), into a
/// table of its own (a label) and into a column that another part of the code maintains (note
/// count); so an order that was put together from two moments shows.
Command mark(const Uuid& id) {
  Command command = invoice(id, "");
  command.rule = [](const rules::Target& target, const rules::Context&) -> rules::Result {
    const std::string version = std::to_string(std::stoll(target.order->etag()) + 1);
    rules::Change change;
    pb::Order& order = change.after.emplace(*target.order);
    order.set_invoice_number(order.order_id() + "-" + version);
    (*order.mutable_labels())["version"] = version;
    order.set_note_count(std::stoi(version));
    change.labels_changed = true;
    change.events.emplace_back().mutable_invoice_number_changed()->set_after(version);
    return change;
  };
  return command;
}

bool is_whole(const StoredOrder& order) {
  const std::string version = std::to_string(order.version);
  const pb::Order& content = order.order;
  if (content.etag() != version || content.items_size() != 1) return false;
  if (order.version == 1) return content.invoice_number().empty() && content.labels().empty();
  return content.invoice_number() == content.order_id() + "-" + version &&
         content.labels().at("version") == version && content.note_count() == order.version;
}

enum class Cache { kOff, kSmall, kLarge };

class ReadsUnderWrites : public EngineTest {
 protected:
  void run(Cache kind) {
    // On MariaDB the readers belong to another server than the writers, and have a cache of their
    // own; on SQLite there is one server.
    Server writer(open());
    const bool two_servers = backend() == Backend::kMariadb;
    const auto other = two_servers ? open() : writer.storage;
    const auto ids = make_orders(writer, 8);
    const std::size_t one = 4096;  // more than one order takes
    const std::size_t bytes = kind == Cache::kOff     ? 0
                              : kind == Cache::kSmall ? 16 * one
                                                      : 64u << 20;
    OrderCache cache(bytes);
    Reader reader(*other, two_servers || kind != Cache::kLarge ? cache : writer.cache, {});

    constexpr int kChanges = 400;
    const unsigned seed = std::random_device{}();
    SCOPED_TRACE("seed " + std::to_string(seed));
    std::atomic<bool> writing{true};
    std::atomic<int> reads{0};
    std::vector<std::thread> readers;
    for (unsigned t = 0; t < 4; ++t) {
      readers.emplace_back([&, t] {
        std::mt19937 random(seed + t);
        std::map<Uuid, std::int64_t> last;
        bool more = true;
        while (more) {
          more = writing;  // once more after the last write
          std::vector<Uuid> wanted;
          for (const Uuid& id : ids) {
            if (random() % 2 == 0 || !more) wanted.push_back(id);
          }
          if (wanted.empty()) continue;
          const auto orders = read(reader, wanted);
          ASSERT_TRUE(orders.ok()) << orders.status();
          for (std::size_t i = 0; i < wanted.size(); ++i) {
            const OrderPtr& order = (*orders)[i];
            ASSERT_NE(order, nullptr);
            ASSERT_EQ(order->id, wanted[i]);
            ASSERT_TRUE(is_whole(*order)) << order->order->DebugString();
            ASSERT_GE(order->version, last[wanted[i]]) << "time went backwards";
            last[wanted[i]] = order->version;
          }
          ++reads;
        }
        for (const Uuid& id : ids) EXPECT_EQ(last[id], kChanges / 8 + 1);
      });
    }
    std::vector<std::thread> writers;
    for (std::size_t t = 0; t < 2; ++t) {
      writers.emplace_back([&, t] {
        for (int i = 0; i < kChanges / 2; ++i) {
          const Uuid& id = ids[t * 4 + static_cast<std::size_t>(i) % 4];
          const AnswerOr answer = writer.call(mark(id));
          ASSERT_TRUE(answer.ok()) << answer.status();
          ASSERT_TRUE(is_whole(*answer->order)) << answer->order->order->DebugString();
        }
      });
    }
    for (std::thread& thread : writers) thread.join();
    writing = false;
    for (std::thread& thread : readers) thread.join();
    EXPECT_GT(reads, 0);
  }
};

TEST_P(ReadsUnderWrites, WithoutACache) { run(Cache::kOff); }
TEST_P(ReadsUnderWrites, WithASmallCache) { run(Cache::kSmall); }
TEST_P(ReadsUnderWrites, WithALargeCache) { run(Cache::kLarge); }

ORDERD_ON_BOTH_DATABASES(Reads);
ORDERD_ON_BOTH_DATABASES(ReadsUnderWrites);

}  // namespace
}  // namespace orderd::test
