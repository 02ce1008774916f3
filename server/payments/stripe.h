#pragma once

#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "server/payments/api_key.h"
#include "server/payments/gateway.h"
#include "server/payments/http.h"

namespace orderd::payments {

/// An account at Stripe; a payment's reference is the id of its PaymentIntent.
///
/// Calls are made with API version 2025-03-31.basil, the first one that makes no Refund objects of
/// released money.
///
/// Stripe gives neither captures nor cancellations an object of their own, so their ids here are
/// made up (stripe_reading.h), and the attempt id of both is kept as metadata of the PaymentIntent,
/// which knows the last capture only: operations on one payment must not overlap, as its
/// capabilities say.
class Stripe : public Gateway {
 public:
  struct Options {
    /// https, or http to this machine (127.0.0.1, [::1], localhost).
    std::string base_url = "https://api.stripe.com";
    /// As in HttpClient.
    std::string ca_file;
  };

  /// Throws std::invalid_argument for a base URL that would send the key in the clear.
  Stripe(ApiKey key, Options options);

  std::variant<Reading, FetchError> fetch(const PaymentRef& payment, Deadline deadline) override;
  CallResult capture(const PaymentRef& payment, const Attempt& attempt, Deadline deadline) override;
  CallResult void_remainder(const PaymentRef& payment, const Attempt& attempt,
                            Deadline deadline) override;
  CallResult refund(const PaymentRef& payment, const Attempt& attempt, Deadline deadline) override;
  Representable representable(const pb::Money& amount) const override;

 private:
  using Parameters = std::vector<std::pair<std::string, std::string>>;
  using Answer = std::variant<HttpAnswer, HttpFailure>;

  /// Without a key in the query or form: nothing is sent, and the answer is that of a refused key.
  Answer get(const std::string& path, const Parameters& query, Deadline deadline);
  Answer post(const std::string& path, const Parameters& form, const std::string& idempotency_key,
              Deadline deadline);
  Answer send(HttpRequest request);

  std::variant<nlohmann::json, FetchError> get_object(const std::string& path,
                                                      const Parameters& query, Deadline deadline);
  /// All pages, newest first as Stripe gives them.
  std::variant<std::vector<nlohmann::json>, FetchError> get_list(const std::string& path,
                                                                 const std::string& intent_id,
                                                                 Deadline deadline);

  ApiKey key_;
  const Options options_;
  HttpClient http_;
};

}  // namespace orderd::payments
