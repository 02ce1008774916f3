#include <algorithm>
#include <cstring>
#include <limits>
#include <string>

#include "client/orderctl/amounts.h"
#include "client/orderctl/cli.h"
#include "server/orders/money.h"
#include "server/payments/stripe_amounts.h"
#include "tests/fuzz/fuzz.h"

// "EUR 12.50" as people type it, and the numbers that are in the bytes behind.

namespace orderd::fuzz {
namespace {

__extension__ using Wide = __int128;

/// What `number` says: the same, if 64 bits hold it.
void check_sum(std::optional<std::int64_t> number, Wide exact, std::string_view what) {
  const bool fits = exact >= std::numeric_limits<std::int64_t>::min() &&
                    exact <= std::numeric_limits<std::int64_t>::max();
  require(number.has_value() == fits && (!fits || *number == exact), what);
}

void check_stripe(const std::string& currency, std::int64_t minor) {
  namespace stripe = payments::stripe;
  if (const auto there = stripe::to_stripe(currency, minor)) {
    require(stripe::from_stripe(currency, *there) == minor, "an amount comes back from Stripe");
  }
  if (const auto here = stripe::from_stripe(currency, minor)) {
    const auto there = stripe::to_stripe(currency, *here);
    require(!there || *there == minor, "an amount of Stripe's is one amount");
  }
}

void check_printed(const std::string& currency, std::int64_t minor) {
  const std::string text = cli::format_money(rules::make_money(currency, minor));
  if (minor < 0 || !rules::currency_exponent(currency)) return;
  const auto point = text.find('.');
  const std::size_t space = text.find(' ');
  const std::size_t decimals = point == std::string::npos ? 0 : space - point - 1;
  require(decimals == static_cast<std::size_t>(*rules::currency_exponent(currency)),
          "client and server have the same decimals");
  require(cli::parse_amount(text.substr(0, space), currency, "x").amount_minor() == minor,
          "what is printed can be typed");
}

}  // namespace

FUZZ_TARGET(amounts) {
  const std::string currency(input.substr(0, 3));
  const std::string text(input.substr(std::min<std::size_t>(input.size(), 4)));
  try {
    const auto money = cli::parse_amount(text, currency, "amount");
    require(money.amount_minor() >= 0, "no sign, no negative amount");
    check_printed(currency, money.amount_minor());
  } catch (const cli::LocalError&) {
  }
  std::int64_t numbers[2] = {};
  std::memcpy(numbers, text.data(), std::min(text.size(), sizeof numbers));
  check_sum(rules::add(numbers[0], numbers[1]), Wide{numbers[0]} + numbers[1], "sums are exact");
  check_sum(rules::multiply(numbers[0], numbers[1]), Wide{numbers[0]} * numbers[1],
            "products are exact");
  for (const std::int64_t number : numbers) {
    check_stripe(currency, number);
    check_printed(currency, number);
  }
}

}  // namespace orderd::fuzz
