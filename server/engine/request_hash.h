#pragma once

#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "storage/model.h"

namespace orderd::engine {

/// The key of a retryable call: scope is identity and method; `index` counts the items of a batch.
RequestKey request_key(std::string_view actor, std::string_view method, const Uuid& request_id,
                       int index = 0);

/// SHA-256 over all fields of a request except its `request_id`: equal exactly if the requests are
/// equal field by field, whatever their wire bytes (maps are hashed in the order of their keys;
/// unknown fields do not count).
std::string body_hash(const google::protobuf::Message& request);

}  // namespace orderd::engine
