#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/money/money.h"
#include "tests/notify/mail_server.h"

// Orders that are canceled, and all that has to be true of one when that has ended.

namespace orderd::test {

/// What has been paid before an order is canceled.
enum class Shape {
  /// One payment, of which nothing is captured: a void.
  kAuthorized,
  /// One payment, of which a part is captured: a void and a refund.
  kPartlyCaptured,
  /// One payment, all captured: a refund.
  kCaptured,
  /// Two payments at different accounts, one of each of the first two kinds.
  kTwoAccounts,
};
const char* name_of(Shape shape);

/// An order to cancel.
struct Purchase {
  std::string order_id;
  /// Of nobody else.
  std::string email;
  std::vector<Paid> payments;
  /// What the cancellation has to return.
  std::int64_t to_refund = 0, to_reverse = 0;
};
/// The second account is for kTwoAccounts only.
Purchase make_purchase(const Shop& shop, Shape shape, const std::string& account,
                       const std::string& second_account = "",
                       const pb::GatewayCapabilities& capabilities = all_capabilities());

/// With a new request_id.
pb::CancelOrderRequest cancel_request(const Purchase& purchase, bool notify);
inline Reply<pb::CancelOrderResponse> cancel(const Shop& shop,
                                             const pb::CancelOrderRequest& request,
                                             milliseconds timeout = kPatience) {
  return shop.send(&Orders::CancelOrder, request, timeout);
}

pb::CancellationStatus status_of(const pb::Order& order);

/// No report says that more has been returned than the gateways' books have by now, and nothing
/// that is to be returned is missing in it.
void expect_honest(const Shop& shop, const Purchase& purchase,
                   const pb::CancelOrderResponse& answer);

/// All e-mails about an order; all pages.
std::vector<pb::Email> emails_of(const Shop& shop, const std::string& order_id);

/// The end of a cancellation: the order and its lines are canceled; all books are equal; what was
/// captured is refunded, by one movement, and the rest is released, by one; the legs say the same.
/// There is one e-mail if `notify`, and none otherwise.
void expect_canceled(const Shop& shop, const Purchase& purchase, bool notify);

/// All of these have a completed cancellation.
void wait_until_canceled(const Shop& shop, const std::vector<Purchase>& purchases);
/// All e-mails are SENT or DEAD.
void wait_until_mailed(const Shop& shop);

/// Each recipient's messages, by Message-ID.
using Mailboxes = std::map<std::string, std::map<std::string, std::vector<nlohmann::json>>>;
Mailboxes mailboxes_of(const MailServer& server);
/// Has got the e-mail about this order, under its Message-ID and no other, the same bytes each time
/// and at most `most` times; or none if not `notify`.
void expect_mailed(const Shop& shop, const Mailboxes& boxes, const Purchase& purchase, bool notify,
                   std::size_t most = 1);

/// Command line for a server that sends e-mails there.
std::vector<std::string> mail_arguments(const std::string& smtp_url,
                                        const std::string& interval = "0.1");

/// All e-mails that wait, for whatever, have waited for long enough.
void let_emails_fall_due(const std::string& database_url);

}  // namespace orderd::test
