#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace orderd::fuzz {

using Methods = std::vector<const google::protobuf::MethodDescriptor*>;

/// All of the server's services.
const Methods& methods();
/// Null: none of them has that name.
const google::protobuf::MethodDescriptor* find_method(std::string_view name);

/// One message to a server. Inputs of targets are lists of them, each as
///   METHOD LENGTH LF MESSAGE
/// with the message as it goes over the wire, except that names of the form "$FIELDn" stand for ids
/// and tokens that are not known before (see Seen).
struct Call {
  std::string method;
  std::string message;
};

/// Reads what can be read, from any bytes, without methods that there are not. At most `limit`.
std::vector<Call> read_calls(std::string_view input, std::size_t limit);
std::string write_calls(const std::vector<Call>& calls);

/// Changes the list, a request of it or its bytes, at random. New calls are of `allowed`.
std::string mutate_calls(const std::string& input, const Methods& allowed, std::uint64_t seed);

std::unique_ptr<google::protobuf::Message> new_message(const google::protobuf::Descriptor* type);

/// The ids, etags and tokens that a server has answered so far, by the names of their fields.
class Seen {
 public:
  void add(const google::protobuf::Message& answer);
  /// "$order_id1" becomes the second order id that there was.
  void resolve(google::protobuf::Message& request) const;
  /// Of one field, oldest first.
  std::vector<std::string> values(const std::string& field) const;

 private:
  std::map<std::string, std::vector<std::string>> values_;
};

}  // namespace orderd::fuzz
