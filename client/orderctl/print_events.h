#pragma once

#include <string>
#include <vector>

#include "orders/v1/event.pb.h"

// What happened to orders, in words.

namespace orderd::cli {

/// The columns of an event, with `second` as the second one.
std::vector<std::string> event_headings(std::string second);
std::vector<std::string> event_row(const orders::v1::OrderEvent& event, std::string second);

/// An order in a few words: "1001, processing, 29.99 EUR, ada@example.com".
std::string order_words(const orders::v1::Order& order);

}  // namespace orderd::cli
