#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <mutex>
#include <unordered_map>

#include "storage/model.h"

namespace orderd::engine {

/// The orders that were used last, bounded in bytes. It never answers whether an order is current:
/// the caller knows the version (from a lock, or from a read of `versions`) and asks for that one.
/// So it is correct however many servers write. Thread-safe.
class OrderCache {
 public:
  /// `max_bytes` 0 turns it off.
  explicit OrderCache(std::size_t max_bytes) : max_bytes_(max_bytes) {}

  /// The order at exactly this version, or null.
  OrderPtr find(const Uuid& id, std::int64_t version);
  /// Keeps the order unless a later version is held already.
  void put(OrderPtr order);

  /// For metrics and tests. The counters only rise.
  struct Counters {
    std::size_t bytes = 0;
    std::size_t orders = 0;
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    /// Removed to make room.
    std::uint64_t evictions = 0;
  };
  Counters counters() const;
  std::size_t bytes() const { return counters().bytes; }

 private:
  struct Entry {
    OrderPtr order;
    std::size_t bytes = 0;
  };
  struct Shard {
    mutable std::mutex mutex;
    std::list<Entry> lru;  // the latest first
    std::unordered_map<Uuid, std::list<Entry>::iterator> index;
    std::size_t bytes = 0;
    std::uint64_t hits = 0;
    std::uint64_t misses = 0;
    std::uint64_t evictions = 0;
  };
  static constexpr std::size_t kShards = 16;

  Shard& shard(const Uuid& id) { return shards_[id.bytes[15] % kShards]; }

  const std::size_t max_bytes_;
  std::array<Shard, kShards> shards_;
};

}  // namespace orderd::engine
