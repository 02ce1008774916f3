#pragma once

#include <gmock/gmock.h>
#include <google/protobuf/util/message_differencer.h>

#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <vector>

#include "storage/order_rows.h"
#include "storage/storage.h"
#include "tests/support/test_database.h"

namespace orderd::test {

inline storage::Clock::time_point soon() {
  return storage::Clock::now() + std::chrono::seconds(10);
}

/// Every field set, texts at their limits, with what might trip SQL: quotes, colons, backslashes,
/// question marks, comments, 4-byte characters.
StoredOrder rich_order();
/// As rich; of a payment, with an id of its own.
pb::PaymentTransaction rich_transaction(const std::string& payment_id);
/// As rich; with an id of its own.
pb::Email rich_email(const Uuid& order_id);
/// Just enough, with its own number.
StoredOrder plain_order(Micros create_time = 1'700'000'000'000'000);

/// As it is written with an order; `text` makes it longer.
storage::EventRow event_row(const Uuid& order_id, std::int64_t version, int index,
                            const std::string& text = {});

std::map<Claim, ClaimHolder> claims_of(const StoredOrder& order);
RequestKey random_request_key();

/// Equal as messages; says what differs.
testing::AssertionResult same(const google::protobuf::Message& a,
                              const google::protobuf::Message& b);

class StorageTest : public DatabaseTest {
 protected:
  StorageTest() { reopen(); }

  void reopen() {
    storage_.reset();
    storage_ = storage::open(url(), options());
  }
  storage::Options options() {
    storage::Options options;
    options.on_statement = [this](std::string_view sql) {
      std::lock_guard lock(mutex_);
      statements_.emplace_back(sql);
    };
    return options;
  }
  std::vector<std::string> take_statements() {
    std::lock_guard lock(mutex_);
    return std::exchange(statements_, {});
  }

  std::unique_ptr<storage::WriteTransaction> begin_write() { return storage_->begin_write(soon()); }
  std::unique_ptr<storage::ReadTransaction> begin_read() {
    auto read = storage_->begin_read(soon());
    read->snapshot();
    return read;
  }
  void save(storage::ChangeSet changes) {
    auto write = begin_write();
    if (changes.batch_key == Uuid{}) changes.batch_key = Uuid::generate();
    write->save(changes);
    write->commit();
  }
  void create(const std::vector<StoredOrder>& orders) {
    storage::ChangeSet changes;
    for (const StoredOrder& order : orders) {
      changes.created.push_back(&order);
      changes.claims_taken.merge(claims_of(order));
    }
    save(changes);
  }
  OrderPtr load(const Uuid& id) {
    const auto orders = begin_read()->load_orders({&id, 1});
    return orders.empty() ? nullptr : orders.front();
  }

  std::unique_ptr<storage::Storage> storage_;

 private:
  std::mutex mutex_;
  std::vector<std::string> statements_;
};

/// Expects `statement` to throw a storage::Error of this kind.
#define EXPECT_STORAGE_ERROR(statement, expected)                                      \
  try {                                                                                \
    statement;                                                                         \
    ADD_FAILURE() << "no error";                                                       \
  } catch (const ::orderd::storage::Error& error) {                                    \
    EXPECT_EQ(error.kind(), ::orderd::storage::Error::Kind::expected) << error.what(); \
  }

}  // namespace orderd::test
