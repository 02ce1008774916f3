#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/access/caller.h"
#include "storage/storage.h"

namespace orderd::access {

/// The API keys in memory, so that no call waits for the database: what it has of them is at most
/// as old as the last `refresh`. Thread-safe.
class Keyring {
 public:
  /// `may_be_open`: whether callers without a credential are let in as long as there has never been
  /// a key; for a server that only its own machine can reach and that has no other credentials.
  explicit Keyring(bool may_be_open, std::function<Micros()> clock);

  /// Reads the keys if they have changed: else that is one narrow statement.
  void refresh(storage::ReadTransaction& tx);

  /// The key that is good beside those in the database: the SHA-256 of its text. Empty: none.
  void set_admin_key(std::string hash);

  /// Whose token it is.
  Identified identify(std::string_view token) const;

  /// Whether there is no credential at all, so that everybody may do everything. Not before the
  /// first `refresh`.
  bool open() const;
  /// Whether there has ever been a key in the database, as of the last `refresh`.
  bool has_keys() const;
  /// Whether an admin gets in without a key in the database.
  bool has_other_credentials() const { return !may_be_open_; }

  /// When keys were used since the last call of this, for those that were.
  std::vector<storage::ApiKeyUse> take_uses();

 private:
  struct Key {
    std::string secret_hash;
    std::string name;
    pb::Role role{};
    Micros expire_time = 0;
    bool revoked = false;
    /// 0: not since `take_uses`. Outlives a refresh.
    std::shared_ptr<std::atomic<Micros>> last_use = std::make_shared<std::atomic<Micros>>(0);
  };
  struct Keys {
    std::int64_t version = 0;
    std::unordered_map<std::string, Key> by_id;
  };

  std::shared_ptr<const Keys> keys() const;

  const bool may_be_open_;
  const std::function<Micros()> clock_;
  mutable std::mutex mutex_;  // guards what follows
  /// Null: not read yet.
  std::shared_ptr<const Keys> keys_;
  std::string admin_hash_;
};

}  // namespace orderd::access
