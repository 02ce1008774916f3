#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "server/orders/fields.h"
#include "server/orders/text.h"
#include "server/rpc/order_list.h"
#include "server/rpc/order_service.h"
#include "server/rpc/rendering.h"

// The reads of orders and notes.

namespace orderd::rpc {
namespace {

storage::SortKey sort_key(pb::OrderSort sort) {
  switch (sort) {
    case pb::ORDER_SORT_UPDATE_TIME:
      return storage::SortKey::kUpdateTime;
    case pb::ORDER_SORT_ORDER_TIME:
      return storage::SortKey::kOrderTime;
    case pb::ORDER_SORT_TOTAL:
      return storage::SortKey::kTotal;
    default:
      return storage::SortKey::kCreateTime;
  }
}

storage::ListQuery::Keyset keyset(const StoredOrder& order, storage::SortKey sort) {
  switch (sort) {
    case storage::SortKey::kUpdateTime:
      return {rules::to_micros(order.order->update_time()), order.id};
    case storage::SortKey::kOrderTime:
      return {rules::to_micros(order.order->order_time()), order.id};
    case storage::SortKey::kTotal:
      return {order.order->totals().total().amount_minor(), order.id};
    case storage::SortKey::kCreateTime:
      break;
  }
  return {rules::to_micros(order.order->create_time()), order.id};
}

/// What a page token is bound to: the request as it matters to the sequence of orders.
std::string list_scope(const pb::ListOrdersRequest& request) {
  pb::ListOrdersRequest query = request;
  query.clear_page_size();
  query.clear_page_token();
  query.clear_view();
  if (query.sort() == pb::ORDER_SORT_UNSPECIFIED) query.set_sort(pb::ORDER_SORT_CREATE_TIME);
  if (query.direction() == pb::SORT_DIRECTION_UNSPECIFIED) {
    query.set_direction(pb::SORT_DIRECTION_DESCENDING);
  }
  return page_scope("ListOrders", query);
}

/// Orders that slipped into a state while it was deleted are still open, so deleted states count.
void resolve_open_only(pb::OrderFilter& filter, const Settings& settings) {
  std::vector<std::string> open;
  for (const auto& [id, state] : settings.states) {
    const bool asked = filter.state_ids().empty() ||
                       std::find(filter.state_ids().begin(), filter.state_ids().end(), id) !=
                           filter.state_ids().end();
    if (asked && state.category() == pb::STATE_CATEGORY_OPEN) open.push_back(id);
  }
  filter.clear_open_only();
  filter.clear_state_ids();
  for (std::string& id : open) filter.add_state_ids(std::move(id));
}

storage::ListQuery list_query(const pb::ListOrdersRequest& request, const Settings& settings) {
  storage::ListQuery query;
  query.filter = request.filter();
  query.filter.set_invoice_number(std::string(rules::trimmed(query.filter.invoice_number())));
  query.filter.set_order_number(std::string(rules::trimmed(query.filter.order_number())));
  query.filter.set_tracking_number(std::string(rules::trimmed(query.filter.tracking_number())));
  query.by_state = query.filter.open_only() || !query.filter.state_ids().empty();
  if (query.filter.open_only()) resolve_open_only(query.filter, settings);
  query.sort = sort_key(request.sort());
  query.ascending = request.direction() == pb::SORT_DIRECTION_ASCENDING;
  query.limit = page_size(request.page_size());
  return query;
}

/// Adds orders while they fit into a message; returns how many.
std::size_t add_page(pb::ListOrdersResponse& response, const std::vector<OrderPtr>& orders,
                     pb::OrderView view, const Settings& settings) {
  std::size_t bytes = 0;
  std::size_t added = 0;
  for (const OrderPtr& order : orders) {
    bytes +=
        add_order(*order, view, settings, pb::ListOrdersResponse::kOrdersFieldNumber, response);
    if (bytes > kPageBytes && added > 0) {
      auto* fields = response.GetReflection()->MutableUnknownFields(&response);
      fields->DeleteSubrange(fields->field_count() - 1, 1);
      break;
    }
    ++added;
  }
  return added;
}

}  // namespace

grpc::ServerUnaryReactor* OrderService::GetOrder(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::GetOrderRequest, pb::GetOrderResponse>(
      guard_, {"GetOrder", Kind::kRead}, context, in, out, [this](auto* call) {
        const auto id = Uuid::parse(call->request().order_id());
        if (!id) return call->finish(errors::order_not_found(call->request().order_id()));
        backend_.reader.get(
            {*id}, call->abandoned(), [this, call](absl::StatusOr<engine::Reader::Orders> orders) {
              call->answer([&](pb::GetOrderResponse& response) -> absl::Status {
                const auto& request = call->request();
                if (!orders.ok()) return orders.status();
                if (orders->front() == nullptr) {
                  return errors::order_not_found(request.order_id());
                }
                add_order(*orders->front(), request.view(), *backend_.settings.get(),
                          pb::GetOrderResponse::kOrderFieldNumber, response);
                return absl::OkStatus();
              });
            });
      });
}

grpc::ServerUnaryReactor* OrderService::BatchGetOrders(Context* context, const Bytes* in,
                                                       Bytes* out) {
  return run<pb::BatchGetOrdersRequest, pb::BatchGetOrdersResponse>(
      guard_, {"BatchGetOrders", Kind::kRead}, context, in, out, [this](auto* call) {
        std::vector<Uuid> ids;
        // An id of another form names no order, and neither does the nil id.
        for (const auto& id : call->request().order_ids()) {
          ids.push_back(Uuid::parse(id).value_or(Uuid{}));
        }
        backend_.reader.get(std::move(ids), call->abandoned(),
                            [this, call](absl::StatusOr<engine::Reader::Orders> orders) {
                              call->answer([&](pb::BatchGetOrdersResponse& response) {
                                if (!orders.ok()) return orders.status();
                                const auto& request = call->request();
                                const SettingsPtr settings = backend_.settings.get();
                                for (int i = 0; i < request.order_ids_size(); ++i) {
                                  const OrderPtr& order = (*orders)[static_cast<std::size_t>(i)];
                                  if (order == nullptr) {
                                    response.add_missing_order_ids(request.order_ids(i));
                                  } else {
                                    add_order(*order, request.view(), *settings,
                                              pb::BatchGetOrdersResponse::kOrdersFieldNumber,
                                              response);
                                  }
                                }
                                return absl::OkStatus();
                              });
                            });
      });
}

grpc::ServerUnaryReactor* OrderService::ListOrders(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::ListOrdersRequest, pb::ListOrdersResponse>(
      guard_, {"ListOrders", Kind::kRead}, context, in, out, [this](auto* call) {
        const auto& request = call->request();
        const SettingsPtr settings = backend_.settings.get();
        std::string scope = list_scope(request);
        storage::ListQuery query = list_query(request, *settings);
        if (!request.page_token().empty()) {
          const auto token = tokens_.open(request.page_token(), scope);
          if (!token) return call->finish(errors::page_token_invalid());
          query.after = {token->sort_key(), Uuid::from_bytes(token->id())};
        }
        const bool whole = request.view() == pb::ORDER_VIEW_FULL;
        const auto answer = [this, call, settings, whole, sort = query.sort,
                             scope = std::move(scope)](absl::StatusOr<engine::Reader::Page> page) {
          call->answer([&](pb::ListOrdersResponse& response) {
            if (!page.ok()) return page.status();
            const auto& orders = (*page)->orders;
            const std::size_t added = add_page(
                response, orders, whole ? pb::ORDER_VIEW_FULL : pb::ORDER_VIEW_SUMMARY, *settings);
            auto next = (*page)->next;
            if (added < orders.size()) next = keyset(*orders[added - 1], sort);
            if (next) {
              response.set_next_page_token(
                  tokens_.seal(make_token(scope, next->sort_key, next->id.raw())));
            }
            return absl::OkStatus();
          });
        };
        backend_.reader.list(query, whole, call->abandoned(), answer);
      });
}

grpc::ServerUnaryReactor* OrderService::ListNotes(Context* context, const Bytes* in, Bytes* out) {
  return run<pb::ListNotesRequest, pb::ListNotesResponse>(
      guard_, {"ListNotes", Kind::kRead}, context, in, out, [this](auto* call) {
        pb::ListNotesRequest scoped;
        scoped.set_order_id(call->request().order_id());
        list_of_order(
            call, backend_.reader, tokens_, page_scope("ListNotes", scoped),
            [](storage::ReadTransaction& tx, const storage::OrderVersion& order,
               const std::optional<Uuid>& after,
               int limit) -> absl::StatusOr<std::vector<pb::Note>> {
              return tx.list_notes(order.id, after, limit);
            },
            [](const pb::Note& note) { return note.note_id(); },
            [](pb::ListNotesResponse & response) -> auto& { return *response.add_notes(); });
      });
}

}  // namespace orderd::rpc
