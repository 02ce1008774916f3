#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace orderd::payments::stripe {

// Stripe counts a few currencies in other units than ISO 4217 does
// (https://docs.stripe.com/currencies: zero-decimal, three-decimal, special cases). Conversions are
// exact or not made at all.

/// The amount in Stripe's unit. Nothing if the amount cannot be sent: it is not a whole number of
/// Stripe's units, a three-decimal amount does not end in 0, it overflows, or Stripe does not
/// document how it counts the currency.
std::optional<std::int64_t> to_stripe(std::string_view currency_code, std::int64_t minor);

/// The amount in the minor unit of ISO 4217. Nothing if it is not a whole number of them, it
/// overflows, or Stripe does not document how it counts the currency.
std::optional<std::int64_t> from_stripe(std::string_view currency_code, std::int64_t amount);

}  // namespace orderd::payments::stripe
