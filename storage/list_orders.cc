#include <algorithm>
#include <utility>

#include "storage/multi_insert.h"
#include "storage/order_rows.h"
#include "storage/reads.h"

// A list page. One condition leads: a number of the order (at most one order), else a tracking
// number or the e-mail address (few orders, or else the next one leads), else the states if an
// index has them before the sort column, else none. The rows of each leading value are a stream
// that an index delivers in the order asked for; the page merges the streams. All other conditions
// are residual: they are looked at row by row. So that no page examines more than kScanBudget rows,
// a first statement finds the row where the page must stop.

namespace orderd::storage {
namespace {

/// More states than this are a residual condition.
constexpr int kMaxStreams = 100;

enum class Lead { kOrderNumber, kInvoiceNumber, kTrackingNumber, kEmail, kState, kNone };

Fixed sort_column(SortKey sort) {
  switch (sort) {
    case SortKey::kCreateTime:
      return "create_time";
    case SortKey::kUpdateTime:
      return "update_time";
    case SortKey::kOrderTime:
      return "order_time";
    case SortKey::kTotal:
      break;
  }
  return "total_minor";
}

const pb::TimeRange* sort_range(const ListQuery& query) {
  const pb::OrderFilter& filter = query.filter;
  switch (query.sort) {
    case SortKey::kCreateTime:
      return filter.has_create_time() ? &filter.create_time() : nullptr;
    case SortKey::kUpdateTime:
      return filter.has_update_time() ? &filter.update_time() : nullptr;
    case SortKey::kOrderTime:
      return filter.has_order_time() ? &filter.order_time() : nullptr;
    case SortKey::kTotal:
      break;
  }
  return nullptr;
}

class Lister {
 public:
  Lister(Session& session, const ListQuery& query, int budget)
      : session_(session), query_(query), budget_(budget), lead_(choose_lead(true)) {}

  ListPage run() {
    if (query_.by_state && query_.filter.state_ids_size() == 0) return {};
    if (lead_ == Lead::kTrackingNumber) choose_for_tracking_number();
    if (lead_ == Lead::kEmail && !email_carries_sort()) choose_for_email();
    if (lead_ == Lead::kNone && query_.sort == SortKey::kTotal) {
      throw Error(Error::Kind::kInternal, "a list by total needs a number or an e-mail address");
    }
    if (lead_ == Lead::kState) streams_ = query_.filter.state_ids_size();
    if (needs_horizon()) find_horizon();
    return read_page();
  }

 private:
  Lead choose_lead(bool by_tracking_number) const {
    const pb::OrderFilter& filter = query_.filter;
    if (!filter.order_number().empty()) return Lead::kOrderNumber;
    if (!filter.invoice_number().empty()) return Lead::kInvoiceNumber;
    if (by_tracking_number && !filter.tracking_number().empty()) return Lead::kTrackingNumber;
    if (!filter.customer_email().empty()) return Lead::kEmail;
    if (query_.by_state && filter.state_ids_size() <= kMaxStreams &&
        (query_.sort == SortKey::kCreateTime || query_.sort == SortKey::kUpdateTime)) {
      return Lead::kState;
    }
    return Lead::kNone;
  }

  bool email_carries_sort() const {
    return query_.sort == SortKey::kCreateTime || query_.sort == SortKey::kTotal;
  }

  /// No index has the tracking number before a column of orders. If it has few orders, as it
  /// should, they are sorted, else something else leads. If nothing else can, all of them are
  /// sorted.
  void choose_for_tracking_number() {
    Sql sql = session_.sql();
    sql << "SELECT COUNT(*) FROM (SELECT order_id FROM order_tracking_numbers";
    append_tracking_number(sql) << " LIMIT " << budget_ + 1 << ") AS few";
    sorted_ = has_few(sql);
    if (sorted_) return;
    const Lead other = choose_lead(false);
    if (other == Lead::kEmail || query_.sort != SortKey::kTotal) {
      lead_ = other;
    } else {
      sorted_ = true;
    }
  }

  /// No index has the e-mail address before this sort column. If the address has few orders they
  /// are sorted, else the sort leads.
  void choose_for_email() {
    Sql sql = session_.sql();
    sql << "SELECT COUNT(*) FROM (SELECT id FROM orders";
    sql.either(" INDEXED BY orders_by_email_create", " FORCE INDEX (orders_by_email_create)");
    sql << " WHERE email_key = ";
    append_email(sql) << " LIMIT " << budget_ + 1 << ") AS few";
    sorted_ = has_few(sql);
    if (!sorted_) lead_ = Lead::kNone;
  }

  bool has_few(const Sql& count) {
    Rows rows = session_.query(count, 1);
    return rows.next() && rows.number(0) <= budget_;
  }

  bool has_residual() const {
    const pb::OrderFilter& filter = query_.filter;
    const pb::TimeRange* carried = sort_range(query_);
    const auto time = [&](bool has, const pb::TimeRange& range) {
      return has && &range != carried;
    };
    return (query_.by_state && lead_ != Lead::kState) ||
           (!filter.customer_email().empty() && lead_ != Lead::kEmail) ||
           time(filter.has_order_time(), filter.order_time()) ||
           time(filter.has_create_time(), filter.create_time()) ||
           time(filter.has_update_time(), filter.update_time()) ||
           filter.payment_statuses_size() > 0 || filter.needs_attention() ||
           filter.has_authorization_expires_before() || filter.has_label() ||
           (!filter.tracking_number().empty() && lead_ != Lead::kTrackingNumber) ||
           !filter.shipment_method_id().empty() || filter.delivery_state_ids_size() > 0;
  }

  /// Whether the page could examine too many rows without one. Numbers and e-mail addresses with
  /// few orders can't.
  bool needs_horizon() const {
    if (sorted_ || lead_ == Lead::kOrderNumber || lead_ == Lead::kInvoiceNumber) return false;
    return has_residual() || streams_ * (query_.limit + 1) > budget_;
  }

  Sql& append_email(Sql& sql) {
    const std::string key = email_key(query_.filter.customer_email());
    return sql << Blob{key};
  }

  /// Index and condition behind `order_tracking_numbers`.
  Sql& append_tracking_number(Sql& sql) {
    sql.either(" INDEXED BY order_tracking_by_number", " FORCE INDEX (order_tracking_by_number)");
    return sql << " WHERE number = " << Blob{query_.filter.tracking_number()};
  }

  /// The orders, by the index that the leading condition starts with; up to WHERE.
  Sql& append_source(Sql& sql) {
    if (lead_ != Lead::kTrackingNumber) {
      sql << " FROM orders";
      return append_index(sql) << " WHERE ";
    }
    // The few orders lead the join.
    sql << " FROM (SELECT DISTINCT order_id FROM order_tracking_numbers";
    append_tracking_number(sql);
    sql.either(") AS found CROSS JOIN orders", ") AS found STRAIGHT_JOIN orders");
    return use_primary(sql) << " WHERE orders.id = found.order_id AND ";
  }

  Sql& append_index(Sql& sql) {
    const bool update = query_.sort == SortKey::kUpdateTime;
    switch (lead_) {
      case Lead::kOrderNumber:
      case Lead::kInvoiceNumber:
      case Lead::kTrackingNumber:
        return use_primary(sql);
      case Lead::kEmail:
        return query_.sort == SortKey::kTotal ? sql.either(" INDEXED BY orders_by_email_total",
                                                           " FORCE INDEX (orders_by_email_total)")
                                              : sql.either(" INDEXED BY orders_by_email_create",
                                                           " FORCE INDEX (orders_by_email_create)");
      case Lead::kState:
        return update ? sql.either(" INDEXED BY orders_by_state_update",
                                   " FORCE INDEX (orders_by_state_update)")
                      : sql.either(" INDEXED BY orders_by_state_create",
                                   " FORCE INDEX (orders_by_state_create)");
      case Lead::kNone:
        break;
    }
    if (update) {
      return sql.either(" INDEXED BY orders_by_update", " FORCE INDEX (orders_by_update)");
    }
    if (query_.sort == SortKey::kOrderTime) {
      return sql.either(" INDEXED BY orders_by_order_time", " FORCE INDEX (orders_by_order_time)");
    }
    return sql.either(" INDEXED BY orders_by_create", " FORCE INDEX (orders_by_create)");
  }

  /// The leading condition, of stream number `stream`; always followed by another with AND.
  void append_lead(Sql& sql, int stream) {
    const pb::OrderFilter& filter = query_.filter;
    switch (lead_) {
      case Lead::kOrderNumber:
        sql << "id = (SELECT order_id FROM order_numbers WHERE value = "
            << Blob{filter.order_number()} << ") AND ";
        // Both numbers are given: each is looked up.
        if (!filter.invoice_number().empty()) {
          sql << "invoice_number = " << Blob{filter.invoice_number()} << " AND ";
        }
        break;
      case Lead::kInvoiceNumber:
        sql << "id = (SELECT order_id FROM invoice_numbers WHERE value = "
            << Blob{filter.invoice_number()} << ") AND ";
        break;
      case Lead::kTrackingNumber:  // see append_source
        break;
      case Lead::kEmail:
        sql << "email_key = ";
        append_email(sql) << " AND ";
        break;
      case Lead::kState:
        sql << "state_id = " << Blob{filter.state_ids(stream)} << " AND ";
        break;
      case Lead::kNone:
        break;
    }
  }

  /// What of the sort column's range belongs to this page.
  void append_range(Sql& sql) {
    const Fixed column = sort_column(query_.sort);
    const pb::TimeRange* range = sort_range(query_);
    if (range != nullptr && range->has_start_time()) {
      sql << column << " >= " << to_micros(range->start_time()) << " AND ";
    }
    if (range != nullptr && range->has_end_time()) {
      sql << column << " < " << to_micros(range->end_time()) << " AND ";
    }
    if (query_.after) append_behind(sql, *query_.after, query_.ascending, false);
    if (horizon_) append_behind(sql, *horizon_, !query_.ascending, true);
  }

  /// Rows behind `row` in the direction. Written so that both databases start in the index at the
  /// first condition; a row constructor would make MySQL read from the start.
  void append_behind(Sql& sql, const ListQuery::Keyset& row, bool ascending, bool inclusive) {
    const Fixed column = sort_column(query_.sort);
    const Fixed beyond = ascending ? Fixed(" >") : Fixed(" <");
    sql << column << beyond << "= " << row.sort_key << " AND (" << column << beyond << " "
        << row.sort_key << " OR id" << beyond << (inclusive ? Fixed("= ") : Fixed(" ")) << row.id
        << ") AND ";
  }

  void append_residual(Sql& sql) {
    const pb::OrderFilter& filter = query_.filter;
    if (query_.by_state && lead_ != Lead::kState) {
      sql << "state_id IN (";
      bool first = true;
      for (const std::string& state_id : filter.state_ids()) {
        if (!first) sql << ",";
        first = false;
        sql << Blob{state_id};
      }
      sql << ") AND ";
    }
    if (!filter.customer_email().empty() && lead_ != Lead::kEmail) {
      sql << "email_key = ";
      append_email(sql) << " AND ";
    }
    const pb::TimeRange* carried = sort_range(query_);
    const auto time = [&](bool has, const pb::TimeRange& range, Fixed column) {
      if (!has || &range == carried) return;
      if (range.has_start_time()) {
        sql << column << " >= " << to_micros(range.start_time()) << " AND ";
      }
      if (range.has_end_time()) sql << column << " < " << to_micros(range.end_time()) << " AND ";
    };
    time(filter.has_order_time(), filter.order_time(), "order_time");
    time(filter.has_create_time(), filter.create_time(), "create_time");
    time(filter.has_update_time(), filter.update_time(), "update_time");
    append_payment_residual(sql);
    // Counted; see append_payment_residual.
    if (filter.has_label()) {
      sql << "(SELECT COUNT(*) FROM order_labels AS l";
      use_primary(sql) << " WHERE l.order_id = orders.id AND l.label_key = "
                       << Blob{filter.label().key()};
      if (filter.label().has_value()) sql << " AND l.value = " << Blob{filter.label().value()};
      sql << ") > 0 AND ";
    }
    append_shipment_residual(sql);
  }

  /// Counted, not EXISTS: that could become a join led by the other table.
  void append_payment_residual(Sql& sql) {
    const pb::OrderFilter& filter = query_.filter;
    const auto payments = [&]() -> Sql& {
      sql << "(SELECT COUNT(*) FROM order_payments AS p";
      return use_primary(sql) << " WHERE p.order_id = orders.id AND ";
    };
    if (filter.payment_statuses_size() > 0) {
      payments() << "p.status IN (";
      bool first = true;
      for (const int status : filter.payment_statuses()) {
        if (!first) sql << ",";
        first = false;
        sql << status;
      }
      sql << ")) > 0 AND ";
    }
    if (filter.needs_attention()) payments() << "p.attention = 1) > 0 AND ";
    if (filter.has_authorization_expires_before()) {
      payments() << "p.capturable_minor > 0 AND p.expire_time <> " << kNoTime
                 << " AND p.expire_time < " << to_micros(filter.authorization_expires_before())
                 << ") > 0 AND ";
    }
  }

  /// Each is one entry of an index, however many lines an order has; LIMIT keeps it from becoming a
  /// join.
  void append_shipment_residual(Sql& sql) {
    const pb::OrderFilter& filter = query_.filter;
    if (!filter.tracking_number().empty() && lead_ != Lead::kTrackingNumber) {
      sql << "(SELECT 1 FROM order_tracking_numbers";
      append_tracking_number(sql) << " AND order_id = orders.id LIMIT 1) = 1 AND ";
    }
    if (!filter.shipment_method_id().empty()) {
      sql << "(SELECT 1 FROM order_shipments";
      sql.either(" INDEXED BY order_shipments_by_method",
                 " FORCE INDEX (order_shipments_by_method)");
      sql << " WHERE method_id = " << Blob{filter.shipment_method_id()}
          << " AND order_id = orders.id LIMIT 1) = 1 AND ";
    }
    if (filter.delivery_state_ids_size() > 0) {
      sql << "(";
      bool first = true;
      for (const std::string& state_id : filter.delivery_state_ids()) {
        if (!first) sql << " OR ";
        first = false;
        sql << "(SELECT 1 FROM order_shipment_lines";
        sql.either(" INDEXED BY order_shipment_lines_by_state",
                   " FORCE INDEX (order_shipment_lines_by_state)");
        sql << " WHERE delivery_state_id = " << Blob{state_id}
            << " AND order_id = orders.id LIMIT 1) = 1";
      }
      sql << ") AND ";
    }
  }

  /// A SELECT of `id` and `k`, the sort key, over all streams; each gives `limit` rows from
  /// `offset`.
  Sql streams(bool residual, int limit, int offset) {
    const Fixed column = sort_column(query_.sort);
    const Fixed direction = query_.ascending ? Fixed(" ASC") : Fixed(" DESC");
    Sql sql = session_.sql();
    for (int stream = 0; stream < streams_; ++stream) {
      if (stream > 0) sql << " UNION ALL ";
      if (streams_ > 1) sql << "SELECT id, k FROM (";
      sql << "SELECT id, " << column << " AS k";
      append_source(sql);
      append_lead(sql, stream);
      append_range(sql);
      if (residual) append_residual(sql);
      sql << "1 = 1 ORDER BY " << column << direction << ", id" << direction << " LIMIT " << limit;
      if (offset > 0) sql << " OFFSET " << offset;
      if (streams_ > 1) sql << ") AS s" << stream;
    }
    if (streams_ > 1)
      sql << " ORDER BY k" << direction << ", id" << direction << " LIMIT " << limit;
    return sql;
  }

  /// The first of the rows at which a stream has used up its share of the budget.
  void find_horizon() {
    Rows rows = session_.query(streams(false, 1, std::max(budget_ / streams_, 1) - 1), 2);
    if (rows.next()) horizon_ = ListQuery::Keyset{rows.number(1), rows.id(0)};
  }

  ListPage read_page() {
    const int wanted = query_.limit + 1;
    Sql sql = session_.sql();
    sql << "SELECT ";
    append_head_columns(sql);
    sql << ", page.k FROM (";
    sql.append(streams(true, wanted, 0));
    // The page leads the join.
    sql.either(") AS page CROSS JOIN orders AS o",
               ") AS page STRAIGHT_JOIN orders AS o FORCE INDEX (PRIMARY)");
    sql.either(" WHERE o.id = page.id", " ON o.id = page.id");

    std::vector<std::pair<std::int64_t, std::shared_ptr<StoredOrder>>> found;
    {
      Rows rows = session_.query(sql, kHeadColumns + 1);
      while (rows.next()) {
        const std::int64_t key = rows.number(kHeadColumns);
        found.emplace_back(key, read_head(rows));
      }
    }
    std::ranges::sort(found, [&](const auto& a, const auto& b) {
      const auto left = std::tie(a.first, a.second->id);
      const auto right = std::tie(b.first, b.second->id);
      return query_.ascending ? left < right : right < left;
    });
    ListPage page;
    if (static_cast<int>(found.size()) == wanted) {
      found.pop_back();
      page.next = ListQuery::Keyset{found.back().first, found.back().second->id};
    } else {
      page.next = horizon_;
    }
    std::vector<std::shared_ptr<StoredOrder>> orders;
    for (auto& [key, order] : found) orders.push_back(std::move(order));
    in_chunks(std::span<const std::shared_ptr<StoredOrder>>(orders),
              [&](auto chunk) { read_summary_children(session_, chunk); });
    page.orders.assign(orders.begin(), orders.end());
    return page;
  }

  Session& session_;
  const ListQuery& query_;
  const int budget_;
  Lead lead_;
  int streams_ = 1;
  /// The leading condition gives few rows, which the database sorts.
  bool sorted_ = false;
  /// The last row that this page may examine.
  std::optional<ListQuery::Keyset> horizon_;
};

}  // namespace

ListPage read_order_page(Session& session, const ListQuery& query, int budget) {
  return Lister(session, query, budget).run();
}

}  // namespace orderd::storage
