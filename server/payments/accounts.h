#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "server/orders/payments.h"
#include "server/payments/gateway.h"

namespace orderd::payments {

class Account;

/// The configured accounts, "external" among them. Calls to a gateway block, so each account has
/// threads of its own, a bounded queue, and a circuit breaker: after several calls in a row that got
/// no answer it is left alone for a while, then tried with one.
class Accounts : public rules::GatewayDirectory {
 public:
  struct Limits {
    int threads = 4;
    /// Calls that may wait for a thread.
    int waiting = 256;
    /// Failures in a row that open the circuit, and for how long it stays open.
    int failures = 5;
    std::chrono::milliseconds pause{5'000};
  };

  explicit Accounts(const Limits& limits);
  ~Accounts() override;

  /// Before the first call only.
  void add(const std::string& name, std::unique_ptr<Gateway> gateway);

  bool configured(std::string_view account) const override;
  bool representable(std::string_view account, const pb::Money& amount) const override;
  absl::Status available(std::string_view account) const override;

  /// The gateway, or null. It stays as long as the accounts.
  Gateway* find(std::string_view account) const;
  /// Sorted.
  std::vector<std::string> names() const;

  /// Runs `call` on a thread of the account's, behind those that wait. `call` says whether the
  /// gateway answered (for the breaker). Never refuses: what has been written must be sent.
  void run(std::string_view account, std::function<bool()> call);

  /// Waits for the calls that run; those that wait are dropped (the reconciler finds what they were
  /// for). No `run` may follow.
  void stop();

 private:
  const Limits limits_;
  std::map<std::string, std::unique_ptr<Account>, std::less<>> accounts_;
};

}  // namespace orderd::payments
