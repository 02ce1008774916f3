#include "storage/payment_schedule.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "storage/multi_insert.h"
#include "storage/reads.h"

namespace orderd::storage {
namespace {

/// In `next_check` and `unresolved_since`: absent. Behind all times, so that a range up to any time
/// leaves it out.
constexpr Micros kNever = INT64_MAX;

struct Key {
  Uuid order_id;
  std::string_view payment_id;

  auto operator<=>(const Key&) const = default;
};

/// A condition on the primary key, of rows that have `order_id` and `payment_id`.
template <typename Row>
Sql& append_payments(Sql& sql, std::span<const Row> rows) {
  return append_keys(sql, rows, "order_id", "payment_id", &Row::payment_id);
}

struct Due {
  Micros next_check = 0;
  DueCheck check;
};

}  // namespace

void write_schedule(Session& session, std::span<const ScheduleRow> rows) {
  constexpr Fixed kInsert =
      "INSERT INTO payment_schedule (order_id, payment_id, gateway_account, next_check, tries,"
      " unresolved_since) VALUES";
  std::vector<Key> removed;
  MultiInsert insert(session, kInsert, [](Sql& sql) {
    sql.overwrite("order_id, payment_id",
                  {"gateway_account", "next_check", "tries", "unresolved_since"});
  });
  MultiInsert insert_keeping(session, kInsert, [](Sql& sql) {
    sql.overwrite("order_id, payment_id", {"gateway_account", "next_check", "tries"});
    sql.either(",unresolved_since=MIN(unresolved_since,excluded.unresolved_since)",
               ",unresolved_since=LEAST(unresolved_since,VALUES(unresolved_since))");
  });
  for (const ScheduleRow& row : rows) {
    const PaymentSchedule& schedule = row.schedule;
    if (!schedule.next_check && !schedule.unresolved_since) {
      removed.push_back({row.order_id, schedule.payment_id});
    } else {
      (schedule.keeps_since ? insert_keeping : insert)
          .row(row.order_id, Blob{schedule.payment_id}, Blob{row.gateway_account},
               schedule.next_check.value_or(kNever), 0, schedule.unresolved_since.value_or(kNever));
    }
  }
  insert.flush();
  insert_keeping.flush();
  in_chunks(std::span<const Key>(removed), [&](std::span<const Key> chunk) {
    Sql sql = session.sql();
    append_delete(sql, "payment_schedule") << " WHERE ";
    session.execute(append_payments(sql, chunk));
  });
}

std::vector<DueCheck> claim_due(Session& session, std::span<const std::string> accounts, Micros now,
                                Micros lease_until, int limit) {
  // One statement per account: the index gives its oldest, whatever waits for other accounts.
  std::vector<Due> due;
  for (const std::string& account : accounts) {
    Sql sql = session.sql();
    sql << "SELECT order_id, payment_id, tries, next_check FROM payment_schedule";
    sql.either(" INDEXED BY payment_schedule_due", " FORCE INDEX (payment_schedule_due)");
    sql << " WHERE gateway_account = " << Blob{account} << " AND next_check <= " << now
        << " ORDER BY gateway_account, next_check LIMIT " << limit;
    // What another server is claiming or scheduling at this moment is not for this one.
    sql.either("", " FOR UPDATE SKIP LOCKED");
    Rows rows = session.query(sql, 4);
    while (rows.next()) {
      DueCheck check{rows.id(0), std::move(rows.text(1)), account,
                     static_cast<int>(rows.number(2)) + 1};
      due.push_back({rows.number(3), std::move(check)});
    }
  }
  std::ranges::stable_sort(due, {}, &Due::next_check);
  std::vector<DueCheck> claimed;
  for (Due& row : due) {
    if (claimed.size() == static_cast<std::size_t>(limit)) break;
    claimed.push_back(std::move(row.check));
  }
  in_chunks(std::span<const DueCheck>(claimed), [&](std::span<const DueCheck> chunk) {
    Sql sql = session.sql();
    sql << "UPDATE payment_schedule";
    use_primary(sql) << " SET next_check = " << lease_until << ", tries = tries + 1 WHERE ";
    session.execute(append_payments(sql, chunk));
  });
  return claimed;
}

void postpone(Session& session, std::span<const Postponement> postponements) {
  in_chunks(postponements, [&](std::span<const Postponement> chunk) {
    std::map<Key, const Postponement*> by_key;
    for (const Postponement& postponement : chunk) {
      by_key[{postponement.order_id, postponement.payment_id}] = &postponement;
    }
    std::vector<std::pair<const Postponement*, std::int64_t>> valid;  // and its tries
    {
      Sql sql = session.sql();
      sql << "SELECT order_id, payment_id, next_check, tries FROM payment_schedule";
      use_primary(sql) << " WHERE ";
      // A row that is locked is being scheduled anew. Should that come to nothing, the payment is
      // due when the claim ends.
      append_payments(sql, chunk).either("", " FOR UPDATE SKIP LOCKED");
      Rows rows = session.query(sql, 4);
      while (rows.next()) {
        const auto it = by_key.find({rows.id(0), rows.text(1)});
        if (it != by_key.end() && it->second->lease_until == rows.number(2)) {
          valid.push_back({it->second, rows.number(3) - (it->second->asked ? 0 : 1)});
        }
      }
    }
    // The rows exist and are locked: an upsert can only overwrite.
    MultiInsert update(session,
                       "INSERT INTO payment_schedule (order_id, payment_id, next_check, tries)"
                       " VALUES",
                       [](Sql& sql) {
                         sql.overwrite("order_id, payment_id", {"next_check", "tries"});
                       });
    for (const auto& [postponement, tries] : valid) {
      update.row(postponement->order_id, Blob{postponement->payment_id}, postponement->next_check,
                 tries);
    }
    update.flush();
  });
}

std::vector<UnresolvedRow> read_unresolved_page(Session& session, std::string_view gateway_account,
                                                const std::optional<UnresolvedRow::Keyset>& after,
                                                int limit) {
  Sql sql = session.sql();
  sql << "SELECT unresolved_since, order_id, payment_id, next_check FROM payment_schedule";
  if (gateway_account.empty()) {
    sql.either(" INDEXED BY payment_schedule_unresolved",
               " FORCE INDEX (payment_schedule_unresolved)")
        << " WHERE ";
  } else {
    sql.either(" INDEXED BY payment_schedule_unresolved_by_account",
               " FORCE INDEX (payment_schedule_unresolved_by_account)")
        << " WHERE gateway_account = " << Blob{gateway_account} << " AND ";
  }
  sql << "unresolved_since < " << kNever;
  if (after) {
    // The first condition says where in the index to start; see list_orders.cc.
    sql << " AND unresolved_since >= " << after->since << " AND (unresolved_since > "
        << after->since << " OR order_id > " << after->order_id
        << " OR (order_id = " << after->order_id << " AND payment_id > " << Blob{after->payment_id}
        << "))";
  }
  sql << " ORDER BY ";
  if (!gateway_account.empty()) sql << "gateway_account, ";
  sql << "unresolved_since, order_id, payment_id LIMIT " << limit;
  std::vector<UnresolvedRow> result;
  Rows rows = session.query(sql, 4);
  while (rows.next()) {
    const Micros next_check = rows.number(3);
    result.push_back(
        {.key = {rows.number(0), rows.id(1), std::move(rows.text(2))},
         .next_check = next_check == kNever ? std::nullopt : std::optional<Micros>(next_check)});
  }
  return result;
}

Backlog read_unresolved_backlog(Session& session, std::string_view gateway_account, int most) {
  Sql sql = session.sql();
  sql << "SELECT COUNT(*), COALESCE(MIN(unresolved_since), " << kNever
      << ") FROM (SELECT unresolved_since FROM payment_schedule";
  sql.either(" INDEXED BY payment_schedule_unresolved_by_account",
             " FORCE INDEX (payment_schedule_unresolved_by_account)")
      << " WHERE gateway_account = " << Blob{gateway_account} << " AND unresolved_since < "
      << kNever << " ORDER BY gateway_account, unresolved_since LIMIT " << most << ") page";
  Rows rows = session.query(sql, 2);
  Backlog backlog;
  if (!rows.next()) return backlog;
  backlog.count = rows.number(0);
  if (backlog.count > 0) backlog.oldest = rows.number(1);
  return backlog;
}

}  // namespace orderd::storage
