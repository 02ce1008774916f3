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
/// threads of its own, and a circuit breaker: after several calls in a row that got no answer it is
/// left alone for a while, then tried with one. Thread-safe.
class Accounts : public rules::GatewayDirectory {
 public:
  struct Limits {
    /// With these, what waits gets its turn within an attempt's lease at half a second per call.
    int threads = 8;
    /// Jobs of callers that may wait for a thread; beyond, rules refuse (`available`).
    int waiting = 256;
    /// Failures in a row that open the circuit, and for how long it stays open.
    int failures = 5;
    std::chrono::milliseconds pause{5'000};
  };
  enum class Priority {
    /// Somebody waits for it.
    kCaller,
    /// Runs when no caller's job waits, and leaves one thread to callers (if there are several).
    kBackground,
  };

  explicit Accounts(const Limits& limits);
  /// Stops as by `stop`.
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

  /// Runs `job` on a thread of the account's, behind those that wait. Never refuses: what has been
  /// written must be sent. A job that never gets its turn, because of `stop`, is destroyed.
  void run(std::string_view account, Priority priority, std::function<void()> job);

  /// Called before a call to a gateway: false if the circuit is open. Once it has been open for
  /// long enough, true for one call, which is the probe.
  bool enter(std::string_view account);
  /// And after it: whether the gateway answered.
  void leave(std::string_view account, bool answered);

  /// For metrics.
  struct State {
    /// Jobs of callers that wait for a thread.
    int waiting = 0;
    /// Whether the circuit is open.
    bool open = false;
  };
  State state(std::string_view account) const;

  /// Destroys the jobs that wait, and those that come later.
  void drop_waiting();
  /// That, and waits for the jobs that run.
  void stop();

 private:
  const Limits limits_;
  std::map<std::string, std::unique_ptr<Account>, std::less<>> accounts_;
};

}  // namespace orderd::payments
