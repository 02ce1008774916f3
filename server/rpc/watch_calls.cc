#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/orders/watch.h"
#include "server/rpc/order_list.h"
#include "server/rpc/order_service.h"
#include "server/rpc/watch_stream.h"

// What has happened: to one order, and to all.

namespace orderd::rpc {
namespace {

internal::PageToken token_at(const std::string& scope, const storage::EventKey& key) {
  return make_token(scope, key.version, std::to_string(key.index));
}

std::optional<storage::EventKey> key_of(const internal::PageToken& token) {
  storage::EventKey key{token.sort_key(), 0};
  const std::string& text = token.id();
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), key.index);
  if (error != std::errc()) return std::nullopt;
  return key;
}

}  // namespace

grpc::ServerUnaryReactor* OrderService::ListOrderEvents(Context* context, const Bytes* in,
                                                        Bytes* out) {
  return run<pb::ListOrderEventsRequest, pb::ListOrderEventsResponse>(
      guard_, {"ListOrderEvents", Kind::kRead}, context, in, out, [this](auto* call) {
        const auto& request = call->request();
        pb::ListOrderEventsRequest scoped = request;
        scoped.clear_page_size();
        scoped.clear_page_token();
        std::string scope = page_scope("ListOrderEvents", scoped);
        std::optional<storage::EventKey> after;
        if (!request.page_token().empty()) {
          const auto token = tokens_.open(request.page_token(), scope);
          after = token ? key_of(*token) : std::nullopt;
          if (!after) return call->finish(errors::page_token_invalid());
        }
        const auto list = [this, call, after,
                           scope = std::move(scope)](storage::ReadTransaction& tx) {
          const auto& asked = call->request();
          const auto id = Uuid::parse(asked.order_id());
          tx.snapshot();
          if (!id || tx.versions({&*id, 1}).empty()) {
            return call->finish(errors::order_not_found(asked.order_id()));
          }
          const std::vector<int> types(asked.event_types().begin(), asked.event_types().end());
          const int size = page_size(asked.page_size());
          auto rows = tx.list_events(*id, after, types, size + 1);
          call->answer([&](pb::ListOrderEventsResponse& response) {
            std::vector<pb::OrderEvent> events;
            for (auto& row : rows) events.push_back(std::move(row.event));
            const std::size_t length = page_length(events, size);
            if (length < events.size()) {
              response.set_next_page_token(tokens_.seal(token_at(scope, rows[length - 1].key)));
            }
            for (std::size_t i = 0; i < length; ++i) *response.add_events() = std::move(events[i]);
            return absl::OkStatus();
          });
        };
        backend_.reader.run(call->abandoned(), list,
                            [call](absl::Status status) { call->finish(std::move(status)); });
      });
}

grpc::ServerWriteReactor<grpc::ByteBuffer>* OrderService::WatchOrders(Context* context,
                                                                      const Bytes* in) {
  return WatchStream::start(guard_, backend_, tokens_, *context, *in);
}

}  // namespace orderd::rpc
