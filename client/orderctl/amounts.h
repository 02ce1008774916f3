#pragma once

#include <string>
#include <string_view>

#include "orders/v1/common.pb.h"

// Amounts of money as people read and type them. Exact: there is no floating point in between.

namespace orderd::cli {

/// "19.99 EUR", "1999 JPY", "-0.050 KWD".
std::string format_money(const orders::v1::Money& money);

std::string money_or_dash(bool has, const orders::v1::Money& money);

/// The amount that a decimal names in a currency: "19.99", "19.9" and "19" of EUR, "1999" of JPY.
/// No sign, no thousands separator, and no more decimals than the currency has. Throws LocalError;
/// `what` says which argument it is.
orders::v1::Money parse_amount(std::string_view text, const std::string& currency_code,
                               const std::string& what);

}  // namespace orderd::cli
