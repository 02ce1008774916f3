#include <optional>
#include <string>
#include <utility>

#include "server/engine/eraser.h"
#include "server/orders/fields.h"
#include "server/rpc/order_service.h"
#include "server/rpc/paging.h"

// The calls that erase customers' personal data and show the records of that.

namespace orderd::rpc {
namespace {

using engine::ErasureAnswer;
using engine::ErasureCall;

std::string scope_of(pb::EraseCustomerDataRequest request) {
  request.clear_page_size();
  request.clear_page_token();
  return page_scope("EraseCustomerData", request);
}

/// A token's id is that of the erasure and then that of the last order.
std::string seal(const PageTokens& tokens, const std::string& scope,
                 const ErasureCall::Continuation& next) {
  std::string id(next.erasure_id.raw());
  id += next.after.id.raw();
  return tokens.seal(make_token(scope, next.after.sort_key, id));
}

std::optional<ErasureCall::Continuation> open(const PageTokens& tokens, const std::string& scope,
                                              const std::string& text) {
  const auto token = tokens.open(text, scope);
  if (!token) return std::nullopt;
  const std::string_view id = token->id();
  return ErasureCall::Continuation{Uuid::from_bytes(id.substr(0, 16)),
                                   {token->sort_key(), Uuid::from_bytes(id.substr(16))}};
}

}  // namespace

grpc::ServerUnaryReactor* OrderService::EraseCustomerData(Context* context, const Bytes* in,
                                                          Bytes* out) {
  return run<pb::EraseCustomerDataRequest, pb::EraseCustomerDataResponse>(
      guard_, {"EraseCustomerData", Kind::kMutation}, context, in, out, [this](auto* call) {
        const auto& request = call->request();
        const std::string scope = scope_of(request);
        ErasureCall erasure;
        if (!request.page_token().empty()) {
          erasure.continuation = open(tokens_, scope, request.page_token());
          if (!erasure.continuation) return call->finish(errors::page_token_invalid());
        }
        erasure.request = request;
        erasure.actor = call->actor();
        erasure.abandoned = call->abandoned();
        erasure.deadline = call->deadline();
        backend_.eraser.submit(
            std::move(erasure), [this, call, scope](absl::StatusOr<ErasureAnswer> answer) {
              if (!answer.ok()) return call->finish(answer.status());
              call->answer([&](pb::EraseCustomerDataResponse& response) {
                response = std::move(answer->response);
                if (answer->next) {
                  response.set_next_page_token(seal(tokens_, scope, *answer->next));
                }
                return absl::OkStatus();
              });
            });
      });
}

grpc::ServerUnaryReactor* OrderService::ListErasures(Context* context, const Bytes* in,
                                                     Bytes* out) {
  return run<pb::ListErasuresRequest, pb::ListErasuresResponse>(
      guard_, {"ListErasures", Kind::kRead}, context, in, out, [this](auto* call) {
        const auto& request = call->request();
        pb::ListErasuresRequest scoped = request;
        scoped.clear_page_size();
        scoped.clear_page_token();
        const std::string scope = page_scope("ListErasures", scoped);
        std::optional<storage::ListQuery::Keyset> after;
        if (!request.page_token().empty()) {
          const auto token = tokens_.open(request.page_token(), scope);
          if (!token) return call->finish(errors::page_token_invalid());
          after = storage::ListQuery::Keyset{token->sort_key(), Uuid::from_bytes(token->id())};
        }
        std::string pseudonym;
        const rules::Pseudonyms& pseudonyms = backend_.eraser.pseudonyms();
        if (!request.customer_id().empty()) {
          pseudonym = pseudonyms.of_customer_id(request.customer_id());
        } else if (!request.email().empty()) {
          pseudonym = pseudonyms.of_email(request.email());
        }
        const auto list = [this, call, after, scope, pseudonym](storage::ReadTransaction& tx) {
          tx.snapshot();
          const int size = page_size(call->request().page_size());
          auto rows = tx.list_erasures(pseudonym, after, size + 1);
          call->answer([&](pb::ListErasuresResponse& response) {
            if (rows.size() > static_cast<std::size_t>(size)) {
              rows.pop_back();
              const pb::Erasure& last = rows.back();
              response.set_next_page_token(
                  tokens_.seal(make_token(scope, rules::to_micros(last.start_time()),
                                          Uuid::parse(last.erasure_id()).value().raw())));
            }
            for (pb::Erasure& row : rows) *response.add_erasures() = std::move(row);
            return absl::OkStatus();
          });
        };
        backend_.reader.run(call->abandoned(), list,
                            [call](absl::Status status) { call->finish(std::move(status)); });
      });
}

}  // namespace orderd::rpc
