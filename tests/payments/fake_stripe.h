#pragma once

#include <sys/types.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "server/payments/http.h"

namespace orderd::test {

/// tests/payments/fake_stripe.py in a process of its own, on a free port of 127.0.0.1.
class FakeStripe {
 public:
  struct Options {
    /// What the bearer key must be; empty: anything.
    std::string key;
    /// PEM files: it speaks TLS with them.
    std::string certificate;
    std::string private_key;
  };

  /// Stripe's OpenAPI description: $ORDERD_STRIPE_DESCRIPTION, else ../shared/data/stripe beside
  /// the project. Empty if there is none; then nothing is checked against it.
  static std::string description();

  explicit FakeStripe(const Options& options);
  ~FakeStripe();
  FakeStripe(const FakeStripe&) = delete;
  FakeStripe& operator=(const FakeStripe&) = delete;

  std::string url() const;

  /// POST /_control/`name`; the answer. Fails the test if there is none.
  nlohmann::json control(const std::string& name, const nlohmann::json& body = nlohmann::json({}));

  /// The requests since the start or `forget_requests`: method, path, text, parameters, key,
  /// traceparent, tracestate.
  nlohmann::json requests() { return control("requests"); }

 private:
  pid_t pid_ = 0;
  int input_ = -1;
  int port_ = 0;
  const std::string scheme_;
  payments::HttpClient http_;
};

}  // namespace orderd::test
