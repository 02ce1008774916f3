#pragma once

#include <functional>
#include <set>
#include <string>

#include "server/orders/payments.h"

namespace orderd::rules {

/// A directory of gateways that takes everything, unless it is told otherwise.
class AnyGateway : public GatewayDirectory {
 public:
  bool configured(std::string_view account) const override {
    return !unknown.contains(std::string(account));
  }
  bool representable(std::string_view, const pb::Money& amount) const override {
    return is_representable(amount);
  }
  absl::Status available(std::string_view) const override { return availability; }

  std::set<std::string> unknown;
  std::function<bool(const pb::Money&)> is_representable = [](const pb::Money&) { return true; };
  absl::Status availability;
};

}  // namespace orderd::rules
