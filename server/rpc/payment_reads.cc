#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/orders/fields.h"
#include "server/orders/payments.h"
#include "server/rpc/order_list.h"
#include "server/rpc/order_service.h"

// The lists of transactions and of payments that are not settled.

namespace orderd::rpc {
namespace {

constexpr std::size_t kIdBytes = sizeof(Uuid::bytes);

using Unresolved = storage::UnresolvedRow;

std::string token_id(const Unresolved::Keyset& at) {
  return std::string(at.order_id.raw()) + at.payment_id;
}

Unresolved::Keyset keyset(const internal::PageToken& token) {
  const std::string_view id = token.id();
  return {token.sort_key(), Uuid::from_bytes(id.substr(0, kIdBytes)),
          std::string(id.substr(kIdBytes))};
}

/// The rows with what their orders say.
std::vector<pb::UnresolvedPayment> unresolved_payments(const std::vector<Unresolved>& rows,
                                                       storage::ReadTransaction& tx,
                                                       engine::Reader& reader) {
  std::vector<Uuid> ids;
  for (const Unresolved& row : rows) ids.push_back(row.key.order_id);
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  std::map<Uuid, OrderPtr> orders;
  if (!ids.empty()) {
    for (OrderPtr& order : reader.load(tx, tx.versions(ids))) {
      orders.emplace(order->id, std::move(order));
    }
  }

  std::vector<pb::UnresolvedPayment> payments;
  for (const Unresolved& row : rows) {
    const pb::Order& order = orders.at(row.key.order_id)->order;
    auto& payment = payments.emplace_back();
    payment.set_order_id(order.order_id());
    payment.set_order_number(order.order_number());
    const auto* found = rules::find_payment(order, row.key.payment_id);
    if (found != nullptr) *payment.mutable_payment() = *found;
    *payment.mutable_since_time() = rules::to_timestamp(row.key.since);
    if (row.next_check) {
      *payment.mutable_next_check_time() = rules::to_timestamp(*row.next_check);
    }
  }
  return payments;
}

}  // namespace

grpc::ServerUnaryReactor* OrderService::ListTransactions(Context* context, const Bytes* in,
                                                         Bytes* out) {
  return run<pb::ListTransactionsRequest, pb::ListTransactionsResponse>(
      guard_, {"ListTransactions", Kind::kRead}, context, in, out, [this](auto* call) {
        const auto& request = call->request();
        pb::ListTransactionsRequest scoped;
        scoped.set_order_id(request.order_id());
        scoped.set_payment_id(request.payment_id());
        list_of_order(
            call, backend_.reader, tokens_, page_scope("ListTransactions", scoped),
            [this, &request](storage::ReadTransaction& tx, const storage::OrderVersion& order,
                             const std::optional<Uuid>& after,
                             int limit) -> absl::StatusOr<std::vector<pb::PaymentTransaction>> {
              const std::string& id = request.payment_id();
              if (!id.empty()) {
                const OrderPtr whole = backend_.reader.load(tx, {&order, 1}).front();
                if (rules::find_payment(whole->order, id) == nullptr) {
                  return errors::payment_not_found(request.order_id(), id);
                }
              }
              return tx.list_transactions(order.id, id, after, limit);
            },
            [](const pb::PaymentTransaction& transaction) { return transaction.transaction_id(); },
            [](pb::ListTransactionsResponse & response) -> auto& {
              return *response.add_transactions();
            });
      });
}

grpc::ServerUnaryReactor* OrderService::ListUnresolvedTransactions(Context* context,
                                                                   const Bytes* in, Bytes* out) {
  return run<pb::ListUnresolvedTransactionsRequest, pb::ListUnresolvedTransactionsResponse>(
      guard_, {"ListUnresolvedTransactions", Kind::kRead}, context, in, out, [this](auto* call) {
        const auto& request = call->request();
        pb::ListUnresolvedTransactionsRequest scoped;
        scoped.set_gateway_account(request.gateway_account());
        std::string scope = page_scope("ListUnresolvedTransactions", scoped);
        std::optional<Unresolved::Keyset> after;
        if (!request.page_token().empty()) {
          const auto token = tokens_.open(request.page_token(), scope);
          if (!token) return call->finish(errors::page_token_invalid());
          after = keyset(*token);
        }
        const auto list = [this, call, after,
                           scope = std::move(scope)](storage::ReadTransaction& tx) {
          const int size = page_size(call->request().page_size());
          tx.snapshot();
          const auto rows = tx.list_unresolved(call->request().gateway_account(), after, size + 1);
          const auto payments = unresolved_payments(rows, tx, backend_.reader);
          call->answer([&](pb::ListUnresolvedTransactionsResponse& response) {
            const std::size_t length = page_length(payments, size);
            for (std::size_t i = 0; i < length; ++i) *response.add_payments() = payments[i];
            if (length < payments.size()) {
              const Unresolved::Keyset& last = rows[length - 1].key;
              response.set_next_page_token(
                  tokens_.seal(make_token(scope, last.since, token_id(last))));
            }
            return absl::OkStatus();
          });
        };
        backend_.reader.run(call->abandoned(), list,
                            [call](absl::Status status) { call->finish(std::move(status)); });
      });
}

}  // namespace orderd::rpc
