#include "server/orders/fields.h"

#include <algorithm>
#include <array>
#include <vector>

#include <fmt/format.h>
#include <google/protobuf/util/time_util.h>

#include "server/orders/money.h"
#include "server/orders/text.h"
#include "server/orders/utf8.h"

namespace orderd::rules {
namespace {

constexpr int kMaxLabels = 64;
/// The last second of the year 9999.
constexpr std::int64_t kMaxSeconds = 253'402'300'799;

bool is_email(std::string_view email) {
  const auto at = email.find('@');
  if (at == 0 || at == email.npos || at + 1 == email.size()) return false;
  if (email.find('@', at + 1) != email.npos) return false;
  while (!email.empty()) {
    auto next = decode(email);
    if (!next || is_control(next->value) || is_white_space(next->value)) return false;
    email.remove_prefix(next->length);
  }
  return true;
}

}  // namespace

void check_email(std::string_view email, const std::string& field, errors::Violations& violations) {
  check_text(email, 0, 254, field, violations);
  if (!email.empty() && count_code_points(email) && !is_email(email)) {
    violations.add(field, "must be one e-mail address: something, one @, something; no spaces");
  }
}

void check_customer(const pb::Customer& customer, const std::string& field,
                    errors::Violations& violations) {
  check_text(customer.customer_id(), 0, 255, field + ".customer_id", violations);
  check_text(customer.name(), 0, 255, field + ".name", violations);
  check_email(customer.email(), field + ".email", violations);
  check_text(customer.phone(), 0, 64, field + ".phone", violations);
}

void check_address(const pb::Address& address, const std::string& field,
                   errors::Violations& violations) {
  check_text(address.name(), 0, 255, field + ".name", violations);
  check_text(address.company(), 0, 255, field + ".company", violations);
  check_text(address.line1(), 0, 255, field + ".line1", violations);
  check_text(address.line2(), 0, 255, field + ".line2", violations);
  check_text(address.city(), 0, 255, field + ".city", violations);
  check_text(address.region(), 0, 255, field + ".region", violations);
  check_text(address.postal_code(), 0, 32, field + ".postal_code", violations);
  const std::string& country = address.country_code();
  const bool two_letters =
      country.size() == 2 &&
      std::all_of(country.begin(), country.end(), [](char c) { return c >= 'A' && c <= 'Z'; });
  if (!country.empty() && !two_letters) {
    violations.add(field + ".country_code",
                   "must be empty or two upper-case letters (ISO 3166-1 alpha-2)");
  }
  check_text(address.phone(), 0, 64, field + ".phone", violations);
}

void check_label_key(std::string_view key, const std::string& field,
                     errors::Violations& violations) {
  check_text(key, 1, 63, field, violations);
}

void check_label_value(std::string_view value, const std::string& field,
                       errors::Violations& violations) {
  check_text(value, 0, 255, field, violations);
}

void check_labels(const Labels& labels, const std::string& field, errors::Violations& violations) {
  if (labels.size() > kMaxLabels) {
    violations.add(field,
                   fmt::format("must be at most {} labels, not {}", kMaxLabels, labels.size()));
    return;
  }
  std::vector<std::pair<std::string_view, std::string_view>> sorted(labels.begin(), labels.end());
  std::sort(sorted.begin(), sorted.end());
  for (const auto& [key, value] : sorted) {
    const std::string path = fmt::format("{}[\"{}\"]", field, shown(key));
    check_label_key(key, path, violations);
    check_label_value(value, path, violations);
  }
}

bool same_labels(const Labels& a, const Labels& b) {
  return a.size() == b.size() && std::all_of(a.begin(), a.end(), [&](const auto& label) {
           const auto it = b.find(label.first);
           return it != b.end() && it->second == label.second;
         });
}

void check_etag(std::string_view etag, const std::string& field, errors::Violations& violations) {
  check_text(etag, 0, 64, field, violations);
}

void check_note(std::string_view body, pb::NoteVisibility visibility, const std::string& field,
                errors::Violations& violations) {
  check_text(body, 1, 10'000, field + "body", violations);
  check_enum(pb::NoteVisibility_IsValid(visibility), field + "visibility", violations);
}

void check_ids(const google::protobuf::RepeatedPtrField<std::string>& ids, int most,
               const std::string& field, errors::Violations& violations) {
  if (ids.size() > most) {
    violations.add(field, fmt::format("must be at most {} ids, not {}", most, ids.size()));
    return;
  }
  for (int i = 0; i < ids.size(); ++i) {
    check_id(ids[i], fmt::format("{}[{}]", field, i), violations);
  }
}

void check_page_size(std::int32_t page_size, errors::Violations& violations) {
  if (page_size < 0) violations.add("page_size", "must not be negative");
}

void check_enum(bool is_valid, const std::string& field, errors::Violations& violations) {
  if (!is_valid) violations.add(field, "must be one of the values that the contract lists");
}

void check_time(const google::protobuf::Timestamp& time, const std::string& field,
                errors::Violations& violations) {
  if (time.seconds() < 0 || time.seconds() > kMaxSeconds) {
    violations.add(field, "must be in the years 1970 to 9999");
  }
  if (time.nanos() < 0 || time.nanos() > 999'999'999) {
    violations.add(field, "must have 0 to 999,999,999 nanoseconds");
  }
}

Micros to_micros(const google::protobuf::Timestamp& time) {
  return google::protobuf::util::TimeUtil::TimestampToMicroseconds(time);
}

google::protobuf::Timestamp to_timestamp(Micros time) {
  return google::protobuf::util::TimeUtil::MicrosecondsToTimestamp(time);
}

std::optional<std::int64_t> MoneyCheck::amount(const pb::Money& money, const std::string& field,
                                               std::int64_t min) {
  bool right = true;
  const std::string& code = money.currency_code();
  if (!currency_exponent(code)) {
    violations_.add(field + ".currency_code",
                    fmt::format("CURRENCY_UNKNOWN: ISO 4217 has no currency \"{}\"", shown(code)));
    right = false;
  } else if (code != currency_) {
    violations_.add(
        field + ".currency_code",
        fmt::format("must be {}, as in the rest of the order, not {}", currency_, code));
    right = false;
  }
  if (money.amount_minor() < min) {
    violations_.add(field + ".amount_minor", fmt::format("must be at least {}", min));
    right = false;
  }
  return right ? std::optional(money.amount_minor()) : std::nullopt;
}

}  // namespace orderd::rules
