#include "client/orderctl/amounts.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "client/orderctl/cli.h"
#include "client/orderctl/text.h"

namespace orderd::cli {
namespace {

/// Digits behind the decimal point where they are not two (ISO 4217).
std::size_t decimals_of(std::string_view currency) {
  static constexpr std::string_view kNone =
      "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND "
      "VUV XAF XOF XPF";
  static constexpr std::string_view kThree = "BHD IQD JOD KWD LYD OMR TND";
  static constexpr std::string_view kFour = "CLF UYW";
  if (currency.size() != 3) return 2;
  if (kNone.find(currency) != std::string_view::npos) return 0;
  if (kThree.find(currency) != std::string_view::npos) return 3;
  if (kFour.find(currency) != std::string_view::npos) return 4;
  return 2;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool all_digits(std::string_view text) {
  for (const char c : text) {
    if (!is_digit(c)) return false;
  }
  return !text.empty();
}

}  // namespace

std::string format_money(const pb::Money& money) {
  const std::size_t decimals = decimals_of(money.currency_code());
  const bool negative = money.amount_minor() < 0;
  auto magnitude = static_cast<std::uint64_t>(money.amount_minor());
  if (negative) magnitude = 0 - magnitude;
  std::string text = fmt::format("{:0{}}", magnitude, decimals + 1);
  if (decimals > 0) text.insert(text.size() - decimals, ".");
  return fmt::format("{}{}{}{}", negative ? "-" : "", text,
                     money.currency_code().empty() ? "" : " ", printable(money.currency_code()));
}

std::string money_or_dash(bool has, const pb::Money& money) {
  return has ? format_money(money) : "-";
}

pb::Money parse_amount(std::string_view text, const std::string& currency_code,
                       const std::string& what) {
  const auto wrong = [&](const std::string& problem) {
    return LocalError(fmt::format("{}: \"{}\" {}", what, text, problem));
  };
  const std::size_t decimals = decimals_of(currency_code);
  const auto point = text.find('.');
  const bool has_point = point != std::string_view::npos;
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction = has_point ? text.substr(point + 1) : std::string_view();
  if (!all_digits(whole) || (has_point && !all_digits(fraction))) {
    const pb::Money example = [&] {
      pb::Money money;
      money.set_amount_minor(1'250'000);
      money.set_currency_code(currency_code);
      return money;
    }();
    std::string number = format_money(example);
    number.erase(std::min(number.find(' '), number.size()));
    throw wrong(fmt::format(
        "is not an amount; expected digits{} without sign, separators or currency, as in {}",
        decimals > 0 ? " and a decimal point," : "", number));
  }
  if (fraction.size() > decimals) {
    throw wrong(decimals == 0 ? fmt::format("has decimals, and {} has none", currency_code)
                              : fmt::format("has more than {} decimals", decimals));
  }
  std::string digits(whole);
  digits += fraction;
  digits.append(decimals - fraction.size(), '0');
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  std::int64_t minor = 0;
  for (const char c : digits) {
    const std::int64_t digit = c - '0';
    if (minor > (kMost - digit) / 10) throw wrong("is too large");
    minor = minor * 10 + digit;
  }
  pb::Money money;
  money.set_currency_code(currency_code);
  money.set_amount_minor(minor);
  return money;
}

}  // namespace orderd::cli
