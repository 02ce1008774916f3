#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <google/protobuf/map.h>
#include <google/protobuf/repeated_ptr_field.h>
#include <google/protobuf/timestamp.pb.h>

#include "orders/v1/order.pb.h"
#include "server/orders/errors.h"
#include "server/orders/text.h"
#include "storage/model.h"

// Checks and conversions of the parts that several requests have in common. `field` is the path of
// the part in the request.

namespace orderd::rules {

using Labels = google::protobuf::Map<std::string, std::string>;

inline constexpr std::size_t kMaxReason = 1000;

/// The etag that a caller expects; any text that could be one.
void check_etag(std::string_view etag, const std::string& field, errors::Violations& violations);
/// The fields that all calls have which change one order.
template <class Request>
void check_mutation(const Request& request, errors::Violations& violations) {
  check_request_id(request.request_id(), violations);
  check_id(request.order_id(), "order_id", violations);
  check_etag(request.etag(), "etag", violations);
}

void check_customer(const pb::Customer& customer, const std::string& field,
                    errors::Violations& violations);
void check_email(std::string_view email, const std::string& field, errors::Violations& violations);
void check_address(const pb::Address& address, const std::string& field,
                   errors::Violations& violations);
void check_labels(const Labels& labels, const std::string& field, errors::Violations& violations);
bool same_labels(const Labels& a, const Labels& b);
void check_label_key(std::string_view key, const std::string& field,
                     errors::Violations& violations);
void check_label_value(std::string_view value, const std::string& field,
                       errors::Violations& violations);
void check_note(std::string_view body, pb::NoteVisibility visibility, const std::string& field,
                errors::Violations& violations);
/// At most `most` ids of any form.
void check_ids(const google::protobuf::RepeatedPtrField<std::string>& ids, int most,
               const std::string& field, errors::Violations& violations);
void check_page_size(std::int32_t page_size, errors::Violations& violations);
/// Of an enum whose zero means a default.
void check_enum(bool is_valid, const std::string& field, errors::Violations& violations);

/// Adds a violation unless the time is well formed and in the years 1970 to 9999.
void check_time(const google::protobuf::Timestamp& time, const std::string& field,
                errors::Violations& violations);
/// Of a valid time; digits behind the microseconds are dropped.
Micros to_micros(const google::protobuf::Timestamp& time);
google::protobuf::Timestamp to_timestamp(Micros time);

/// Checks the amounts of one order, which all have the same currency.
class MoneyCheck {
 public:
  /// `currency`: that of the order; empty if it has no amount in a currency that is known.
  MoneyCheck(std::string currency, errors::Violations& violations)
      : currency_(std::move(currency)), violations_(violations) {}

  /// The amount, unless something is wrong with it.
  std::optional<std::int64_t> amount(const pb::Money& money, const std::string& field,
                                     std::int64_t min = 0);

 private:
  const std::string currency_;
  errors::Violations& violations_;
};

}  // namespace orderd::rules
