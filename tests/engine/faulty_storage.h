#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "storage/storage.h"

namespace orderd::test {

/// What a write transaction is about to do, or has done.
enum class Step { kBegin, kLock, kRead, kSave, kPositions, kAppendFeed, kCommit, kSettle };

/// A storage that fails on demand: it hands everything on to a real one, and asks before and after
/// each step of a write transaction. A hook that throws storage::Error is a fault of the database;
/// one that throws from `after(kCommit)` loses the answer to a COMMIT that happened.
class FaultyStorage final : public storage::Storage {
 public:
  struct Hooks {
    std::function<void(Step)> before = {};
    std::function<void(Step)> after = {};
    /// What a batch is about to save.
    std::function<void(const storage::ChangeSet&)> on_save = {};
    /// Orders that somebody else has locked: asked for with each lock.
    std::function<bool(const Uuid&)> locked = {};
  };

  explicit FaultyStorage(std::shared_ptr<storage::Storage> real) : real_(std::move(real)) {}

  void set(Hooks hooks) {
    std::lock_guard lock(mutex_);
    hooks_ = std::make_shared<const Hooks>(std::move(hooks));
  }

  std::unique_ptr<storage::WriteTransaction> begin_write(
      storage::Clock::time_point deadline) override {
    before(Step::kBegin);
    auto tx = std::make_unique<Transaction>(*this, real_->begin_write(deadline));
    after(Step::kBegin);
    return tx;
  }
  std::unique_ptr<storage::ReadTransaction> begin_read(
      storage::Clock::time_point deadline) override {
    return real_->begin_read(deadline);
  }
  bool settle_commit(const Uuid& batch_key, storage::Clock::time_point deadline) override {
    before(Step::kSettle);
    return real_->settle_commit(batch_key, deadline);
  }
  std::vector<storage::DueCheck> claim_due_checks(std::span<const std::string> accounts, Micros now,
                                                  Micros lease_until, int limit) override {
    return real_->claim_due_checks(accounts, now, lease_until, limit);
  }
  void postpone_checks(std::span<const storage::Postponement> postponements) override {
    real_->postpone_checks(postponements);
  }
  std::vector<storage::EmailRow> claim_due_emails(Micros now, Micros lease_until,
                                                  int limit) override {
    return real_->claim_due_emails(now, lease_until, limit);
  }
  void record_api_key_uses(std::span<const storage::ApiKeyUse> uses) override {
    real_->record_api_key_uses(uses);
  }
  storage::ErasureRow begin_erasure(const storage::ErasureRow& row) override {
    return real_->begin_erasure(row);
  }
  storage::ErasureRow record_erasure(const Uuid& erasure_id,
                                     std::span<const storage::ErasedOrder> skipped,
                                     std::optional<Micros> complete_time) override {
    return real_->record_erasure(erasure_id, skipped, complete_time);
  }
  int sweep(Micros before, int limit) override { return real_->sweep(before, limit); }
  void make_durable() override { real_->make_durable(); }
  bool trim_feed(Micros now, Micros before, Micros mark_interval) override {
    return real_->trim_feed(now, before, mark_interval);
  }
  void prepare() override { real_->prepare(); }
  std::string secret() override { return real_->secret(); }
  std::string_view dialect() const override { return real_->dialect(); }
  storage::Sessions sessions() const override { return real_->sessions(); }

 private:
  template <typename Work>
  std::invoke_result_t<Work> around(Step step, Work work) {
    before(step);
    if constexpr (std::is_void_v<std::invoke_result_t<Work>>) {
      work();
      after(step);
    } else {
      auto result = work();
      after(step);
      return result;
    }
  }

  class Transaction final : public storage::WriteTransaction {
   public:
    Transaction(FaultyStorage& owner, std::unique_ptr<storage::WriteTransaction> real)
        : owner_(owner), real_(std::move(real)) {}

    std::vector<storage::OrderVersion> versions(std::span<const Uuid> ids) override {
      return real_->versions(ids);
    }
    std::vector<OrderPtr> load_orders(std::span<const Uuid> ids) override {
      return owner_.around(Step::kRead, [&] { return real_->load_orders(ids); });
    }
    std::map<storage::NoteKey, pb::Note> load_notes(
        std::span<const storage::NoteKey> keys) override {
      return real_->load_notes(keys);
    }
    std::map<storage::TransactionKey, pb::PaymentTransaction> load_transactions(
        std::span<const storage::TransactionKey> keys) override {
      return real_->load_transactions(keys);
    }
    std::vector<storage::TransactionRow> load_ledgers(std::span<const Uuid> order_ids) override {
      return real_->load_ledgers(order_ids);
    }
    std::map<storage::EmailKey, pb::Email> load_emails(
        std::span<const storage::EmailKey> keys) override {
      return real_->load_emails(keys);
    }
    std::vector<RequestRecord> find_requests(std::span<const RequestKey> keys) override {
      return real_->find_requests(keys);
    }
    std::map<Claim, ClaimHolder> find_claims(std::span<const Claim> claims) override {
      return real_->find_claims(claims);
    }
    Settings load_settings() override { return real_->load_settings(); }
    std::int64_t settings_version() override { return real_->settings_version(); }
    std::int64_t api_keys_version() override { return real_->api_keys_version(); }

    std::vector<storage::OrderVersion> lock_orders(std::span<const Uuid> sorted,
                                                   storage::LockMode mode) override {
      return owner_.around(Step::kLock, [&] {
        std::vector<Uuid> free;
        const auto locked = owner_.hooks()->locked;
        for (const Uuid& id : sorted) {
          if (!locked || !locked(id)) {
            free.push_back(id);
          } else if (mode == storage::LockMode::kWait) {
            throw storage::Error(storage::Error::Kind::kLockWait, "injected");
          }
        }
        return free.empty() ? std::vector<storage::OrderVersion>{} : real_->lock_orders(free, mode);
      });
    }
    storage::OrderRecords load_records(std::span<const Uuid> order_ids) override {
      return real_->load_records(order_ids);
    }
    void save(const storage::ChangeSet& changes) override {
      if (const auto hook = owner_.hooks()->on_save) hook(changes);
      owner_.around(Step::kSave, [&] { real_->save(changes); });
    }
    std::optional<storage::Positions> take_positions(int count, std::int64_t settings_version,
                                                     Micros now) override {
      return owner_.around(Step::kPositions,
                           [&] { return real_->take_positions(count, settings_version, now); });
    }
    void restamp(std::span<const Uuid> sorted, Micros time) override {
      real_->restamp(sorted, time);
    }
    void append_feed(std::int64_t first, std::span<const storage::FeedRow> rows) override {
      owner_.around(Step::kAppendFeed, [&] { real_->append_feed(first, rows); });
    }
    Settings lock_settings() override { return real_->lock_settings(); }
    bool any_order_in(std::string_view state_id) override { return real_->any_order_in(state_id); }
    void save_order_state(const pb::OrderState& state) override { real_->save_order_state(state); }
    bool any_order_with_delivery_state(std::string_view id) override {
      return real_->any_order_with_delivery_state(id);
    }
    bool any_order_with_method(std::string_view id) override {
      return real_->any_order_with_method(id);
    }
    void save_delivery_state(const pb::DeliveryState& state) override {
      real_->save_delivery_state(state);
    }
    void save_shipment_method(const pb::ShipmentMethod& method) override {
      real_->save_shipment_method(method);
    }
    void set_settings_version(std::int64_t version) override {
      real_->set_settings_version(version);
    }
    void lock_api_keys() override { real_->lock_api_keys(); }
    std::optional<storage::ApiKeyRow> find_api_key(std::string_view key_id) override {
      return real_->find_api_key(key_id);
    }
    std::int64_t count_api_keys() override { return real_->count_api_keys(); }
    void add_api_key(const storage::ApiKeyRow& row) override { real_->add_api_key(row); }
    void revoke_api_key(std::string_view key_id, Micros time, std::string_view by) override {
      real_->revoke_api_key(key_id, time, by);
    }
    void save_requests(const Uuid& batch_key, Micros now,
                       std::span<const RequestRecord> requests) override {
      real_->save_requests(batch_key, now, requests);
    }
    void commit() override {
      owner_.around(Step::kCommit, [&] { real_->commit(); });
    }

   private:
    FaultyStorage& owner_;
    const std::unique_ptr<storage::WriteTransaction> real_;
  };

  std::shared_ptr<const Hooks> hooks() {
    std::lock_guard lock(mutex_);
    return hooks_;
  }
  void before(Step step) {
    const auto current = hooks();
    if (current->before) current->before(step);
  }
  void after(Step step) {
    const auto current = hooks();
    if (current->after) current->after(step);
  }

  const std::shared_ptr<storage::Storage> real_;
  std::mutex mutex_;
  std::shared_ptr<const Hooks> hooks_ = std::make_shared<const Hooks>();
};

/// A hook that throws the first `times` times that `step` comes.
inline std::function<void(Step)> fail(Step step, storage::Error::Kind kind, int times = 1) {
  return [step, kind, left = std::make_shared<std::atomic<int>>(times)](Step now) {
    if (now == step && left->fetch_sub(1) > 0) throw storage::Error(kind, "injected");
  };
}

}  // namespace orderd::test
