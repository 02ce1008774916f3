#pragma once

#include <cstddef>

#include <google/protobuf/message.h>

#include "storage/model.h"

namespace orderd::rpc {

/// Adds the order to a field of the response that is an Order, or a list of them, as callers of
/// this view see it. Returns its size in bytes.
///
/// It is added as bytes, which are what the caller gets; the response's own accessors don't show
/// it. An order is asked for much more often than it changes, so the bytes of its full view are
/// kept with it: neither copied, nor judged by every rule, nor written to the wire anew for each
/// caller.
std::size_t add_order(const StoredOrder& order, pb::OrderView view, const Settings& settings,
                      int field_number, google::protobuf::Message& response);

}  // namespace orderd::rpc
