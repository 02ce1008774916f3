#pragma once

#include <memory>
#include <utility>

#include "orders/v1/order.pb.h"

namespace orderd {

/// An order, or none, in memory of its own. It is copied with each change, and an order is a
/// hundred small messages and strings: as pieces of the heap, made by one thread and freed by
/// another, they take three times as long.
///
/// Like a message: one that is not there is empty when it is read, and there when it is written to.
/// Whether it is const is whether it can be changed.
class OrderBox {
 public:
  OrderBox() = default;
  OrderBox(OrderBox&& other) noexcept
      : body_(std::move(other.body_)), order_(std::exchange(other.order_, nullptr)) {}
  OrderBox& operator=(OrderBox&& other) noexcept {
    body_ = std::move(other.body_);
    order_ = std::exchange(other.order_, nullptr);
    return *this;
  }
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
  orders::v1::Order& emplace();
  orders::v1::Order& emplace(const orders::v1::Order& order);
  void reset() {
    body_.reset();
    order_ = nullptr;
  }

  bool has_value() const { return order_ != nullptr; }
  explicit operator bool() const { return has_value(); }

  const orders::v1::Order& operator*() const {
    return order_ ? *order_ : orders::v1::Order::default_instance();
  }
  orders::v1::Order& operator*() { return order_ ? *order_ : emplace(); }
  const orders::v1::Order* operator->() const { return &**this; }
  orders::v1::Order* operator->() { return &**this; }
  operator const orders::v1::Order&() const { return **this; }
  operator orders::v1::Order&() { return **this; }

 private:
  struct Body;
  struct Free {
    void operator()(Body* body) const;
  };
  std::unique_ptr<Body, Free> body_;
  /// In the body; null without one.
  orders::v1::Order* order_ = nullptr;
};

}  // namespace orderd
