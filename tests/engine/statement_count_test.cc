#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "server/engine/reader.h"
#include "tests/engine/engine_fixture.h"
#include "tests/engine/payment_commands.h"

// How many SQL statements things cost.

namespace orderd::test {
namespace {

class StatementCount : public EngineTest {
 protected:
  void SetUp() override {
    storage::Options options;
    options.on_statement = [this](std::string_view sql) {
      std::lock_guard lock(mutex_);
      statements_.emplace_back(sql.substr(0, 100));
    };
    engine::Limits limits;
    limits.batch_cost = 1'000'000;
    limits.queue_commands = 10'000;
    limits.caller_commands = 10'000;
    server_ = std::make_unique<Server>(open(options), limits);
  }
  void TearDown() override { server_.reset(); }

  /// The statements that `work` costs.
  std::vector<std::string> cost(const std::function<void()>& work) {
    {
      std::lock_guard lock(mutex_);
      statements_.clear();
    }
    work();
    std::lock_guard lock(mutex_);
    return statements_;
  }

  /// The statements of one batch of these commands, each of which must be a change.
  std::vector<std::string> batch_cost(std::vector<Command> commands) {
    const auto before = server_->engine.counters();
    const auto statements = cost([&] {
      for (const AnswerOr& answer : server_->call(std::move(commands))) {
        EXPECT_TRUE(answer.ok()) << answer.status();
        EXPECT_TRUE(answer.ok() && answer->changed);
      }
    });
    EXPECT_EQ(server_->engine.counters().batches, before.batches + 1);
    EXPECT_EQ(server_->engine.counters().reruns, before.reruns);
    return statements;
  }

  /// That n commands of a kind cost as many statements as one of them. `make` is asked for kAll of
  /// them.
  static constexpr int kAll = 1 + 2 + 64 + 500;
  void expect_constant(const std::function<Command(std::size_t i)>& make) {
    make_order(*server_);  // its session is open and ready to write
    std::size_t next = 0;
    const auto batch_of = [&](std::size_t count) {
      std::vector<Command> commands;
      while (commands.size() < count) commands.push_back(make(next++));
      return batch_cost(std::move(commands));
    };
    const auto one = batch_of(1);
    EXPECT_GE(one.size(), 5u);
    for (const std::size_t count : {2u, 64u, 500u}) {
      const auto many = batch_of(count);
      EXPECT_EQ(many.size(), one.size()) << count << " commands:\n"
                                         << ::testing::PrintToString(many) << "\none:\n"
                                         << ::testing::PrintToString(one);
    }
  }

  static std::string request_id() { return Uuid::generate().to_string(); }

  std::mutex mutex_;
  std::vector<std::string> statements_;
  std::unique_ptr<Server> server_;
};

TEST_P(StatementCount, Creations) {
  expect_constant([&](std::size_t) {
    auto request = new_order(request_id());
    (*request.mutable_order()->mutable_labels())["k"] = "v";
    request.mutable_order()->mutable_billing_address()->set_city("Berlin");
    return create(request);
  });
}

TEST_P(StatementCount, Invoices) {
  const auto ids = make_orders(*server_, kAll);
  expect_constant([&](std::size_t i) { return invoice(ids[i], std::to_string(i), request_id()); });
}

TEST_P(StatementCount, InvoicesThatReplaceOthers) {
  const auto ids = make_orders(*server_, kAll);
  std::vector<Command> first;
  for (const Uuid& id : ids) first.push_back(invoice(id, id.to_string()));
  server_->call(std::move(first));
  expect_constant([&](std::size_t i) { return invoice(ids[i], std::to_string(i)); });
}

TEST_P(StatementCount, States) {
  const auto ids = make_orders(*server_, kAll);
  expect_constant([&](std::size_t i) { return status(ids[i], "processing", request_id()); });
}

TEST_P(StatementCount, Notes) {
  const auto ids = make_orders(*server_, kAll);
  expect_constant([&](std::size_t i) { return add_note(ids[i], "hello", request_id()); });
}

TEST_P(StatementCount, NotesEditedAndDeleted) {
  const auto ids = make_orders(*server_, kAll);
  std::vector<std::string> notes;
  std::vector<Command> add;
  for (const Uuid& id : ids) add.push_back(add_note(id, "hello"));
  for (const AnswerOr& answer : server_->call(std::move(add))) {
    notes.push_back(answer->note->note_id());
  }
  expect_constant([&](std::size_t i) {
    pb::UpdateNoteRequest request;
    request.set_order_id(ids[i].to_string());
    request.set_note_id(notes[i]);
    request.set_body("edited");
    return update_note(request);
  });
  expect_constant([&](std::size_t i) {
    pb::DeleteNoteRequest request;
    request.set_order_id(ids[i].to_string());
    request.set_note_id(notes[i]);
    return delete_note(request);
  });
}

TEST_P(StatementCount, WhatTheCacheDoesNotHoldIsLoadedInAConstantNumberToo) {
  Server& server = *server_;
  const auto ids = make_orders(server, 501);
  const auto batch_of = [&](std::size_t from, std::size_t to) {
    // A second engine, so that its cache is cold.
    engine::OrderCache cache(64u << 20);
    engine::Limits limits;
    limits.batch_cost = 1'000'000;
    engine::Engine engine(*server.storage, cache, server.settings, limits);
    return cost([&] {
      std::vector<Command> commands;
      std::vector<std::future<AnswerOr>> answers;
      for (std::size_t i = from; i < to; ++i) {
        commands.push_back(invoice(ids[i], ids[i].to_string()));
        answers.push_back(Server::expect(commands.back()));
      }
      engine.submit(std::move(commands));
      for (auto& answer : answers) EXPECT_TRUE(get(std::move(answer)).ok());
      EXPECT_EQ(engine.counters().batches, 1u);
    });
  };
  EXPECT_EQ(batch_of(0, 1).size(), batch_of(1, 501).size());
}

TEST_P(StatementCount, PaymentsFromTheirAttachmentToTheirCapture) {
  const auto ids = make_orders(*server_, kAll);
  expect_constant([&](std::size_t i) { return attach_payment(ids[i], "sandbox"); });
  const auto payment = [&](std::size_t i) { return server_->stored(ids[i])->order->payments(0); };
  std::vector<std::string> payments;
  for (std::size_t i = 0; i < ids.size(); ++i) payments.push_back(payment(i).payment_id());
  expect_constant(
      [&](std::size_t i) { return fold(ids[i], reading_of(payments[i], 0, 1000, {})); });
  expect_constant([&](std::size_t i) { return capture(ids[i], payments[i], 400, request_id()); });
  std::vector<std::string> attempts;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    attempts.push_back(payment(i).open_transactions(0).transaction_id());
  }
  expect_constant([&](std::size_t i) {
    return settle(ids[i], payments[i], attempts[i], succeeded("g-" + std::to_string(i)));
  });
}

TEST_P(StatementCount, Reads) {
  const auto ids = make_orders(*server_, 501);
  engine::OrderCache cache(64u << 20);
  engine::Reader reader(*server_->storage, cache, {});
  const auto read = [&](std::vector<Uuid> wanted) {
    return cost([&] {
      // Shared: the answer may be taken before the promise has been left.
      const auto promise = std::make_shared<std::promise<absl::StatusOr<engine::Reader::Orders>>>();
      const std::size_t count = wanted.size();
      reader.get(std::move(wanted), nullptr,
                 [promise](auto orders) { promise->set_value(std::move(orders)); });
      const auto orders = get(promise->get_future());
      ASSERT_TRUE(orders.ok()) << orders.status();
      ASSERT_EQ(orders->size(), count);
      for (const OrderPtr& order : *orders) EXPECT_NE(order, nullptr);
    });
  };
  const auto one = read({ids[0]});
  const auto many = read({ids.begin() + 1, ids.end()});
  EXPECT_GT(one.size(), 1u);
  EXPECT_EQ(one.size(), many.size());

  // In the cache: one statement, which reads nothing but versions.
  for (const auto& wanted : {std::vector<Uuid>{ids[0]}, {ids.begin(), ids.begin() + 500}}) {
    const auto cached = read(wanted);
    ASSERT_EQ(cached.size(), 1u) << ::testing::PrintToString(cached);
    EXPECT_TRUE(cached[0].starts_with("SELECT id, version FROM orders")) << cached[0];
  }
}

TEST_P(StatementCount, ARefusalWritesNothing) {
  const auto ids = make_orders(*server_, 2);
  ASSERT_TRUE(server_->call(invoice(ids[0], "I-0")).ok());
  const auto statements = cost([&] {
    EXPECT_FALSE(server_->call(invoice(ids[1], "I-0")).ok());
    EXPECT_FALSE(server_->call(invoice(ids[0], "I-0"))->changed);
  });
  for (const std::string& sql : statements) {
    for (const char* word : {"INSERT", "UPDATE", "DELETE", "COMMIT"}) {
      EXPECT_FALSE(sql.starts_with(word)) << sql;
    }
  }
}

ORDERD_ON_BOTH_DATABASES(StatementCount);

}  // namespace
}  // namespace orderd::test
