#pragma once

#include <google/protobuf/descriptor.h>
#include <grpcpp/channel.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/status.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/storage.h"

namespace orderd::fuzz {

/// All that a server is, in this process, on an SQLite file in memory, with an account "shop" at a
/// sandbox. There is one for all inputs; `reset` makes it new.
class World {
 public:
  /// The only one.
  static World& get();

  /// As a server that has just been installed, except for the positions of its feed.
  void reset();

  /// Sends the messages and gives the answers: all of them, or up to the first that is the `last`
  /// that is wanted. The end of the call must come within a minute.
  grpc::Status call(const google::protobuf::MethodDescriptor& method,
                    const std::vector<std::string>& requests,
                    const std::function<bool(const std::string&)>& last,
                    std::vector<std::string>& answers);

  /// What the order is in the database must be what the server says it is, and make sense.
  void check_order(const std::string& order_id);
  /// The sandbox's book must be in order.
  void check_gateway();

 private:
  struct Parts;

  World();
  ~World();

  std::unique_ptr<Parts> parts_;
};

}  // namespace orderd::fuzz
