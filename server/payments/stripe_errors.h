#pragma once

#include <variant>

#include "server/payments/gateway.h"
#include "server/payments/http.h"

namespace orderd::payments::stripe {

/// How a call that was to move money ended, if it did not end with an object (status 2xx):
/// https://docs.stripe.com/api/errors, https://docs.stripe.com/error-codes.
CallResult call_error(const std::variant<HttpAnswer, HttpFailure>& answer);

/// The same for a read.
FetchError fetch_error(const std::variant<HttpAnswer, HttpFailure>& answer);

}  // namespace orderd::payments::stripe
