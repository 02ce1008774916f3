#include "server/watch/filter.h"

#include <algorithm>
#include <utility>

namespace orderd::watch {

Filter::Filter(const orders::v1::WatchFilter& filter)
    : states_(filter.state_ids().begin(), filter.state_ids().end()),
      types_(filter.event_types().begin(), filter.event_types().end()),
      labels_(filter.labels().begin(), filter.labels().end()) {
  if (filter.order_ids().empty()) return;
  orders_.emplace();
  for (const std::string& id : filter.order_ids()) {
    // Any other text is the id of no order.
    if (const auto order = Uuid::parse(id)) orders_->push_back(*order);
  }
  std::sort(orders_->begin(), orders_->end());
  orders_->erase(std::unique(orders_->begin(), orders_->end()), orders_->end());
}

bool Filter::wants_order(const Uuid& order_id) const {
  return !orders_ || std::binary_search(orders_->begin(), orders_->end(), order_id);
}

bool Filter::matches(const Uuid& order_id, std::string_view state_id,
                     const google::protobuf::Map<std::string, std::string>& labels) const {
  return wants_order(order_id) && wants_state(state_id) &&
         std::all_of(labels_.begin(), labels_.end(), [&](const auto& l) {
           const auto it = labels.find(l.first);
           return it != labels.end() && it->second == l.second;
         });
}

const std::string* Filter::pick(const Change& change, std::string& rewritten) const {
  bool left = false;
  if (change.facts_known) {
    const auto& facts = change.facts;
    const bool after = matches(change.order_id, facts.state_id(), facts.labels());
    bool before = after && !facts.created();
    if (facts.has_before()) {
      before = matches(change.order_id, facts.before().state_id(), facts.before().labels());
    }
    if (!before && !after) return nullptr;
    left = !after;
  } else if (!wants_order(change.order_id)) {
    return nullptr;
  }
  if (types_.empty() && !left) return &change.whole;
  std::vector<const std::string*> events;
  for (const auto& event : change.events) {
    if (types_.empty() || types_.contains(event.type)) events.push_back(&event.event);
  }
  if (events.empty() && !types_.empty()) return nullptr;
  rewritten = order_change(change.order_id, change.version, events, left);
  return &rewritten;
}

}  // namespace orderd::watch
