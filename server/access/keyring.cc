#include "server/access/keyring.h"

#include <utility>

#include "server/access/key_token.h"
#include "server/orders/fields.h"

namespace orderd::access {
namespace {

/// For so long the log can tell a revoked key from one that never was.
constexpr Micros kRevokedKept = 30LL * 24 * 3600 * 1'000'000;

}  // namespace

Keyring::Keyring(bool may_be_open, std::function<Micros()> clock)
    : may_be_open_(may_be_open), clock_(std::move(clock)) {}

std::shared_ptr<const Keyring::Keys> Keyring::keys() const {
  std::lock_guard lock(mutex_);
  return keys_;
}

void Keyring::refresh(storage::ReadTransaction& tx) {
  const auto before = keys();
  auto fresh = std::make_shared<Keys>();
  // The version first: a change between the two is read again the next time.
  fresh->version = tx.api_keys_version();
  if (before != nullptr && before->version >= fresh->version) return;
  for (storage::ApiKeyRow& row : tx.load_api_keys(clock_() - kRevokedKept)) {
    Key key;
    key.secret_hash = std::move(row.secret_hash);
    key.name = row.key.name();
    key.role = row.key.role();
    key.expire_time =
        row.key.has_expire_time() ? rules::to_micros(row.key.expire_time()) : INT64_MAX;
    key.revoked = row.key.has_revoke_time();
    if (before != nullptr) {
      if (const auto it = before->by_id.find(row.key.key_id()); it != before->by_id.end()) {
        key.last_use = it->second.last_use;
      }
    }
    fresh->by_id.emplace(row.key.key_id(), std::move(key));
  }
  std::lock_guard lock(mutex_);
  if (keys_ == nullptr || keys_->version < fresh->version) keys_ = std::move(fresh);
}

void Keyring::set_admin_key(std::string hash) {
  std::lock_guard lock(mutex_);
  admin_hash_ = std::move(hash);
}

Identified Keyring::identify(std::string_view token) const {
  const std::string whole_hash = secret_hash(token);
  std::shared_ptr<const Keys> keys;
  {
    std::lock_guard lock(mutex_);
    if (!admin_hash_.empty() && same_hash(whole_hash, admin_hash_)) {
      return {Caller{std::string(kAdminKeyFile), pb::ROLE_ADMIN}, {}};
    }
    keys = keys_;
  }
  const auto parsed = parse_key_token(token);
  if (!parsed) return {std::nullopt, "malformed key"};
  if (keys == nullptr) return {std::nullopt, "the keys have not been read yet"};
  const auto it = keys->by_id.find(parsed->key_id);
  if (it == keys->by_id.end() || !same_hash(secret_hash(parsed->secret), it->second.secret_hash)) {
    return {std::nullopt, "unknown key"};
  }
  const Key& key = it->second;
  if (key.revoked) return {std::nullopt, "revoked key"};
  const Micros now = clock_();
  if (now >= key.expire_time) return {std::nullopt, "expired key"};
  key.last_use->store(now, std::memory_order_relaxed);
  return {Caller{key.name, key.role}, {}};
}

bool Keyring::open() const {
  const auto known = keys();
  return may_be_open_ && known != nullptr && known->version == 0;
}

bool Keyring::has_keys() const {
  const auto known = keys();
  return known != nullptr && known->version > 0;
}

std::vector<storage::ApiKeyUse> Keyring::take_uses() {
  std::vector<storage::ApiKeyUse> uses;
  const auto known = keys();
  if (known == nullptr) return uses;
  for (const auto& [id, key] : known->by_id) {
    if (const Micros time = key.last_use->exchange(0); time != 0) uses.push_back({id, time});
  }
  return uses;
}

}  // namespace orderd::access
