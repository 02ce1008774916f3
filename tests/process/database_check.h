#pragma once

#include <cstdint>
#include <string>

namespace orderd::test {

/// Looks into the tables, behind the servers' backs, at what no RPC shows yet:
/// - feed positions run from 1 without a gap up to the head, and each version of each order is in
///   the feed once, in the order of versions;
/// - each version of each order has its events, and no event is there without its version;
/// - update times do not fall from one position to the next, among the orders as they are now;
/// - the claims are those of the orders, and the number of notes is what the order says.
/// Returns the last position.
std::int64_t check_database(const std::string& url);

/// Orders in states that are deleted.
std::int64_t orders_in_deleted_states(const std::string& url);

}  // namespace orderd::test
