#include "server/engine/order_cache.h"

#include <utility>

namespace orderd::engine {
namespace {

// A parsed message takes about eight times its wire size in memory (asking protobuf for the exact
// figure walks every string), and with it may be kept as it is sent.
constexpr std::size_t kBlowUp = 9;

std::size_t size_of(const StoredOrder& order) {
  return sizeof(StoredOrder) + order.order->ByteSizeLong() * kBlowUp;
}

}  // namespace

OrderPtr OrderCache::find(const Uuid& id, std::int64_t version) {
  Shard& own = shard(id);
  std::lock_guard lock(own.mutex);
  auto it = own.index.find(id);
  if (it == own.index.end() || it->second->order->version != version) {
    ++own.misses;
    return nullptr;
  }
  ++own.hits;
  own.lru.splice(own.lru.begin(), own.lru, it->second);
  return it->second->order;
}

void OrderCache::put(OrderPtr order) {
  const std::size_t bytes = size_of(*order);
  const std::size_t limit = max_bytes_ / kShards;
  if (bytes > limit) return;
  Shard& own = shard(order->id);
  std::lock_guard lock(own.mutex);
  auto it = own.index.find(order->id);
  if (it != own.index.end()) {
    if (it->second->order->version >= order->version) return;
    own.bytes -= it->second->bytes;
    own.lru.erase(it->second);
    own.index.erase(it);
  }
  own.bytes += bytes;
  const Uuid id = order->id;
  own.lru.push_front({std::move(order), bytes});
  own.index.emplace(id, own.lru.begin());
  while (own.bytes > limit) {
    const Entry& oldest = own.lru.back();
    own.bytes -= oldest.bytes;
    own.index.erase(oldest.order->id);
    own.lru.pop_back();
    ++own.evictions;
  }
}

OrderCache::Counters OrderCache::counters() const {
  Counters sum;
  for (const Shard& each : shards_) {
    std::lock_guard lock(each.mutex);
    sum.bytes += each.bytes;
    sum.orders += each.index.size();
    sum.hits += each.hits;
    sum.misses += each.misses;
    sum.evictions += each.evictions;
  }
  return sum;
}

}  // namespace orderd::engine
