#pragma once

#include <deque>
#include <functional>
#include <optional>
#include <set>

#include "orders/v1/watch.pb.h"
#include "tests/rpc/rpc_fixture.h"

namespace orderd::test {

/// One WatchOrders call, read message by message.
class Watch {
 public:
  Watch(Orders& stub, const pb::WatchOrdersRequest& request) {
    context_.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    reader_ = stub.WatchOrders(&context_, request);
  }
  ~Watch() {
    if (reader_ == nullptr) return;
    context_.TryCancel();
    for (pb::WatchOrdersResponse rest; reader_->Read(&rest);) {
    }
    reader_->Finish();
  }

  /// The next message; nothing at the end.
  std::optional<pb::WatchOrdersResponse> next() {
    pb::WatchOrdersResponse message;
    if (!reader_->Read(&message)) return std::nullopt;
    token_ = message.resume_token();
    return message;
  }
  /// The next `count` changes, over as many messages as it takes.
  std::vector<pb::OrderChange> changes(std::size_t count) {
    while (changes_.size() < count) {
      const auto message = next();
      if (!message) {
        ADD_FAILURE() << "the stream ended";
        break;
      }
      changes_.insert(changes_.end(), message->changes().begin(), message->changes().end());
    }
    const auto end =
        changes_.begin() + static_cast<std::ptrdiff_t>(std::min(count, changes_.size()));
    std::vector<pb::OrderChange> taken(changes_.begin(), end);
    changes_.erase(changes_.begin(), end);
    return taken;
  }
  /// Orders of the snapshot up to its end; what comes between counts as changes.
  std::vector<pb::Order> snapshot() {
    std::vector<pb::Order> orders;
    while (const auto message = next()) {
      changes_.insert(changes_.end(), message->changes().begin(), message->changes().end());
      orders.insert(orders.end(), message->snapshot_orders().begin(),
                    message->snapshot_orders().end());
      if (message->snapshot_complete()) return orders;
    }
    ADD_FAILURE() << "the stream ended";
    return orders;
  }
  /// Of the last message.
  const std::string& token() const { return token_; }
  std::size_t unread() const { return changes_.size(); }

  Failure end() {
    for (pb::WatchOrdersResponse rest; reader_->Read(&rest);) token_ = rest.resume_token();
    const grpc::Status status = reader_->Finish();
    reader_.reset();
    return failure_of(status);
  }
  void cancel() { context_.TryCancel(); }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<pb::WatchOrdersResponse>> reader_;
  std::deque<pb::OrderChange> changes_;
  std::string token_;
};

inline pb::WatchOrdersRequest from(const std::string& token) {
  pb::WatchOrdersRequest request;
  request.set_resume_token(token);
  return request;
}
inline pb::WatchOrdersRequest snapshot_request() {
  pb::WatchOrdersRequest request;
  request.set_from_snapshot(true);
  return request;
}

inline std::vector<std::string> etags(const std::vector<pb::OrderChange>& changes) {
  std::vector<std::string> etags;
  for (const auto& change : changes) etags.push_back(change.etag());
  return etags;
}

class WatchTest : public RpcTest {
 protected:
  /// A watch that has begun: what is done from here on it hears of.
  std::unique_ptr<Watch> watch(const pb::WatchOrdersRequest& request = {}) {
    auto watch = std::make_unique<Watch>(*orders_, request);
    EXPECT_TRUE(watch->next());
    return watch;
  }
  void set_invoice(const std::string& order_id, const std::string& number) {
    pb::UpdateInvoiceRequest request;
    request.set_order_id(order_id);
    request.set_invoice_number(number);
    call(&Orders::UpdateInvoice, request);
  }
  void add_note(const std::string& order_id) {
    pb::AddNoteRequest request;
    request.set_order_id(order_id);
    request.set_body("a note");
    request.set_visibility(pb::NOTE_VISIBILITY_INTERNAL);
    call(&Orders::AddNote, request);
  }
  Failure refused(const pb::WatchOrdersRequest& request) { return Watch(*orders_, request).end(); }
  storage::Storage& storage() { return *storage_; }
};

}  // namespace orderd::test
