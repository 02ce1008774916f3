// The sandbox's book: idempotency keys, and several programs with one file.

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <thread>

#include "tests/payments/sandbox_fixture.h"

namespace orderd::test {
namespace {

using payments::Attempt;
using payments::CallResult;
using payments::LedgerError;
using payments::PaymentRef;
using payments::Sandbox;
using payments::SandboxLedger;
using testing::IsEmpty;
using testing::SizeIs;

class SandboxLedgerTest : public SandboxTest {};

TEST_F(SandboxLedgerTest, AKeyGivesItsAnswerAgain) {
  const PaymentRef payment = authorized(1000);
  const Attempt good = attempt(400);
  const CallResult first = capture(payment, good);
  pass(std::chrono::hours(23));
  EXPECT_THAT(capture(payment, good), SameAnswer(first));
  const Attempt bad = attempt(601);
  EXPECT_EQ(capture(payment, bad).kind, Kind::kStateConflict);
  EXPECT_THAT(capture(payment, bad), IsResult(Kind::kStateConflict, "AMOUNT_TOO_LARGE"));
  EXPECT_THAT(reading(payment), HasSums(1000, 400, 0, 0));
  EXPECT_THAT(ledger().answers(payment.gateway_reference), SizeIs(2));
  // Also after a restart.
  reopen();
  EXPECT_THAT(capture(payment, good), SameAnswer(first));
  EXPECT_THAT(reading(payment), HasSums(1000, 400, 0, 0));
}

TEST_F(SandboxLedgerTest, AKeyIsForOneRequest) {
  const PaymentRef payment = captured(1000);
  const PaymentRef other = captured(1000);
  const Attempt first = attempt(100);
  ASSERT_EQ(refund(payment, first).kind, Kind::kSucceeded);
  Attempt changed = first;
  changed.amount_minor = 101;
  EXPECT_THAT(refund(payment, changed), IsResult(Kind::kRefused, "IDEMPOTENCY_KEY_REUSED"));
  changed = first;
  changed.attempt_id = "another";
  EXPECT_THAT(refund(payment, changed), IsResult(Kind::kRefused, "IDEMPOTENCY_KEY_REUSED"));
  EXPECT_THAT(refund(other, first), IsResult(Kind::kRefused, "IDEMPOTENCY_KEY_REUSED"));
  EXPECT_THAT(capture(payment, first), IsResult(Kind::kRefused, "IDEMPOTENCY_KEY_REUSED"));
  EXPECT_THAT(reading(payment), HasSums(1000, 1000, 100, 0));
  EXPECT_THAT(reading(other), HasSums(1000, 1000, 0, 0));
}

TEST_F(SandboxLedgerTest, AKeyIsForgottenAfterItsLifetime) {
  auto capabilities = payments::all_capabilities();
  capabilities.mutable_key_lifetime()->set_seconds(60);
  const PaymentRef payment = authorized(1000, capabilities);
  const Attempt again = attempt(100);
  ASSERT_EQ(capture(payment, again).kind, Kind::kSucceeded);
  pass(std::chrono::seconds(59));
  ASSERT_EQ(capture(payment, again).kind, Kind::kSucceeded);
  EXPECT_THAT(reading(payment), HasSums(1000, 100, 0, 0));
  // This is what a caller must never do.
  pass(std::chrono::seconds(1));
  ASSERT_EQ(capture(payment, again).kind, Kind::kSucceeded);
  EXPECT_THAT(reading(payment), HasSums(1000, 200, 0, 0));
}

TEST_F(SandboxLedgerTest, ShowsEveryMovementWithItsAttempt) {
  auto capabilities = payments::all_capabilities();
  capabilities.set_lookup_by_attempt(false);
  const PaymentRef payment = authorized(1000, capabilities);
  const Attempt final = attempt(700, true);
  ASSERT_EQ(capture(payment, final).kind, Kind::kSucceeded);
  const auto shown = reading(payment).movements;
  const auto kept = ledger().read(payment.gateway_reference)->movements;
  ASSERT_THAT(kept, SizeIs(3));
  ASSERT_THAT(shown, SizeIs(3));
  for (std::size_t i = 0; i < kept.size(); ++i) {
    EXPECT_EQ(shown[i].attempt_id, "");
    EXPECT_EQ(shown[i].gateway_transaction_id, kept[i].gateway_transaction_id);
    EXPECT_EQ(kept[i].attempt_id, i == 0 ? "" : final.attempt_id);
    EXPECT_EQ(kept[i].idempotency_key, i == 0 ? "" : final.idempotency_key);
  }
}

TEST_F(SandboxLedgerTest, WhatIsNoLedgerIsLeftAlone) {
  const std::string text = directory_ + "/text";
  std::ofstream(text) << std::string(4096, 'x');
  EXPECT_THROW(SandboxLedger(text, [] { return 1; }), LedgerError);
  EXPECT_THROW(SandboxLedger(directory_ + "/none/ledger", [] { return 1; }), LedgerError);

  const std::string other = directory_ + "/orders.db";
  sqlite3* db = nullptr;
  ASSERT_EQ(sqlite3_open(other.c_str(), &db), SQLITE_OK);
  ASSERT_EQ(sqlite3_exec(db, "CREATE TABLE orders (id INTEGER)", nullptr, nullptr, nullptr),
            SQLITE_OK);
  sqlite3_close(db);
  EXPECT_THROW(SandboxLedger(other, [] { return 1; }), LedgerError);
}

TEST_F(SandboxLedgerTest, ManyOpenANewFileAtOnce) {
  for (int round = 0; round < 10; ++round) {
    const std::string fresh = directory_ + "/new" + std::to_string(round);
    std::atomic<int> ready = 0;
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        ++ready;
        while (ready < 4) std::this_thread::yield();
        try {
          SandboxLedger mine(fresh, [] { return 1; });
          EXPECT_TRUE(mine.authorize({.currency_code = "EUR", .amount_minor = 1}));
        } catch (const LedgerError& error) {
          ADD_FAILURE() << error.what();
        }
      });
    }
    for (auto& thread : threads) thread.join();
    EXPECT_THAT(SandboxLedger(fresh, [] { return 1; }).references(), SizeIs(4));
  }
}

/// One of several programs: captures in parts of 7 until nothing is left, each part sent twice.
/// Its exit code is the number of parts, or 255.
int capture_all(const std::string& path, const PaymentRef& payment, int program) {
  try {
    Sandbox sandbox(path, [] { return Micros{1'700'000'000'000'000}; });
    int parts = 0;
    for (int n = 0;; ++n) {
      const std::string id = std::to_string(program) + "-" + std::to_string(n);
      const Attempt part{
          .attempt_id = "attempt-" + id, .idempotency_key = "key-" + id, .amount_minor = 7};
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
      const CallResult first = sandbox.capture(payment, part, deadline);
      const CallResult again = sandbox.capture(payment, part, deadline);
      if (again.kind != first.kind ||
          again.gateway_transaction_id != first.gateway_transaction_id) {
        return 255;
      }
      if (first.kind == CallResult::Kind::kStateConflict) return parts;
      if (first.kind != CallResult::Kind::kSucceeded) return 255;
      ++parts;
    }
  } catch (...) {
    return 255;
  }
}

TEST_F(SandboxLedgerTest, SeveralProgramsShareOneFile) {
  const PaymentRef payment = authorized(1000);
  sandbox_.reset();  // SQLite must not be open across a fork
  std::vector<pid_t> programs;
  for (int i = 0; i < 3; ++i) {
    const pid_t pid = ::fork();
    ASSERT_NE(pid, -1);
    if (pid == 0) ::_exit(capture_all(path(), payment, i));
    programs.push_back(pid);
  }
  int parts = 0;
  for (const pid_t pid : programs) {
    int status = 0;
    ASSERT_EQ(::waitpid(pid, &status, 0), pid);
    ASSERT_TRUE(WIFEXITED(status));
    ASSERT_NE(WEXITSTATUS(status), 255);
    parts += WEXITSTATUS(status);
  }
  EXPECT_EQ(parts, 142);
  reopen();
  EXPECT_THAT(reading(payment), HasSums(1000, 994, 0, 0));
  std::set<std::string> attempts;
  for (const auto& movement : reading(payment).movements) attempts.insert(movement.attempt_id);
  EXPECT_THAT(attempts, SizeIs(143));  // and the authorization's
}

TEST_F(SandboxLedgerTest, AProgramThatDiesLeavesAllOrNothing) {
  const PaymentRef payment = authorized(1'000'000);
  sandbox_.reset();
  const pid_t pid = ::fork();
  ASSERT_NE(pid, -1);
  if (pid == 0) ::_exit(capture_all(path(), payment, 0));
  reopen();
  while (ledger().answers(payment.gateway_reference).size() < 20) std::this_thread::yield();
  ASSERT_EQ(::kill(pid, SIGKILL), 0);
  ASSERT_EQ(::waitpid(pid, nullptr, 0), pid);
  const auto after = ledger().read(payment.gateway_reference);
  const auto answers = ledger().answers(payment.gateway_reference);
  EXPECT_EQ(after->movements.size(), 1 + answers.size());
  EXPECT_EQ(after->captured(), 7 * static_cast<std::int64_t>(answers.size()));
}

}  // namespace
}  // namespace orderd::test
