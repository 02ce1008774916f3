#include "server/rpc/access_service.h"

#include <utility>

#include "server/orders/fields.h"
#include "server/rpc/mutation.h"
#include "server/rpc/paging.h"

namespace orderd::rpc {
namespace {

template <class Call>
access::KeyCall key_call(const Call& call) {
  const std::string& id = call.request().request_id();
  access::KeyCall made;
  made.actor = call.actor();
  made.request_id = id;
  made.request = request_key(call.actor(), call.method(), id);
  if (made.request) made.body_hash = engine::body_hash(call.request());
  made.abandoned = call.abandoned();
  return made;
}

template <class Call>
access::KeyEditor::Done answer_key(Call* call) {
  return [call](absl::StatusOr<access::KeyAnswer> answer) {
    call->answer([&](auto& response) {
      if (!answer.ok()) return answer.status();
      *response.mutable_key() = std::move(answer->key);
      if constexpr (requires { response.set_token(""); }) {
        response.set_token(std::move(answer->token));
      }
      response.set_changed(answer->changed);
      response.set_replayed(answer->replayed);
      return absl::OkStatus();
    });
  };
}

}  // namespace

grpc::ServerUnaryReactor* AccessService::CreateApiKey(Context* context, const Bytes* in,
                                                      Bytes* out) {
  return run<pb::CreateApiKeyRequest, pb::CreateApiKeyResponse>(
      guard_, {"CreateApiKey", Kind::kMutation}, context, in, out, [this](auto* call) {
        backend_.keys.create(call->request(), key_call(*call), answer_key(call));
      });
}

grpc::ServerUnaryReactor* AccessService::RevokeApiKey(Context* context, const Bytes* in,
                                                      Bytes* out) {
  return run<pb::RevokeApiKeyRequest, pb::RevokeApiKeyResponse>(
      guard_, {"RevokeApiKey", Kind::kMutation}, context, in, out, [this](auto* call) {
        backend_.keys.revoke(call->request(), key_call(*call), answer_key(call));
      });
}

grpc::ServerUnaryReactor* AccessService::ListApiKeys(Context* context, const Bytes* in,
                                                     Bytes* out) {
  return run<pb::ListApiKeysRequest, pb::ListApiKeysResponse>(
      guard_, {"ListApiKeys", Kind::kRead}, context, in, out, [this](auto* call) {
        pb::ListApiKeysRequest query;
        query.set_include_revoked(call->request().include_revoked());
        std::string scope = page_scope("ListApiKeys", query);
        std::optional<storage::ApiKeyKeyset> after;
        if (const std::string& text = call->request().page_token(); !text.empty()) {
          const auto token = tokens_.open(text, scope);
          if (!token) return call->finish(errors::page_token_invalid());
          after = {token->sort_key(), token->id()};
        }
        const auto list = [this, call, after,
                           scope = std::move(scope)](storage::ReadTransaction& tx) {
          const int size = page_size(call->request().page_size());
          const auto keys = tx.list_api_keys(after, size + 1);
          call->answer([&](pb::ListApiKeysResponse& response) {
            const std::size_t length = page_length(keys, size);
            for (std::size_t i = 0; i < length; ++i) {
              // A page of which all are revoked is empty, and there may be more.
              if (call->request().include_revoked() || !keys[i].has_revoke_time()) {
                *response.add_keys() = keys[i];
              }
            }
            if (length < keys.size()) {
              const pb::ApiKey& last = keys[length - 1];
              response.set_next_page_token(tokens_.seal(
                  make_token(scope, rules::to_micros(last.create_time()), last.key_id())));
            }
            return absl::OkStatus();
          });
        };
        backend_.reader.run(call->abandoned(), list,
                            [call](const absl::Status& status) { call->finish(status); });
      });
}

}  // namespace orderd::rpc
