#include "tests/money/cancel.h"

#include <strings.h>

#include <algorithm>

#include "storage/database.h"
#include "storage/session.h"

namespace orderd::test {
namespace {

constexpr std::int64_t kAuthorized = 10'000, kCaptured = 6'000;

Paid authorize(const Shop& shop, const std::string& account,
               const pb::GatewayCapabilities& capabilities) {
  sandbox::AuthorizeRequest request;
  request.set_gateway_account(account);
  *request.mutable_amount() = usd(kAuthorized);
  *request.mutable_capabilities() = capabilities;
  Paid paid;
  paid.account = account;
  paid.authorized = kAuthorized;
  paid.reference = shop.call(&Gateways::Authorize, request).payment().gateway_reference();
  return paid;
}

/// What the API has moved by this kind of movement.
std::vector<sandbox::LedgerMovement> returns_of(const sandbox::LedgerPayment& book,
                                                pb::TransactionKind kind) {
  std::vector<sandbox::LedgerMovement> found;
  for (const auto& movement : book.movements()) {
    if (movement.kind() == kind && movement.status() == pb::TRANSACTION_STATUS_SUCCEEDED) {
      found.push_back(movement);
    }
  }
  return found;
}

void expect_legs(const pb::Order& order, const Paid& paid, pb::TransactionKind kind,
                 const std::vector<sandbox::LedgerMovement>& movements) {
  std::vector<std::string> legs, moved;
  for (const auto& leg : order.cancellation().legs()) {
    if (leg.payment_id() != paid.payment_id || leg.kind() != kind) continue;
    if (leg.status() == pb::TRANSACTION_STATUS_FAILED) continue;
    EXPECT_EQ(leg.status(), pb::TRANSACTION_STATUS_SUCCEEDED) << leg.ShortDebugString();
    legs.push_back(leg.transaction_id() + " " + std::to_string(leg.amount().amount_minor()));
  }
  for (const auto& movement : movements) {
    moved.push_back(movement.attempt_id() + " " + std::to_string(movement.amount_minor()));
  }
  EXPECT_EQ(legs, moved);
}

std::int64_t all_of(const pb::CancellationReport& report) {
  return report.refunded().amount_minor() + report.reversed().amount_minor() +
         report.pending().amount_minor() + report.outstanding().amount_minor();
}

}  // namespace

const char* name_of(Shape shape) {
  switch (shape) {
    case Shape::kAuthorized:
      return "authorized";
    case Shape::kPartlyCaptured:
      return "partly captured";
    case Shape::kCaptured:
      return "captured";
    case Shape::kTwoAccounts:
      break;
  }
  return "two accounts";
}

Purchase make_purchase(const Shop& shop, Shape shape, const std::string& account,
                       const std::string& second_account,
                       const pb::GatewayCapabilities& capabilities) {
  Purchase purchase;
  purchase.email = new_uuid() + "@customers.test";
  purchase.payments.push_back(authorize(shop, account, capabilities));
  if (shape == Shape::kTwoAccounts) {
    purchase.payments.push_back(authorize(shop, second_account, capabilities));
  }

  pb::CreateOrderRequest create;
  create.mutable_order()->mutable_customer()->set_name("Zoë Ångström");
  create.mutable_order()->mutable_customer()->set_email(purchase.email);
  auto* item = create.mutable_order()->add_items();
  item->set_sku("thing");
  item->set_quantity(2);
  *item->mutable_unit_price() = usd(kAuthorized);
  for (const Paid& paid : purchase.payments) {
    auto* payment = create.mutable_order()->add_payments();
    payment->set_gateway_account(paid.account);
    payment->set_gateway_reference(paid.reference);
  }
  const pb::Order order = shop.call(&Orders::CreateOrder, create).order();
  purchase.order_id = order.order_id();
  for (std::size_t i = 0; i < purchase.payments.size(); ++i) {
    Paid& paid = purchase.payments[i];
    paid.order_id = order.order_id();
    paid.payment_id = order.payments(static_cast<int>(i)).payment_id();
  }
  shop.call(&Orders::SyncPayments, sync_request(purchase.payments.front()));
  purchase.to_reverse = kAuthorized * static_cast<std::int64_t>(purchase.payments.size());
  if (shape != Shape::kAuthorized) {
    purchase.to_refund = shape == Shape::kCaptured ? kAuthorized : kCaptured;
    purchase.to_reverse -= purchase.to_refund;
    const auto captured = shop.call(&Orders::CapturePayment,
                                    capture_request(purchase.payments.back(), purchase.to_refund));
    EXPECT_EQ(captured.transaction().status(), pb::TRANSACTION_STATUS_SUCCEEDED)
        << captured.ShortDebugString();
  }
  return purchase;
}

pb::CancelOrderRequest cancel_request(const Purchase& purchase, bool notify) {
  pb::CancelOrderRequest request;
  request.set_request_id(new_uuid());
  request.set_order_id(purchase.order_id);
  request.set_reason("the customer has changed her mind");
  request.set_notify_customer(notify);
  return request;
}

pb::CancellationStatus status_of(const pb::Order& order) { return order.cancellation().status(); }

void expect_honest(const Shop& shop, const Purchase& purchase,
                   const pb::CancelOrderResponse& answer) {
  const pb::CancellationReport& report = answer.report();
  SCOPED_TRACE(report.DebugString());
  EXPECT_EQ(report.status(), status_of(answer.order()));
  std::int64_t refunded = 0, reversed = 0, pending = 0, outstanding = 0;
  for (const auto& part : report.payments()) {
    const auto paid =
        std::find_if(purchase.payments.begin(), purchase.payments.end(),
                     [&](const Paid& it) { return it.payment_id == part.payment_id(); });
    ASSERT_NE(paid, purchase.payments.end());
    EXPECT_EQ(part.gateway_account(), paid->account);
    const auto book = shop.ledger(paid->account, paid->reference);
    // The gateway may have done what we do not know of yet, but not the other way round.
    EXPECT_LE(part.refunded().amount_minor(), book.refunded_minor());
    EXPECT_LE(part.reversed().amount_minor(), book.voided_minor());
    for (const auto& leg : part.legs()) {
      const auto movement =
          std::find_if(book.movements().begin(), book.movements().end(), [&](const auto& it) {
            return !leg.transaction_id().empty() && it.attempt_id() == leg.transaction_id();
          });
      const bool moved = movement != book.movements().end();
      if (leg.status() == pb::TRANSACTION_STATUS_SUCCEEDED) {
        EXPECT_TRUE(moved && movement->status() == pb::TRANSACTION_STATUS_SUCCEEDED);
      } else if (leg.status() == pb::TRANSACTION_STATUS_FAILED) {
        EXPECT_TRUE(!moved || movement->status() == pb::TRANSACTION_STATUS_FAILED);
        EXPECT_FALSE(leg.reason().empty());
      }
    }
    refunded += part.refunded().amount_minor();
    reversed += part.reversed().amount_minor();
    pending += part.pending().amount_minor();
    outstanding += part.outstanding().amount_minor();
  }
  EXPECT_EQ(report.refunded().amount_minor(), refunded);
  EXPECT_EQ(report.reversed().amount_minor(), reversed);
  EXPECT_EQ(report.pending().amount_minor(), pending);
  EXPECT_EQ(report.outstanding().amount_minor(), outstanding);
  EXPECT_EQ(all_of(report), purchase.to_refund + purchase.to_reverse);
  const bool completed = report.status() == pb::CANCELLATION_STATUS_COMPLETED;
  EXPECT_EQ(answer.order().state_id(), completed ? "canceled" : "new");
  if (completed) {
    EXPECT_EQ(outstanding, 0);
    EXPECT_EQ(reversed, purchase.to_reverse);
    EXPECT_EQ(refunded + pending, purchase.to_refund);
  }
}

std::vector<pb::Email> emails_of(const Shop& shop, const std::string& order_id) {
  std::vector<pb::Email> all;
  pb::ListEmailsRequest request;
  request.set_order_id(order_id);
  do {
    const auto page = shop.call(&Orders::ListEmails, request);
    all.insert(all.end(), page.emails().begin(), page.emails().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return all;
}

void expect_canceled(const Shop& shop, const Purchase& purchase, bool notify) {
  const pb::Order order = shop.get(purchase.order_id);
  SCOPED_TRACE(order.DebugString());
  EXPECT_EQ(order.state_id(), "canceled");
  const pb::Cancellation& cancellation = order.cancellation();
  EXPECT_EQ(cancellation.status(), pb::CANCELLATION_STATUS_COMPLETED);
  EXPECT_TRUE(cancellation.has_complete_time());
  EXPECT_EQ(cancellation.notify_customer(), notify);
  for (const auto& shipment : order.shipments()) {
    for (const auto& line : shipment.lines()) EXPECT_EQ(line.delivery_state_id(), "canceled");
  }

  std::int64_t refunded = 0, reversed = 0;
  for (const Paid& paid : purchase.payments) {
    SCOPED_TRACE(paid.account);
    expect_equal_books(shop, paid);
    const pb::Payment& payment = payment_of(order, paid.payment_id);
    expect_invariant(payment);
    EXPECT_EQ(payment.capturable().amount_minor(), 0);
    EXPECT_FALSE(payment.attention());
    const auto book = shop.ledger(paid.account, paid.reference);
    EXPECT_EQ(book.refunded_minor(), book.captured_minor());
    EXPECT_EQ(book.captured_minor() + book.voided_minor(), book.authorized_minor());
    refunded += book.refunded_minor();
    reversed += book.voided_minor();
    const auto voids = returns_of(book, pb::TRANSACTION_KIND_VOID);
    const auto refunds = returns_of(book, pb::TRANSACTION_KIND_REFUND);
    EXPECT_EQ(voids.size(), book.voided_minor() > 0 ? 1U : 0U);
    EXPECT_EQ(refunds.size(), book.captured_minor() > 0 ? 1U : 0U);
    expect_legs(order, paid, pb::TRANSACTION_KIND_VOID, voids);
    expect_legs(order, paid, pb::TRANSACTION_KIND_REFUND, refunds);
  }
  EXPECT_EQ(refunded, purchase.to_refund);
  EXPECT_EQ(reversed, purchase.to_reverse);

  const auto emails = emails_of(shop, purchase.order_id);
  ASSERT_EQ(emails.size(), notify ? 1U : 0U);
  if (!notify) return;
  const pb::Email& email = emails.front();
  EXPECT_EQ(email.kind(), pb::EMAIL_KIND_ORDER_CANCELED);
  EXPECT_EQ(email.order_id(), purchase.order_id);
  EXPECT_EQ(email.create_time().SerializeAsString(),
            cancellation.complete_time().SerializeAsString());
}

void wait_until_canceled(const Shop& shop, const std::vector<Purchase>& purchases) {
  std::size_t done = 0;
  wait_until("all orders are canceled", [&] {
    while (done < purchases.size() &&
           status_of(shop.get(purchases[done].order_id)) == pb::CANCELLATION_STATUS_COMPLETED) {
      ++done;
    }
    return done == purchases.size();
  });
  for (; done < purchases.size(); ++done) {
    const pb::Order order = shop.get(purchases[done].order_id);
    if (status_of(order) != pb::CANCELLATION_STATUS_COMPLETED) {
      ADD_FAILURE() << "not canceled: " << order.DebugString();
    }
  }
}

void wait_until_mailed(const Shop& shop) {
  wait_until("all e-mails are sent", [&] {
    pb::ListEmailsRequest request;
    request.set_status(pb::EMAIL_STATUS_PENDING);
    const auto page = shop.call(&Orders::ListEmails, request);
    return page.emails().empty() && page.next_page_token().empty();
  });
}

Mailboxes mailboxes_of(const MailServer& server) {
  Mailboxes boxes;
  for (const auto& message : server.messages()) {
    std::vector<std::string> ids;
    for (const auto& header : message.at("headers")) {
      const auto& name = header.at(0).get_ref<const std::string&>();
      if (strcasecmp(name.c_str(), "Message-ID") == 0) ids.push_back(header.at(1));
    }
    EXPECT_EQ(ids.size(), 1U);
    EXPECT_EQ(message.at("recipients").size(), 1U);
    if (ids.empty()) continue;
    boxes[message.at("recipients").at(0)][ids.front()].push_back(message);
  }
  return boxes;
}

void expect_mailed(const Shop& shop, const Mailboxes& boxes, const Purchase& purchase, bool notify,
                   std::size_t most) {
  const auto box = boxes.find(purchase.email);
  const auto emails = emails_of(shop, purchase.order_id);
  ASSERT_EQ(emails.size(), notify ? 1U : 0U);
  ASSERT_EQ(box != boxes.end(), notify) << purchase.email;
  if (!notify) return;
  const pb::Email& email = emails.front();
  EXPECT_EQ(email.status(), pb::EMAIL_STATUS_SENT) << email.ShortDebugString();
  EXPECT_EQ(email.recipient(), purchase.email);
  EXPECT_TRUE(email.has_send_time());
  ASSERT_EQ(box->second.size(), 1U) << "two Message-IDs";
  EXPECT_EQ(box->second.begin()->first, email.message_id());
  const auto& copies = box->second.begin()->second;
  EXPECT_LE(copies.size(), most);
  for (const auto& copy : copies) EXPECT_EQ(copy.at("raw"), copies.front().at("raw"));
}

std::vector<std::string> mail_arguments(const std::string& smtp_url, const std::string& interval) {
  return {"--smtp",           smtp_url,
          "--smtp-tls",       "never",
          "--email-from",     "Shop <shop@orderd.test>",
          "--email-interval", interval};
}

void let_emails_fall_due(const std::string& database_url) {
  storage::Session session(storage::parse_url(database_url), {});
  // 1: PENDING.
  session.execute("UPDATE order_emails SET next_time = 0 WHERE status = 1");
}

}  // namespace orderd::test
