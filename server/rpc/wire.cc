#include "server/rpc/wire.h"

#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <google/protobuf/descriptor.h>
#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/strings/str_cat.h"
#include "google/rpc/status.pb.h"
#include "server/orders/errors.h"
#include "server/orders/utf8.h"

namespace orderd::rpc {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::internal::WireFormatLite;

constexpr int kMaxDepth = 32;

/// Walks the wire format and adds a violation for each string that is not UTF-8. False if the bytes
/// are not a message at all.
bool find_invalid_text(std::string_view bytes, const Descriptor& type, const std::string& prefix,
                       int depth, errors::Violations& violations) {
  if (depth > kMaxDepth) return false;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  std::map<int, int> counts;
  while (const std::uint32_t tag = in.ReadTag()) {
    const FieldDescriptor* field = type.FindFieldByNumber(WireFormatLite::GetTagFieldNumber(tag));
    const bool text_or_message =
        field != nullptr &&
        (field->type() == FieldDescriptor::TYPE_STRING ||
         field->type() == FieldDescriptor::TYPE_MESSAGE) &&
        WireFormatLite::GetTagWireType(tag) == WireFormatLite::WIRETYPE_LENGTH_DELIMITED;
    if (!text_or_message) {
      if (!WireFormatLite::SkipField(&in, tag)) return false;
      continue;
    }
    std::uint32_t length = 0;
    std::string value;
    if (!in.ReadVarint32(&length) || !in.ReadString(&value, static_cast<int>(length))) return false;
    std::string name = absl::StrCat(prefix, field->name());
    if (field->is_repeated() && !field->is_map()) {
      absl::StrAppend(&name, "[", counts[field->number()]++, "]");
    }
    if (field->type() == FieldDescriptor::TYPE_STRING) {
      if (!rules::count_code_points(value)) {
        violations.add(name, "must be valid UTF-8");
      }
    } else if (!find_invalid_text(value, *field->message_type(), name + ".", depth + 1,
                                  violations)) {
      return false;
    }
  }
  return in.ConsumedEntireMessage();
}

std::string flatten(const grpc::ByteBuffer& bytes) {
  std::vector<grpc::Slice> slices;
  std::string flat;
  if (!bytes.Dump(&slices).ok()) return flat;
  for (const grpc::Slice& slice : slices) {
    flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return flat;
}

}  // namespace

absl::Status parse(const grpc::ByteBuffer& bytes, google::protobuf::Message& message) {
  errors::Violations violations;
  if (bytes.Length() > kMaxMessageBytes) {
    violations.add("", absl::StrCat("the message has ", bytes.Length(), " bytes; at most ",
                                    kMaxMessageBytes, " are taken"));
    return violations.status();
  }
  grpc::ByteBuffer copy(bytes);  // counts references, copies no bytes
  {
    grpc::ProtoBufferReader reader(&copy);
    if (message.ParseFromZeroCopyStream(&reader)) {
      message.DiscardUnknownFields();
      return absl::OkStatus();
    }
  }
  if (!find_invalid_text(flatten(bytes), *message.GetDescriptor(), "", 0, violations) ||
      violations.empty()) {
    violations.add("", "the bytes are not a " + message.GetDescriptor()->full_name());
  }
  return violations.status();
}

absl::Status serialize(const google::protobuf::Message& message, grpc::ByteBuffer& bytes) {
  bool own = false;
  const grpc::Status status =
      grpc::SerializationTraits<google::protobuf::Message>::Serialize(message, &bytes, &own);
  return status.ok() ? absl::OkStatus() : errors::internal();
}

grpc::Status to_grpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  const google::rpc::Status proto = errors::to_proto(status);
  return {static_cast<grpc::StatusCode>(proto.code()), proto.message(), proto.SerializeAsString()};
}

}  // namespace orderd::rpc
