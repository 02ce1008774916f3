#pragma once

#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/statusor.h"
#include "server/engine/reader.h"
#include "server/orders/errors.h"
#include "server/rpc/page_token.h"
#include "server/rpc/paging.h"

namespace orderd::rpc {

/// Answers a list of what has ids, oldest first:
/// - `load(tx, after, limit)`: the rows behind `after`, or a refusal;
/// - `id(row)`: of a row, as text;
/// - `add(response)`: the place for one more row.
template <class Call, class Load, class Id, class Add>
void list_by_id(Call* call, engine::Reader& reader, const PageTokens& tokens, std::string scope,
                Load load, Id id, Add add) {
  const auto& request = call->request();
  std::optional<Uuid> after;
  if (!request.page_token().empty()) {
    const auto token = tokens.open(request.page_token(), scope);
    if (!token) return call->finish(errors::page_token_invalid());
    after = Uuid::from_bytes(token->id());
  }
  const auto list = [=, &request, &tokens, scope = std::move(scope)](storage::ReadTransaction& tx) {
    tx.snapshot();
    const int size = page_size(request.page_size());
    auto rows = load(tx, after, size + 1);
    if (!rows.ok()) return call->finish(rows.status());
    call->answer([&](auto& response) {
      const std::size_t length = page_length(*rows, size);
      if (length < rows->size()) {
        const Uuid last = Uuid::parse(id((*rows)[length - 1])).value();
        response.set_next_page_token(tokens.seal(make_token(scope, 0, last.raw())));
      }
      for (std::size_t i = 0; i < length; ++i) add(response) = std::move((*rows)[i]);
      return absl::OkStatus();
    });
  };
  reader.run(call->abandoned(), list,
             [call](absl::Status status) { call->finish(std::move(status)); });
}

/// The same of what belongs to the request's order; `load(tx, order, after, limit)`: `order` is the
/// order's id and version.
template <class Call, class Load, class Id, class Add>
void list_of_order(Call* call, engine::Reader& reader, const PageTokens& tokens, std::string scope,
                   Load load, Id id, Add add) {
  const auto load_of_order = [&request = call->request(), load](storage::ReadTransaction& tx,
                                                                const std::optional<Uuid>& after,
                                                                int limit)
      -> std::invoke_result_t<Load, storage::ReadTransaction&, const storage::OrderVersion&,
                              const std::optional<Uuid>&, int> {
    const auto order_id = Uuid::parse(request.order_id());
    if (!order_id) return errors::order_not_found(request.order_id());
    const auto versions = tx.versions({&*order_id, 1});
    if (versions.empty()) return errors::order_not_found(request.order_id());
    return load(tx, versions.front(), after, limit);
  };
  list_by_id(call, reader, tokens, std::move(scope), load_of_order, id, add);
}

}  // namespace orderd::rpc
