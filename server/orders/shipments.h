#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "orders/v1/order_service.pb.h"
#include "server/orders/errors.h"
#include "server/orders/rule.h"

namespace orderd::rules {

inline constexpr int kMaxTrackingNumbers = 100;
/// Of an order; what splits lines is refused beyond it.
inline constexpr int kMaxLines = 10'000;

absl::Status validate(const pb::UpdateShipmentsRequest& request);

/// Adds what is wrong with the tracking numbers of one shipment. `seen`: numbers that they must
/// differ from, with their fields; these are added.
void check_tracking_numbers(const google::protobuf::RepeatedPtrField<std::string>& numbers,
                            const std::string& field,
                            std::unordered_map<std::string_view, std::string>& seen,
                            errors::Violations& violations);

/// Applies the changes in their order, all or nothing. What can't be done is refused with the
/// reason of the first change at fault; all changes at fault are listed as BadRequest (each is left
/// out when the later ones are looked at). New shipments and lines get ids of the family of `ids`.
/// The outcome has one result per change, also if nothing has changed.
Result update_shipments(const pb::UpdateShipmentsRequest& request, const Uuid& ids,
                        const Target& target, const Context& context);

/// Puts every piece of the order's items that is in no line yet into lines in the initial delivery
/// state, one line per item, in shipments by the items' requested methods. New shipments come
/// behind those that the order has. They and their lines get ids of the family of `ids`, of which
/// the order must have none yet.
void ship_remaining(pb::Order& order, const Uuid& ids, Micros now, const Settings& settings);

/// Sets the URL of each tracking number by its shipment's method, deleted and disabled ones too.
void add_tracking_urls(pb::Order& order, const Settings& settings);

/// OK if `update_shipments` could be called on the order now, else its refusal.
absl::Status may_update_shipments(const pb::Order& order, const Settings& settings);

}  // namespace orderd::rules
