#pragma once

#include <cstddef>

#include <google/protobuf/message.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include "absl/status/status.h"

namespace orderd::rpc {

/// The largest message that is taken. A larger one, up to what gRPC lets through, is refused with a
/// violation, so that one too large order does not end an import.
inline constexpr std::size_t kMaxMessageBytes = 4u << 20;

/// Reads a message from the wire. gRPC itself would answer UNIMPLEMENTED without a word to bytes
/// that do not parse; this names each string that is not UTF-8 (the usual reason) as a violation.
/// Fields that this version does not know are dropped: they are no part of a request, and must not
/// get into orders and their history with the messages that do.
absl::Status parse(const grpc::ByteBuffer& bytes, google::protobuf::Message& message);

/// Writes a message to the wire.
absl::Status serialize(const google::protobuf::Message& message, grpc::ByteBuffer& bytes);

/// The status with `google.rpc.Status` as its details.
grpc::Status to_grpc(const absl::Status& status);

}  // namespace orderd::rpc
