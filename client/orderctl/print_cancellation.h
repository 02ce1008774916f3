#pragma once

#include <string>
#include <vector>

#include "orders/v1/cancellation.pb.h"
#include "orders/v1/order.pb.h"

namespace orderd::cli {

std::string cancellation_status_text(orders::v1::CancellationStatus status);

/// "refund of 25.50 EUR is initiated"
std::string leg_words(const orders::v1::CancellationLeg& leg);

/// What `CancelOrder` with `validate_only` answered: what would be returned, and how.
void print_cancellation_plan(const orders::v1::CancelOrderResponse& plan);

/// "refund 25.50 EUR and release 34.40 EUR", "return no money": what a plan comes to.
std::string plan_summary(const orders::v1::CancelOrderResponse& plan);

/// "refunded 25.50 EUR, released 34.40 EUR": the sums of a report that are not 0, or "no money
/// returned".
std::string report_summary(const orders::v1::CancellationReport& report);

/// The legs of a report, with what has become of them.
void print_cancellation_legs(const orders::v1::Order& order,
                             const orders::v1::CancellationReport& report);

/// How far the cancellation of an order is, as a part of the order.
void print_cancellation(const orders::v1::Order& order);

}  // namespace orderd::cli
