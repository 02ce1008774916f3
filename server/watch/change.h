#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "orders/internal/v1/internal.pb.h"
#include "storage/storage.h"

namespace orderd::watch {

/// One change as watchers see it, made once for all of them.
struct Change {
  explicit Change(storage::FeedChange change);

  std::int64_t position;
  Uuid order_id;
  std::int64_t version;
  orders::internal::v1::ChangeFacts facts;
  /// False if an older server wrote the change: then it matches any state and any labels.
  bool facts_known;
  std::vector<storage::FeedChange::Event> events;
  /// A serialized OrderChange with all events that has not left anything.
  std::string whole;
  /// About what all of this takes.
  std::size_t bytes;
};
using ChangePtr = std::shared_ptr<const Change>;

/// A serialized OrderChange of an order, from serialized events.
std::string order_change(const Uuid& order_id, std::int64_t version,
                         const std::vector<const std::string*>& events, bool left_filter);

}  // namespace orderd::watch
