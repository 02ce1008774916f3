#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <cstdlib>
#include <future>
#include <iostream>
#include <optional>
#include <thread>

#include "storage/database.h"
#include "storage/migrate.h"
#include "storage/session.h"
#include "tests/process/clients.h"
#include "tests/process/database_check.h"
#include "tests/process/load.h"
#include "tests/process/watchers.h"
#include "tests/support/server_process.h"
#include "tests/support/test_database.h"

// Servers of one database are replaced one after the other, by the same version or the next one,
// while clients of the library, who know both addresses, go on calling and watching. No call may
// fail after the retries that the library makes by itself, the answers must account for every
// version of every order, and each watch must hear of each change once and in order.

namespace orderd::test {
namespace {

constexpr std::size_t kClients = 32;
constexpr std::size_t kAnswersBetween = 300;
constexpr int kWatches = 3;
/// ServerProcess knows it.
constexpr const char* kThisVersion = "";
constexpr const char* kTheEnd = "the end of the rolling test";

/// How often all servers are replaced: ORDERD_ROLLING_ROUNDS.
int rounds() {
  const char* given = std::getenv("ORDERD_ROLLING_ROUNDS");
  return given != nullptr ? std::atoi(given) : 3;
}

/// As the library comes, but with more time, for machines that are busy; `retries` counts.
client::Options options_for(const std::string& servers, std::atomic<int>& retries) {
  client::Options options;
  options.server = servers;
  options.timeout = std::chrono::minutes(1);
  options.attempt_timeout = std::chrono::seconds(20);
  options.random = [&retries] {
    ++retries;
    thread_local std::mt19937_64 engine{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(engine);
  };
  return options;
}

/// A watch by the library, from its begin to the change that adds the last note.
class LibraryWatch {
 public:
  explicit LibraryWatch(const client::Client& client) {
    std::promise<void> begun;
    auto has_begun = begun.get_future();
    thread_ = std::thread([this, client, begun = std::move(begun)]() mutable {
      client::WatchOptions options;
      options.stop = stop_.get_token();
      options.interrupted = [this](const client::WatchInterruption& interruption) {
        ++interrupted_;
        return !interruption.exhausted;
      };
      bool first = true;
      status_ = client.watch_orders(
          {},
          [&](const pb::WatchOrdersResponse& message) {
            if (std::exchange(first, false)) begun.set_value();
            return take(message);
          },
          options);
      if (first) begun.set_value();
    });
    has_begun.wait();
  }
  ~LibraryWatch() {
    stop_.request_stop();
    if (thread_.joinable()) thread_.join();
  }

  /// Waits for its end.
  void finish() {
    thread_.join();
    EXPECT_TRUE(status_.ok()) << status_;
  }
  /// After `finish`.
  const Watchers::Heard& heard() const { return heard_; }
  int interrupted() const { return interrupted_; }

 private:
  bool take(const pb::WatchOrdersResponse& message) {
    bool last = false;
    for (const pb::OrderChange& change : message.changes()) {
      heard_.emplace_back(change.order_id(), change.etag());
      for (const pb::OrderEvent& event : change.events()) {
        last |= event.note_added().note().body() == kTheEnd;
      }
    }
    return !last;
  }

  std::stop_source stop_;
  absl::Status status_;
  Watchers::Heard heard_;
  int interrupted_ = 0;
  std::thread thread_;
};

class Rolling : public testing::Test {
 protected:
  void serve(std::size_t server, const std::string& binary) {
    processes_[server].emplace(
        database_.url(),
        ServerProcess::Options{.listen = ports_[server].address(), .binary = binary});
  }
  void begin(const std::string& binary) {
    for (std::size_t i = 0; i < 2; ++i) serve(i, binary);
    for (int i = 0; i < kWatches; ++i) watches_.push_back(std::make_unique<LibraryWatch>(client_));
    load_.emplace(std::vector{client_}, 30, test_seed());
    load_->start(kClients, Load::any_of(1));
    load_->wait_for_answers(kAnswersBetween);
  }
  /// The other one is called meanwhile, and both afterwards.
  void replace(std::size_t server, const std::string& binary) {
    EXPECT_EQ(processes_[server]->terminate(), 0);
    load_->wait_for_answers(kAnswersBetween);
    serve(server, binary);
    load_->wait_for_answers(kAnswersBetween);
  }
  void finish() {
    load_->stop();
    load_->check(client_);
    load_->replay_all(client_);
    load_->check(client_);
    pb::AddNoteRequest note;
    note.set_order_id(load_->order_ids()[0]);
    note.set_body(kTheEnd);
    ASSERT_TRUE(client_.add_note(note).ok());
    for (auto& watch : watches_) watch->finish();
    for (auto& process : processes_) EXPECT_EQ(process->terminate(), 0);
    std::cout << retries_ << " retries; " << check_database(database_.url())
              << " changes; watches were interrupted:";
    const Watchers::Heard expected = expected_of(database_.url(), {});
    for (const auto& watch : watches_) {
      std::cout << " " << watch->interrupted();
      EXPECT_TRUE(watch->heard() == expected)
          << "a watch heard of " << watch->heard().size() << " changes of " << expected.size();
      EXPECT_GT(watch->interrupted(), 0);
    }
    std::cout << std::endl;
  }

  const TestDatabase database_ = TestDatabase::mariadb();
  const std::array<ReservedPort, 2> ports_;
  std::array<std::optional<ServerProcess>, 2> processes_;
  std::atomic<int> retries_ = 0;
  const client::Client client_{
      options_for("ipv4:" + ports_[0].address() + "," + ports_[1].address(), retries_)};
  std::vector<std::unique_ptr<LibraryWatch>> watches_;
  std::optional<Load> load_;
};

TEST_F(Rolling, RestartsFailNoCallAndDoubleNoChange) {
  begin(kThisVersion);
  for (int round = 0; round < rounds() && !HasFailure(); ++round) {
    for (std::size_t i = 0; i < 2; ++i) replace(i, kThisVersion);
  }
  finish();
}

TEST_F(Rolling, UpgradesAcrossAMigrationFailNoCallAndDoubleNoChange) {
  // With ORDERD_OLDER_BINARY from that version to this one, else from this one to the next.
  const char* given = std::getenv("ORDERD_OLDER_BINARY");
  const std::string older = given != nullptr ? given : kThisVersion;
  const std::string newer = given != nullptr ? kThisVersion : ORDERD_NEXT_BINARY;
  storage::Session session(storage::parse_url(database_.url()), {});
  const auto steps = [&session] {
    return session.script_rows("SELECT migration, step FROM schema_steps WHERE done = 1", 2).size();
  };
  begin(older);
  const auto before = steps();
  replace(0, newer);  // it migrates, and the older one goes on beside it
  EXPECT_GT(steps(), before) << "there was nothing to migrate";
  if (given == nullptr) replace(0, older);  // and back: the schema was only expanded
  replace(1, newer);
  replace(0, newer);
  finish();
}

TEST(OlderBinary, IsRefusedByASchemaThatNeedsANewerOne) {
  const TestDatabase database = TestDatabase::mariadb();
  ServerProcess running(database.url());
  auto all = storage::migrations(storage::Dialect::kMysql);
  storage::Migration next;
  next.number = next.oldest_binary = static_cast<int>(all.size()) + 1;
  next.steps = {
      "CREATE TABLE IF NOT EXISTS next_priorities (priority BIGINT NOT NULL PRIMARY KEY)"};
  all.push_back(next);
  storage::Session session(storage::parse_url(database.url()), {});
  storage::migrate(session, all);
  try {
    const ServerProcess started(database.url());
    FAIL() << "an older orderd serves";
  } catch (const ServerProcess::StartFailed& failure) {
    EXPECT_EQ(failure.exit_code, 3);
    EXPECT_THAT(failure.standard_error,
                testing::HasSubstr("needs orderd with schema " + std::to_string(next.number) +
                                   " or later; this one has schema " +
                                   std::to_string(next.number - 1) + ": use a newer orderd"));
    EXPECT_EQ(std::count(failure.standard_error.begin(), failure.standard_error.end(), '\n'), 1)
        << failure.standard_error;
  }
  // Who runs already goes on: it is the operator who ends it before what it needs is taken away.
  EXPECT_TRUE(strict_client(running.address()).create_order(empty_order()).ok());
  EXPECT_EQ(running.terminate(), 0);
}

}  // namespace
}  // namespace orderd::test
