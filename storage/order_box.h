#pragma once

#include <google/protobuf/arena.h>

#include <memory>

#include "orders/v1/order.pb.h"

namespace orderd {

/// An order, or none, in memory of its own. It is copied with each change, and an order is a hundred
/// small messages and strings: as pieces of the heap, made by one thread and freed by another, they
/// take three times as long.
///
/// Like a message: one that is not there is empty when it is read, and there when it is written to.
/// Whether it is const is whether it can be changed.
class OrderBox {
 public:
  OrderBox() = default;
  OrderBox(OrderBox&&) noexcept = default;
  OrderBox& operator=(OrderBox&&) noexcept = default;
  OrderBox(const OrderBox& other) { *this = other; }
  OrderBox& operator=(const OrderBox& other) {
    if (this == &other) return *this;
    if (other.has_value()) {
      emplace(*other);
    } else {
      reset();
    }
    return *this;
  }
  OrderBox(const orders::v1::Order& order) { emplace(order); }
  ~OrderBox() = default;

  /// A new order, or a copy. References to the one before are void.
  orders::v1::Order& emplace() {
    body_ = std::make_unique<Body>();
    return *body_->order;
  }
  orders::v1::Order& emplace(const orders::v1::Order& order) {
    auto body = std::make_unique<Body>();
    body->order->MergeFrom(order);
    body_ = std::move(body);
    return *body_->order;
  }
  void reset() { body_.reset(); }

  bool has_value() const { return body_ != nullptr; }
  explicit operator bool() const { return has_value(); }

  const orders::v1::Order& operator*() const {
    return body_ ? *body_->order : orders::v1::Order::default_instance();
  }
  orders::v1::Order& operator*() { return body_ ? *body_->order : emplace(); }
  const orders::v1::Order* operator->() const { return &**this; }
  orders::v1::Order* operator->() { return &**this; }
  operator const orders::v1::Order&() const { return **this; }
  operator orders::v1::Order&() { return **this; }

 private:
  struct Body {
    static google::protobuf::ArenaOptions options() {
      google::protobuf::ArenaOptions options;
      options.start_block_size = 4096;  // the order of a small shop
      options.max_block_size = 65'536;
      return options;
    }
    google::protobuf::Arena arena{options()};
    orders::v1::Order* const order =
        google::protobuf::Arena::CreateMessage<orders::v1::Order>(&arena);
  };
  std::unique_ptr<Body> body_;
};

}  // namespace orderd
