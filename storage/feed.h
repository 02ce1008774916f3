#pragma once

#include "storage/session.h"
#include "storage/storage.h"

// The history of an order, and the feed: all changes in the order of their commits.

namespace orderd::storage {

void insert_events(Session& session, std::span<const EventRow> events);
void insert_feed(Session& session, std::int64_t first, std::span<const FeedRow> rows);

std::vector<HistoryRow> read_history(Session& session, const Uuid& order_id,
                                     const std::optional<EventKey>& after,
                                     std::span<const int> types, int limit);

std::int64_t read_feed_position(Session& session);
std::vector<FeedChange> read_changes(Session& session, std::int64_t after, int limit);
std::int64_t read_feed_floor(Session& session, Micros before);
std::vector<ScannedOrder> scan_orders(Session& session, const Uuid& after, int limit);

/// See `Storage::make_durable`.
void flush_log(Session& session);
/// See `Storage::trim_feed`.
bool trim_feed(Session& session, Micros now, Micros before, Micros mark_interval);

}  // namespace orderd::storage
