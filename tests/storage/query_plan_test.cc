#include <regex>

#include "storage/session.h"
#include "tests/support/storage_test.h"

// Every statement of every filter, of every pair of filters and of the reads, is explained by the
// database itself: no table of orders may be read from end to end, and no page may be sorted that
// an index could deliver in order.

namespace orderd::test {
namespace {

using storage::ListQuery;
using storage::Session;
using storage::SortKey;
using storage::Sql;

/// What an ORDER BY may be done by: a page of several states is merged.
struct Allowed {
  bool sorting = false;
};

class QueryPlanTest : public StorageTest {
 protected:
  void SetUp() override {
    // Enough rows that the databases have a choice.
    std::vector<StoredOrder> orders;
    for (int i = 0; i < 2000; ++i) {
      StoredOrder order = plain_order(i);
      order.order->set_state_id(i % 3 == 0 ? "new" : i % 3 == 1 ? "fraud" : "completed");
      order.order->mutable_customer()->set_email("c" + std::to_string(i % 100) + "@x.de");
      order.order->set_invoice_number("I" + std::to_string(i));
      order.order->add_items()->set_item_id("1");
      (*order.order->mutable_labels())["a"] = "b";
      order.order->add_payments()->set_gateway_reference(std::to_string(i));
      order.order->mutable_payments(0)->set_status(pb::PAYMENT_STATUS_CAPTURED);
      order.order->mutable_billing_address();
      pb::Shipment& shipment = *order.order->add_shipments();
      shipment.set_shipment_id(Uuid::generate().to_string());
      shipment.set_method_id(i % 2 == 0 ? "standard" : "express");
      shipment.add_tracking_numbers()->set_number("T" + std::to_string(i / 2));
      pb::ShipmentLine& line = *shipment.add_lines();
      line.set_line_id(Uuid::generate().to_string());
      line.set_item_id("1");
      line.set_delivery_state_id(i % 5 == 0 ? "pending" : "shipped");
      ids_.push_back(order.id);
      orders.push_back(std::move(order));
    }
    create(orders);
    storage::ChangeSet changes;
    for (const StoredOrder& order : orders) {
      for (const char* payment_id : {"1", "2"}) {
        pb::PaymentTransaction transaction;
        transaction.set_transaction_id(Uuid::generate().to_string());
        transaction.set_payment_id(payment_id);
        changes.transactions_created.push_back({order.id, transaction});
        changes.schedule.push_back({order.id, payment_id, {payment_id, 1000, 2000}});
      }
      pb::Email email;
      email.set_email_id(order.id.to_string());
      email.set_status(static_cast<pb::EmailStatus>(1 + changes.emails_created.size() % 3));
      *email.mutable_next_time() = storage::to_timestamp(1000);
      changes.emails_created.push_back({order.id, email, "snapshot"});
    }
    save(changes);
    if (backend() == Backend::kMariadb) {
      for (const char* table :
           {"orders", "order_shipments", "order_shipment_lines", "order_tracking_numbers",
            "payment_transactions", "payment_schedule", "order_emails"}) {
        MariadbServer::get().execute("ANALYZE TABLE " + database_.name() + "." + table);
      }
    }
    take_statements();
  }

  /// Explains the statements since the last call.
  void check(const std::string& what, Allowed allowed) {
    Session session(storage::parse_url(url()), nullptr);
    for (const std::string& statement : take_statements()) {
      if (statement == "SELECT 1") continue;
      if (!statement.starts_with("SELECT") && !statement.starts_with("UPDATE")) continue;
      SCOPED_TRACE(what + "\n" + statement);
      if (backend() == Backend::kSqlite) {
        check_sqlite(session, statement, allowed);
      } else {
        check_mariadb(session, statement, allowed);
      }
    }
  }

  std::vector<Uuid> ids_;

 private:
  static void check_sqlite(Session& session, const std::string& statement, Allowed allowed) {
    const auto plan = explain(session, "EXPLAIN QUERY PLAN " + statement, 4);
    for (const auto& row : plan) {
      const std::string& detail = row[3];
      static const std::regex scan(
          "^SCAN (o|orders|p|l|t|payment_\\w+|order_\\w+|requests|\\w+_numbers|\\w+_ref\\w+)$");
      EXPECT_FALSE(std::regex_match(detail, scan)) << detail;
      if (!allowed.sorting) {
        EXPECT_EQ(detail.find("TEMP B-TREE"), std::string::npos) << detail;
      }
    }
  }

  static void check_mariadb(Session& session, const std::string& statement, Allowed allowed) {
    const auto plan = explain(session, "EXPLAIN FORMAT=JSON " + statement, 1);
    ASSERT_EQ(plan.size(), 1u);
    const std::string& json = plan[0][0];
    static const std::regex table(
        "\"table_name\": \"([^\"]*)\",\\s*(?:\"partitions\"[^\\]]*\\],\\s*)?"
        "\"access_type\": \"([^\"]*)\"");
    int tables = 0;
    for (auto it = std::sregex_iterator(json.begin(), json.end(), table);
         it != std::sregex_iterator(); ++it) {
      const std::string name = (*it)[1];
      ++tables;
      static const std::regex derived("<.*>|page|few|found|s[0-9]+");
      if (std::regex_match(name, derived)) continue;
      EXPECT_NE((*it)[2], "ALL") << name << "\n" << json;
    }
    // A lookup that finds nothing has no table in its plan.
    if (tables == 0) {
      EXPECT_NE(json.find("\"message\""), std::string::npos) << json;
    }
    if (!allowed.sorting) {
      EXPECT_EQ(json.find("filesort"), std::string::npos) << json;
    }
  }

  static std::vector<std::vector<std::string>> explain(Session& session,
                                                       const std::string& statement,
                                                       std::size_t columns) {
    return session.script_rows(statement, columns);
  }
};
ORDERD_ON_BOTH_DATABASES(QueryPlanTest);

struct NamedFilter {
  const char* name;
  void (*set)(ListQuery&);
};

pb::TimeRange some_range() {
  pb::TimeRange range;
  *range.mutable_start_time() = storage::to_timestamp(100);
  *range.mutable_end_time() = storage::to_timestamp(1900);
  return range;
}

constexpr NamedFilter kFilters[] = {
    {"none", [](ListQuery&) {}},
    {"state",
     [](ListQuery& q) {
       q.by_state = true;
       q.filter.add_state_ids("new");
     }},
    {"states",
     [](ListQuery& q) {
       q.by_state = true;
       q.filter.add_state_ids("fraud");
       q.filter.add_state_ids("completed");
     }},
    {"email", [](ListQuery& q) { q.filter.set_customer_email("c7@x.de"); }},
    {"order_time", [](ListQuery& q) { *q.filter.mutable_order_time() = some_range(); }},
    {"create_time", [](ListQuery& q) { *q.filter.mutable_create_time() = some_range(); }},
    {"update_time", [](ListQuery& q) { *q.filter.mutable_update_time() = some_range(); }},
    {"invoice_number", [](ListQuery& q) { q.filter.set_invoice_number("I77"); }},
    {"order_number", [](ListQuery& q) { q.filter.set_order_number("N1"); }},
    {"payment_status",
     [](ListQuery& q) { q.filter.add_payment_statuses(pb::PAYMENT_STATUS_CAPTURED); }},
    {"needs_attention", [](ListQuery& q) { q.filter.set_needs_attention(true); }},
    {"expires_before",
     [](ListQuery& q) {
       *q.filter.mutable_authorization_expires_before() = storage::to_timestamp(100);
     }},
    {"tracking_number", [](ListQuery& q) { q.filter.set_tracking_number("T77"); }},
    {"shipment_method", [](ListQuery& q) { q.filter.set_shipment_method_id("express"); }},
    {"delivery_state", [](ListQuery& q) { q.filter.add_delivery_state_ids("pending"); }},
    {"delivery_states",
     [](ListQuery& q) {
       q.filter.add_delivery_state_ids("shipped");
       q.filter.add_delivery_state_ids("delivered");
     }},
    {"label", [](ListQuery& q) { q.filter.mutable_label()->set_key("a"); }},
    {"label_value",
     [](ListQuery& q) {
       q.filter.mutable_label()->set_key("a");
       q.filter.mutable_label()->set_value("b");
     }},
};

TEST_P(QueryPlanTest, EveryPairOfFilters) {
  for (const NamedFilter& first : kFilters) {
    for (const NamedFilter& second : kFilters) {
      if (&second < &first) continue;
      for (const SortKey sort :
           {SortKey::kCreateTime, SortKey::kUpdateTime, SortKey::kOrderTime, SortKey::kTotal}) {
        for (const bool after : {false, true}) {
          ListQuery query;
          first.set(query);
          if (&second != &first) second.set(query);
          const pb::OrderFilter& filter = query.filter;
          const bool number = !filter.order_number().empty() || !filter.invoice_number().empty() ||
                              !filter.tracking_number().empty();
          const bool email = !filter.customer_email().empty();
          if (sort == SortKey::kTotal && !number && !email) continue;
          query.sort = sort;
          query.ascending = after;
          if (after) query.after = ListQuery::Keyset{500, ids_[500]};
          // At most one row, or a tracking number's or an address's few orders, or the first rows
          // of each state.
          Allowed allowed;
          allowed.sorting =
              number || (email && (sort == SortKey::kUpdateTime || sort == SortKey::kOrderTime)) ||
              (filter.state_ids_size() > 1 &&
               (sort == SortKey::kCreateTime || sort == SortKey::kUpdateTime));
          begin_read()->list_orders(query);
          check(std::string(first.name) + " + " + second.name + ", sort " +
                    std::to_string(static_cast<int>(sort)) + (after ? ", second page" : ""),
                allowed);
          if (HasFailure()) return;
        }
      }
    }
  }
}

TEST_P(QueryPlanTest, ReadsByKey) {
  for (const std::size_t count : {1u, 400u}) {
    const std::span<const Uuid> ids(ids_.data(), count);
    auto read = begin_read();
    read->versions(ids);
    check("versions", {});
    read->load_orders(ids);
    check("load_orders", {});
    std::vector<storage::NoteKey> notes;
    std::vector<RequestKey> requests;
    std::vector<Claim> claims;
    std::vector<storage::TransactionKey> transactions;
    std::vector<storage::EmailKey> emails;
    for (const Uuid& id : ids) {
      transactions.push_back({id, id});
      emails.push_back({id, id});
      notes.push_back({id, id});
      requests.push_back(random_request_key());
      claims.push_back({ClaimKind::kOrderNumber, id.to_string()});
      claims.push_back({ClaimKind::kInvoiceNumber, id.to_string()});
      claims.push_back({ClaimKind::kPaymentReference, id.to_string()});
    }
    read->load_notes(notes);
    check("load_notes", {});
    read->load_transactions(transactions);
    check("load_transactions", {});
    read->load_ledgers(ids);
    check("load_ledgers", {});
    read->list_transactions(ids[0], "", ids[0], 50);
    check("list_transactions", {});
    read->list_transactions(ids[0], "1", ids[0], 50);
    check("list_transactions of a payment", {});
    read->list_unresolved("", storage::UnresolvedRow::Keyset{2000, ids[0], "1"}, 50);
    check("list_unresolved", {});
    read->list_unresolved("1", storage::UnresolvedRow::Keyset{2000, ids[0], "1"}, 50);
    check("list_unresolved of an account", {});
    EXPECT_EQ(read->unresolved_backlog("1", 10'000).count, 2000);
    EXPECT_EQ(read->email_backlog(pb::EMAIL_STATUS_PENDING, 500).count, 500);
    check("backlogs", {});
    read->load_emails(emails);
    check("load_emails", {});
    for (const std::optional<Uuid>& order_id : {std::optional<Uuid>(), std::optional(ids[0])}) {
      for (const std::optional<Uuid>& after : {std::optional<Uuid>(), std::optional(ids_[500])}) {
        read->list_emails(order_id, std::nullopt, after, 50);
        check("list_emails", {});
        read->list_emails(order_id, pb::EMAIL_STATUS_DEAD, after, 50);
        check("list_emails of a status", {});
      }
    }
    read->find_requests(requests);
    check("find_requests", {});
    read->find_claims(claims);
    check("find_claims", {});
    read->list_notes(ids[0], ids[0], 50);
    check("list_notes", {});
    read->count_orders("new");
    check("count_orders", {});
    read->count_orders_with_delivery_state("pending");
    check("count_orders_with_delivery_state", {});
    read->count_orders_with_method("express");
    check("count_orders_with_method", {});
    read->orders_in_state("new", 10);
    check("orders_in_state", {});
    for (const auto& after : {std::optional<storage::ListQuery::Keyset>(),
                              std::optional(storage::ListQuery::Keyset{2000, ids[0]})}) {
      read->list_customer_orders({"c", ""}, after, 50);
      read->list_customer_orders({"", "a@example.com"}, after, 50);
      check("list_customer_orders", {});
      read->list_erasures("", after, 50);
      read->list_erasures("p", after, 50);
      check("list_erasures", {});
    }
    read.reset();
    auto write = begin_write();
    write->lock_orders(ids, storage::LockMode::kWait);
    write->any_order_in("new");
    write->any_order_with_delivery_state("pending");
    write->any_order_with_method("express");
    write->load_records(ids);
    write.reset();  // MariaDB takes the locks to explain
    check("writes", {});
  }
}

TEST_P(QueryPlanTest, TheQueueOfPayments) {
  const std::vector<std::string> accounts{"1", "2", "3"};
  EXPECT_EQ(storage_->claim_due_checks(accounts, 1000, 5000, 400).size(), 400u);
  check("claim_due_checks", {});
  std::vector<storage::Postponement> postponements;
  for (std::size_t i = 0; i < 400; ++i) postponements.push_back({ids_[i], "1", 5000, 6000});
  storage_->postpone_checks(postponements);
  check("postpone_checks", {});
}

TEST_P(QueryPlanTest, TheOutbox) {
  EXPECT_EQ(storage_->claim_due_emails(1000, 5000, 400).size(), 400u);
  check("claim_due_emails", {});
}

}  // namespace
}  // namespace orderd::test
