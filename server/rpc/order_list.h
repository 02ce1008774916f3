#pragma once

#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "server/engine/reader.h"
#include "server/orders/errors.h"
#include "server/rpc/page_token.h"
#include "server/rpc/paging.h"

namespace orderd::rpc {

/// Answers a list of what belongs to one order, oldest first by id:
/// - `load(tx, order, after, limit)`: the rows behind `after`, or a refusal; `order` is the order's
///   id and version;
/// - `id(row)`: of a row, as text;
/// - `add(response)`: the place for one more row.
template <class Call, class Load, class Id, class Add>
void list_of_order(Call* call, engine::Reader& reader, const PageTokens& tokens, std::string scope,
                   Load load, Id id, Add add) {
  const auto& request = call->request();
  std::optional<Uuid> after;
  if (!request.page_token().empty()) {
    const auto token = tokens.open(request.page_token(), scope);
    if (!token) return call->finish(errors::page_token_invalid());
    after = Uuid::from_bytes(token->id());
  }
  const auto order_id = Uuid::parse(request.order_id());
  if (!order_id) return call->finish(errors::order_not_found(request.order_id()));
  const auto list = [=, &request, &tokens, order_id = *order_id,
                     scope = std::move(scope)](storage::ReadTransaction& tx) {
    tx.snapshot();
    const auto versions = tx.versions({&order_id, 1});
    if (versions.empty()) return call->finish(errors::order_not_found(request.order_id()));
    const int size = page_size(request.page_size());
    auto rows = load(tx, versions.front(), after, size + 1);
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

}  // namespace orderd::rpc
