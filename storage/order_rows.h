#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "storage/session.h"
#include "storage/storage.h"

// Orders as rows, and rows as orders. What a row can't say by its values alone (whether a message
// field is set) is in its `present` bits, so that an order is read exactly as it was written.

namespace orderd::storage {

/// In a time column: the field is not set.
inline constexpr Micros kNoTime = INT64_MIN;

Micros to_micros(const google::protobuf::Timestamp& time);
google::protobuf::Timestamp to_timestamp(Micros micros);
/// `time`, or kNoTime if its field is not set.
Micros time_or_none(bool has, const google::protobuf::Timestamp& time);

/// A bit of a `present` column.
inline std::int64_t bit(bool set, std::int64_t value) { return set ? value : 0; }

void set_money(std::int64_t minor, const std::string& currency_code, pb::Money* money);

/// How an e-mail address is compared: ASCII letters in lower case.
std::string email_key(std::string_view email);

/// All but shipments and payments.
void insert_orders(Session& session, std::span<const StoredOrder* const> orders);
/// Version, update time, invoice number, note count; with `states` also state and cancellation.
void update_heads(Session& session, std::span<const StoredOrder* const> orders, bool states);
/// Customer, addresses and when they were erased.
void update_customers(Session& session, std::span<const StoredOrder* const> orders);
/// An order without amounts gets its currency from its first payment.
void update_currencies(Session& session, std::span<const StoredOrder* const> orders);
void update_labels(Session& session, std::span<const StoredOrder* const> orders);

/// Appends the columns that `read_head` reads, of the table alias `o`.
void append_head_columns(Sql& sql);
inline constexpr std::size_t kHeadColumns = 26;
std::shared_ptr<StoredOrder> read_head(Rows& row);

/// Reads the rows of these orders that a summary has: addresses and adjustments. The orders are
/// those of one statement.
void read_summary_children(Session& session, std::span<const std::shared_ptr<StoredOrder>> orders);
/// As above, and items, labels, payments and shipments.
void read_all_children(Session& session, std::span<const std::shared_ptr<StoredOrder>> orders);

}  // namespace orderd::storage
