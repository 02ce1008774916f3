#include "server/engine/request_hash.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/map_field.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace orderd::engine {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// The canonical text of a message: field number and value of every field that is set, in the order
// of the numbers, map entries in the order of their keys. Protobuf's own deterministic
// serialization comes close but also writes unknown fields, which are no part of the request.
void append(const Message& message, std::string& out);

void append_size(std::size_t size, std::string& out) {
  const auto value = static_cast<std::uint64_t>(size);
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_bytes(std::string_view bytes, std::string& out) {
  append_size(bytes.size(), out);
  out += bytes;
}

template <typename T>
void append_number(T value, std::string& out) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void append_value(const Message& message, const FieldDescriptor& field, int index,
                  std::string& out) {
  const Reflection& get = *message.GetReflection();
  const bool many = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return append_number(
          many ? get.GetRepeatedInt32(message, &field, index) : get.GetInt32(message, &field), out);
    case FieldDescriptor::CPPTYPE_INT64:
      return append_number(
          many ? get.GetRepeatedInt64(message, &field, index) : get.GetInt64(message, &field), out);
    case FieldDescriptor::CPPTYPE_BOOL:
      return append_number(
          many ? get.GetRepeatedBool(message, &field, index) : get.GetBool(message, &field), out);
    case FieldDescriptor::CPPTYPE_ENUM:
      return append_number(many ? get.GetRepeatedEnumValue(message, &field, index)
                                : get.GetEnumValue(message, &field),
                           out);
    case FieldDescriptor::CPPTYPE_STRING: {
      std::string scratch;
      return append_bytes(many ? get.GetRepeatedStringReference(message, &field, index, &scratch)
                               : get.GetStringReference(message, &field, &scratch),
                          out);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      std::string nested;
      append(
          many ? get.GetRepeatedMessage(message, &field, index) : get.GetMessage(message, &field),
          nested);
      return append_bytes(nested, out);
    }
    default:
      throw std::logic_error("a request has a field of a type that is not hashed: " +
                             field.full_name());
  }
}

void append(const Message& message, std::string& out) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);  // by number
  for (const FieldDescriptor* field : fields) {
    append_number(field->number(), out);
    if (!field->is_repeated()) {
      append_value(message, *field, 0, out);
      continue;
    }
    std::vector<std::string> values(
        static_cast<std::size_t>(message.GetReflection()->FieldSize(message, field)));
    for (std::size_t i = 0; i < values.size(); ++i) {
      append_value(message, *field, static_cast<int>(i), values[i]);
    }
    if (field->is_map()) std::sort(values.begin(), values.end());
    append_size(values.size(), out);
    for (const std::string& value : values) append_bytes(value, out);
  }
}

}  // namespace

RequestKey request_key(std::string_view actor, std::string_view method, const Uuid& request_id,
                       int index) {
  std::string scope;
  append_bytes(actor, scope);
  append_bytes(method, scope);
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  SHA256(reinterpret_cast<const unsigned char*>(scope.data()), scope.size(), digest.data());

  // The request id leads, so that ids that rise with time (UUIDv7) are inserted in order.
  RequestKey key;
  std::memcpy(key.bytes.data(), request_id.bytes.data(), 16);
  for (int i = 0; i < 4; ++i) {
    key.bytes[static_cast<std::size_t>(16 + i)] = static_cast<std::uint8_t>(index >> (24 - 8 * i));
  }
  std::memcpy(key.bytes.data() + 20, digest.data(), 12);
  return key;
}

std::string body_hash(const Message& request) {
  std::string text = request.GetDescriptor()->full_name();
  const FieldDescriptor* id = request.GetDescriptor()->FindFieldByName("request_id");
  if (id != nullptr && !request.GetReflection()->GetString(request, id).empty()) {
    std::unique_ptr<Message> rest(request.New());
    rest->CopyFrom(request);
    rest->GetReflection()->ClearField(rest.get(), id);
    append(*rest, text);
  } else {
    append(request, text);
  }
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

}  // namespace orderd::engine
