#include "tests/fuzz/proto_mutator.h"

#include <array>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

#include "tests/fuzz/fuzz.h"

namespace orderd::fuzz {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr std::array<std::int64_t, 20> kNumbers = {0,
                                                   1,
                                                   -1,
                                                   2,
                                                   3,
                                                   7,
                                                   10,
                                                   50,
                                                   99,
                                                   100,
                                                   101,
                                                   250,
                                                   999,
                                                   1000,
                                                   1001,
                                                   1'000'000,
                                                   2147483647LL,
                                                   -2147483648LL,
                                                   std::numeric_limits<std::int64_t>::max(),
                                                   std::numeric_limits<std::int64_t>::min()};

constexpr std::array<std::string_view, 44> kTexts = {
    "",
    " ",
    "a",
    "A-1",
    "A-2",
    "I-1",
    "EUR",
    "USD",
    "JPY",
    "KWD",
    "CLF",
    "XXX",
    "shop",
    "external",
    "ref-1",
    "ref-2",
    "new",
    "processing",
    "completed",
    "fraud",
    "suspended",
    "canceled",
    "pending",
    "confirmed",
    "shipped",
    "delivered",
    "returned",
    "standard",
    "express",
    "pickup",
    "ada@example.com",
    "a@b",
    "DE",
    "*",
    "labels",
    "customer",
    "shipping_address",
    "billing_address",
    "display_name",
    "https://x.example/{tracking_number}",
    "\xf0\x9f\xa7\xbe",
    "\xc2\x85",
    "00000000-0000-4000-8000-000000000001",
    "'; --:x?\\\"",
};

constexpr std::array<std::string_view, 14> kNames = {"order_id",
                                                     "payment_id",
                                                     "transaction_id",
                                                     "shipment_id",
                                                     "line_id",
                                                     "item_id",
                                                     "note_id",
                                                     "email_id",
                                                     "etag",
                                                     "settings_etag",
                                                     "next_page_token",
                                                     "resume_token",
                                                     "gateway_transaction_id",
                                                     "key_id"};

std::size_t below(std::size_t limit, Random& random) { return random() % limit; }

template <class T>
T number(T old, Random& random) {
  switch (below(4, random)) {
    case 0:
      return static_cast<T>(static_cast<std::uint64_t>(old) + 1);
    case 1:
      return static_cast<T>(static_cast<std::uint64_t>(old) - 1);
    case 2:
      return static_cast<T>(random() >> below(64, random));
    default:
      return static_cast<T>(kNumbers[below(kNumbers.size(), random)]);
  }
}

std::string text(const FieldDescriptor& field, const std::string& old, Random& random) {
  switch (below(6, random)) {
    case 0:
      return mutate_bytes(old, random());
    case 1:
      return old + old;
    case 2:  // what a field of this name had in an answer
      return "$" + field.name() + std::to_string(below(3, random));
    default:
      return known_text(random);
  }
}

/// All messages in this one, itself first.
void collect(Message& message, std::vector<Message*>& all) {
  all.push_back(&message);
  std::vector<const FieldDescriptor*> fields;
  const auto& reflection = *message.GetReflection();
  reflection.ListFields(message, &fields);
  for (const auto* field : fields) {
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    if (!field->is_repeated()) {
      collect(*reflection.MutableMessage(&message, field), all);
      continue;
    }
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      collect(*reflection.MutableRepeatedMessage(&message, field, i), all);
    }
  }
}

void set(Message& message, const FieldDescriptor& field, Random& random) {
  const auto& r = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return r.SetInt32(&message, &field, number(r.GetInt32(message, &field), random));
    case FieldDescriptor::CPPTYPE_INT64:
      return r.SetInt64(&message, &field, number(r.GetInt64(message, &field), random));
    case FieldDescriptor::CPPTYPE_UINT32:
      return r.SetUInt32(&message, &field, number(r.GetUInt32(message, &field), random));
    case FieldDescriptor::CPPTYPE_UINT64:
      return r.SetUInt64(&message, &field, number(r.GetUInt64(message, &field), random));
    case FieldDescriptor::CPPTYPE_BOOL:
      return r.SetBool(&message, &field, !r.GetBool(message, &field));
    case FieldDescriptor::CPPTYPE_ENUM:
      return r.SetEnumValue(&message, &field, static_cast<int>(below(12, random)) - 1);
    case FieldDescriptor::CPPTYPE_STRING:
      return r.SetString(&message, &field, text(field, r.GetString(message, &field), random));
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      Message& part = *r.MutableMessage(&message, &field);
      if (below(2, random) == 0) mutate(part, random);
      return;
    }
    default:
      return;
  }
}

void add(Message& message, const FieldDescriptor& field, Random& random) {
  const auto& r = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_ENUM:
      return r.AddEnumValue(&message, &field, static_cast<int>(below(12, random)));
    case FieldDescriptor::CPPTYPE_STRING:
      return r.AddString(&message, &field, text(field, "a", random));
    case FieldDescriptor::CPPTYPE_INT32:
      return r.AddInt32(&message, &field, number(0, random));
    case FieldDescriptor::CPPTYPE_MESSAGE: {
      const int size = r.FieldSize(message, &field);
      Message& part = *r.AddMessage(&message, &field);
      if (size > 0 && below(2, random) == 0) {
        part.CopyFrom(r.GetRepeatedMessage(message, &field, static_cast<int>(below(size, random))));
      }
      if (below(2, random) == 0) mutate(part, random);
      return;
    }
    default:
      return;
  }
}

void change_element(Message& message, const FieldDescriptor& field, int index, Random& random) {
  const auto& r = *message.GetReflection();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_STRING:
      return r.SetRepeatedString(&message, &field, index,
                                 text(field, r.GetRepeatedString(message, &field, index), random));
    case FieldDescriptor::CPPTYPE_ENUM:
      return r.SetRepeatedEnumValue(&message, &field, index, static_cast<int>(below(12, random)));
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return mutate(*r.MutableRepeatedMessage(&message, &field, index), random);
    default:
      return;
  }
}

void mutate_repeated(Message& message, const FieldDescriptor& field, Random& random) {
  const auto& r = *message.GetReflection();
  const int size = r.FieldSize(message, &field);
  if (size == 0) return add(message, field, random);
  const int index = static_cast<int>(below(static_cast<std::size_t>(size), random));
  switch (below(4, random)) {
    case 0:
      return add(message, field, random);
    case 1:
      r.SwapElements(&message, &field, index, size - 1);
      return r.RemoveLast(&message, &field);
    case 2:
      return r.SwapElements(&message, &field, index, 0);
    default:
      return change_element(message, field, index, random);
  }
}

}  // namespace

std::string known_text(Random& random) {
  if (below(3, random) > 0) return std::string(kTexts[below(kTexts.size(), random)]);
  return "$" + std::string(kNames[below(kNames.size(), random)]) + std::to_string(below(4, random));
}

void mutate(Message& message, Random& random) {
  std::vector<Message*> all;
  collect(message, all);
  Message& part = *all[below(all.size(), random)];
  const auto& type = *part.GetDescriptor();
  if (type.field_count() == 0) return;
  const FieldDescriptor* field = nullptr;
  std::vector<const FieldDescriptor*> present;
  part.GetReflection()->ListFields(part, &present);
  // What is there is changed as often as what is not.
  if (!present.empty() && below(2, random) == 0) {
    field = present[below(present.size(), random)];
  } else {
    field =
        type.field(static_cast<int>(below(static_cast<std::size_t>(type.field_count()), random)));
  }
  if (field->is_repeated()) return mutate_repeated(part, *field, random);
  if (part.GetReflection()->HasField(part, field) && below(4, random) == 0) {
    return part.GetReflection()->ClearField(&part, field);
  }
  set(part, *field, random);
}

}  // namespace orderd::fuzz
