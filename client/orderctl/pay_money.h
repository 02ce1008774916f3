#pragma once

#include <string>

#include "client/orderctl/cli.h"

// pay capture, refund, void: the commands that move money.

namespace orderd::cli {

struct MoneyFlags {
  std::string order;
  /// As typed; empty: all that is possible.
  std::string amount;
  std::string payment;
  std::string reason;
  std::string etag;
  bool dry_run = false;
  bool final_capture = false;
  bool confirm = false;
};

// Exit code kOk: the money has moved. kRefused: it certainly has not. kUnsettled: not known yet.
int capture_money(Session& session, const MoneyFlags& flags);
int refund_money(Session& session, const MoneyFlags& flags);
int void_money(Session& session, const MoneyFlags& flags);

}  // namespace orderd::cli
