#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "orders/v1/access_service.pb.h"
#include "server/access/keyring.h"
#include "server/engine/edit_lane.h"
#include "storage/storage.h"

namespace orderd::access {

/// A call that changes keys, as the guard knows it.
struct KeyCall {
  std::string actor;
  /// As in engine::Command.
  std::string request_id;
  std::optional<RequestKey> request;
  std::string body_hash;
  std::function<bool()> abandoned;
};

struct KeyAnswer {
  pb::ApiKey key;
  /// Of a key that was just made.
  std::string token;
  bool changed = false;
  bool replayed = false;
};

/// Makes and revokes API keys. The keyring of this server knows of a change before it is answered.
class KeyEditor {
 public:
  using Done = std::function<void(absl::StatusOr<KeyAnswer>)>;

  /// How many keys may be unrevoked.
  static constexpr int kMaxKeys = 10'000;

  KeyEditor(storage::Storage& storage, Keyring& keyring, std::function<Micros()> clock);

  /// Each never blocks; `done` is called exactly once.
  void create(pb::CreateApiKeyRequest request, KeyCall call, Done done);
  void revoke(pb::RevokeApiKeyRequest request, KeyCall call, Done done);

  /// Refuses new changes and returns when all are answered.
  void stop() { lane_.stop(); }

 private:
  /// Nothing: to be tried again.
  using Try = std::function<std::optional<absl::StatusOr<KeyAnswer>>()>;
  void submit(Try attempt, std::function<bool()> abandoned, Done done);
  std::optional<absl::StatusOr<KeyAnswer>> try_create(const pb::CreateApiKeyRequest& request,
                                                      const KeyCall& call);
  std::optional<absl::StatusOr<KeyAnswer>> try_revoke(const pb::RevokeApiKeyRequest& request,
                                                      const KeyCall& call);
  /// The answer to a call that was executed before, or a refusal.
  static std::optional<absl::StatusOr<KeyAnswer>> replay(storage::WriteTransaction& tx,
                                                         const KeyCall& call);
  bool commit(std::unique_ptr<storage::WriteTransaction> tx, const KeyCall& call,
              const std::string& key_id, Micros now);

  storage::Storage& storage_;
  Keyring& keyring_;
  const std::function<Micros()> clock_;
  engine::EditLane lane_;
};

}  // namespace orderd::access
