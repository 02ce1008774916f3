#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/map.h>

#include "orders/v1/watch.pb.h"
#include "server/watch/change.h"

namespace orderd::watch {

/// What a watcher wants to hear of. Immutable.
class Filter {
 public:
  /// Of a valid filter.
  explicit Filter(const orders::v1::WatchFilter& filter);

  /// Whether it wants the order: by id, state and labels.
  bool matches(const Uuid& order_id, std::string_view state_id,
               const google::protobuf::Map<std::string, std::string>& labels) const;
  bool wants_state(std::string_view state_id) const {
    return states_.empty() || states_.contains(state_id);
  }
  /// The orders that it is limited to, sorted; null: it is not.
  const std::vector<Uuid>* orders() const { return orders_ ? &*orders_ : nullptr; }

  /// What is to be delivered of the change, a serialized OrderChange: `change.whole`, or, where
  /// that says too much, `rewritten`. Null if the order matched neither before nor after it, or if
  /// it has no event of the types that are wanted.
  const std::string* pick(const Change& change, std::string& rewritten) const;

 private:
  bool wants_order(const Uuid& order_id) const;

  std::set<std::string, std::less<>> states_;
  std::set<int> types_;
  std::optional<std::vector<Uuid>> orders_;
  std::vector<std::pair<std::string, std::string>> labels_;
};

}  // namespace orderd::watch
