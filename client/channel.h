#pragma once

#include <memory>

#include "client/options.h"

// How the library connects. Not part of its interface.

namespace grpc {
class Channel;
class ClientContext;
}  // namespace grpc

namespace orderd::client::internal {

/// Channels to the same server share a connection, unless one is to be `apart`. Throws
/// std::runtime_error if a file of the options can't be read.
std::shared_ptr<grpc::Channel> connect(const Options& options, bool apart = false);

/// With the key from its file, if it comes from one. Throws std::runtime_error if there is none.
Options with_key(Options options);

/// Sends the key with a call.
void add_key(grpc::ClientContext& context, const Options& options);

}  // namespace orderd::client::internal
