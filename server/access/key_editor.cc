#include "server/access/key_editor.h"

#include <spdlog/spdlog.h>

#include <utility>

#include "server/access/key_token.h"
#include "server/orders/errors.h"
#include "server/orders/fields.h"

namespace orderd::access {

using engine::EditLane;
using Attempted = std::optional<absl::StatusOr<KeyAnswer>>;

KeyEditor::KeyEditor(storage::Storage& storage, Keyring& keyring, std::function<Micros()> clock)
    : storage_(storage), keyring_(keyring), clock_(std::move(clock)), lane_(storage) {}

void KeyEditor::create(pb::CreateApiKeyRequest request, KeyCall call, Done done) {
  auto abandoned = call.abandoned;
  submit([this, request = std::move(request),
          call = std::move(call)] { return try_create(request, call); },
         std::move(abandoned), std::move(done));
}

void KeyEditor::revoke(pb::RevokeApiKeyRequest request, KeyCall call, Done done) {
  auto abandoned = call.abandoned;
  submit([this, request = std::move(request),
          call = std::move(call)] { return try_revoke(request, call); },
         std::move(abandoned), std::move(done));
}

void KeyEditor::submit(Try attempt, std::function<bool()> abandoned, Done done) {
  const auto answer = std::make_shared<KeyAnswer>();
  lane_.submit(
      [attempt = std::move(attempt), answer]() -> std::optional<absl::Status> {
        auto result = attempt();
        if (!result) return std::nullopt;
        if (result->ok()) *answer = **std::move(result);
        return result->status();
      },
      std::move(abandoned),
      [this, answer, done = std::move(done)](const absl::Status& status) {
        if (!status.ok()) return done(status);
        if (answer->changed) {
          try {
            keyring_.refresh(*storage_.begin_read(EditLane::session_deadline()));
          } catch (const storage::Error& error) {
            spdlog::warn("the keys will be read a little later: {}", error.what());
          }
        }
        done(std::move(*answer));
      });
}

Attempted KeyEditor::try_create(const pb::CreateApiKeyRequest& request, const KeyCall& call) {
  auto tx = storage_.begin_write(EditLane::session_deadline());
  tx->lock_api_keys();
  if (auto answer = replay(*tx, call)) return answer;
  const Micros now = clock_();
  if (request.has_expire_time() && rules::to_micros(request.expire_time()) <= now) {
    errors::Violations violations;
    violations.add("expire_time", "must be in the future");
    return violations.status();
  }
  const bool is_first = tx->api_keys_version() == 1;
  if (is_first && request.role() != pb::ROLE_ADMIN && !keyring_.has_other_credentials()) {
    return errors::first_key_not_admin();
  }
  if (tx->count_api_keys() >= kMaxKeys) return errors::too_many_api_keys(kMaxKeys);

  const KeyToken token = new_key_token();
  storage::ApiKeyRow row;
  row.secret_hash = secret_hash(token.secret);
  row.key.set_key_id(token.key_id);
  row.key.set_name(request.name());
  row.key.set_role(request.role());
  row.key.set_created_by(call.actor);
  *row.key.mutable_create_time() = rules::to_timestamp(now);
  if (request.has_expire_time()) {
    *row.key.mutable_expire_time() = rules::to_timestamp(rules::to_micros(request.expire_time()));
  }
  tx->add_api_key(row);
  if (!commit(std::move(tx), call, token.key_id, now)) return std::nullopt;
  return KeyAnswer{std::move(row.key), token.text(), true, false};
}

Attempted KeyEditor::try_revoke(const pb::RevokeApiKeyRequest& request, const KeyCall& call) {
  auto tx = storage_.begin_write(EditLane::session_deadline());
  tx->lock_api_keys();
  if (auto answer = replay(*tx, call)) return answer;
  auto row = tx->find_api_key(request.key_id());
  if (!row) return errors::api_key_not_found(request.key_id());
  pb::ApiKey& key = row->key;
  if (key.has_revoke_time()) return KeyAnswer{std::move(key), {}, false, false};
  const Micros now = clock_();
  tx->revoke_api_key(key.key_id(), now, call.actor);
  *key.mutable_revoke_time() = rules::to_timestamp(now);
  key.set_revoked_by(call.actor);
  if (!commit(std::move(tx), call, key.key_id(), now)) return std::nullopt;
  return KeyAnswer{std::move(key), {}, true, false};
}

Attempted KeyEditor::replay(storage::WriteTransaction& tx, const KeyCall& call) {
  if (!call.request) return std::nullopt;
  const auto records = tx.find_requests({&*call.request, 1});
  if (records.empty()) return std::nullopt;
  if (records[0].body_hash != call.body_hash) return errors::request_id_reused(call.request_id);
  auto row = tx.find_api_key(records[0].outcome.state_id());
  if (!row) return errors::internal();
  return KeyAnswer{std::move(row->key), {}, true, true};
}

bool KeyEditor::commit(std::unique_ptr<storage::WriteTransaction> tx, const KeyCall& call,
                       const std::string& key_id, Micros now) {
  std::vector<RequestRecord> records;
  if (call.request) {
    RequestRecord& record = records.emplace_back();
    record.key = *call.request;
    record.body_hash = call.body_hash;
    record.outcome.set_state_id(key_id);
  }
  return lane_.commit(std::move(tx), now, records, call.abandoned);
}

}  // namespace orderd::access
