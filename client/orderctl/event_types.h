#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "orders/v1/event.pb.h"

// The types of events, by the names of their fields in `OrderEvent`: "state_changed".

namespace orderd::cli {

/// Adds `--type`, which may be repeated and takes only names of types.
void add_event_type_option(CLI::App& command, std::vector<std::string>& names);

/// Of a name that `--type` took.
orders::v1::OrderEventType event_type(const std::string& name);

}  // namespace orderd::cli
