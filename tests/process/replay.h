#pragma once

#include <map>
#include <string>

#include "orders/v1/watch.pb.h"

namespace orderd::test {

/// Orders made of nothing but what a watch says: a snapshot, and what changes made of it.
class Replay {
 public:
  /// A picture of an order that has not been seen.
  void show(const orders::v1::Order& order);
  /// Fails the test unless it is the next change of the order, or its first.
  void apply(const orders::v1::OrderChange& change);

  /// By id. Without update times, of which events do not tell.
  const std::map<std::string, orders::v1::Order>& orders() const { return orders_; }

 private:
  std::map<std::string, orders::v1::Order> orders_;
};

/// An order as reads show it, without what a Replay can't know: its update time, and what is made
/// of the settings.
orders::v1::Order replayable(orders::v1::Order order);

}  // namespace orderd::test
