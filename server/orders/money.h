#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "orders/v1/common.pb.h"
#include "server/orders/errors.h"
#include "storage/model.h"

namespace orderd::rules {

/// Digits behind the decimal point of a currency, by ISO 4217 (0, 2, 3 or 4). Nothing if ISO 4217
/// does not list the code, or lists it without a minor unit (XAU, XXX, …).
std::optional<int> currency_exponent(std::string_view currency_code);

/// Nothing on overflow.
std::optional<std::int64_t> add(std::int64_t a, std::int64_t b);
std::optional<std::int64_t> multiply(std::int64_t a, std::int64_t b);

pb::Money make_money(std::string_view currency_code, std::int64_t minor);

}  // namespace orderd::rules
