#include "server/engine/request_hash.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/unknown_field_set.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "orders/v1/order_service.pb.h"
#include "orders/v1/settings_service.pb.h"

namespace orderd::engine {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

/// Every mutation whose body can be hashed.
std::vector<std::unique_ptr<Message>> requests() {
  std::vector<std::unique_ptr<Message>> all;
  all.push_back(std::make_unique<pb::CreateOrderRequest>());
  all.push_back(std::make_unique<pb::ImportOrdersRequest>());
  all.push_back(std::make_unique<pb::UpdateOrderRequest>());
  all.push_back(std::make_unique<pb::UpdateOrderStatusRequest>());
  all.push_back(std::make_unique<pb::BatchUpdateOrderStatusRequest>());
  all.push_back(std::make_unique<pb::OrderStatusUpdate>());
  all.push_back(std::make_unique<pb::UpdateInvoiceRequest>());
  all.push_back(std::make_unique<pb::AddNoteRequest>());
  all.push_back(std::make_unique<pb::UpdateNoteRequest>());
  all.push_back(std::make_unique<pb::DeleteNoteRequest>());
  all.push_back(std::make_unique<pb::CreateOrderStateRequest>());
  all.push_back(std::make_unique<pb::UpdateOrderStateRequest>());
  all.push_back(std::make_unique<pb::DeleteOrderStateRequest>());
  return all;
}

void fill(Message& message, int depth);

/// Gives a field a value that differs from its default; a repeated one gets an element more.
void set(Message& message, const FieldDescriptor& field, int depth) {
  const auto& reflection = *message.GetReflection();
  const bool many = field.is_repeated();
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      many ? reflection.AddInt32(&message, &field, 7) : reflection.SetInt32(&message, &field, 7);
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      many ? reflection.AddInt64(&message, &field, 7) : reflection.SetInt64(&message, &field, 7);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      many ? reflection.AddBool(&message, &field, true)
           : reflection.SetBool(&message, &field, true);
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      many ? reflection.AddEnumValue(&message, &field, 1)
           : reflection.SetEnumValue(&message, &field, 1);
      break;
    case FieldDescriptor::CPPTYPE_STRING:
      many ? reflection.AddString(&message, &field, "text")
           : reflection.SetString(&message, &field, "text");
      break;
    case FieldDescriptor::CPPTYPE_MESSAGE:
      if (depth > 0) {
        fill(many ? *reflection.AddMessage(&message, &field)
                  : *reflection.MutableMessage(&message, &field),
             depth - 1);
      }
      break;
    default:
      FAIL() << "no value for " << field.full_name();
  }
}

void fill(Message& message, int depth) {
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    set(message, *message.GetDescriptor()->field(i), depth);
  }
}

/// Changes one field of the message or of a message within, and tells `visit`; then the next.
void change_each(Message& message, const std::string& path,
                 const std::function<void(const std::string&)>& visit) {
  const auto& reflection = *message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor& field = *message.GetDescriptor()->field(i);
    if (path.empty() && field.name() == "request_id") continue;
    const std::string name = path + field.name();
    std::unique_ptr<Message> before(message.New());
    before->CopyFrom(message);

    reflection.ClearField(&message, &field);
    visit(name + " cleared");
    message.CopyFrom(*before);

    if (field.is_repeated()) {
      set(message, field, 3);
      if (!field.is_map()) visit(name + " with one more");
      message.CopyFrom(*before);
    } else {
      switch (field.cpp_type()) {
        case FieldDescriptor::CPPTYPE_INT32:
          reflection.SetInt32(&message, &field, 8);
          break;
        case FieldDescriptor::CPPTYPE_INT64:
          reflection.SetInt64(&message, &field, 8);
          break;
        case FieldDescriptor::CPPTYPE_ENUM:
          reflection.SetEnumValue(&message, &field, 2);
          break;
        case FieldDescriptor::CPPTYPE_STRING:
          reflection.SetString(&message, &field, "texT");
          break;
        default:
          break;  // a bool has only the other value, and a message is changed within
      }
      if (field.cpp_type() != FieldDescriptor::CPPTYPE_BOOL &&
          field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) {
        visit(name + " changed");
      }
      message.CopyFrom(*before);
    }

    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) continue;
    // Of a map the value alone: another key of the same text would be another entry.
    if (field.is_map()) continue;
    if (field.is_repeated() && reflection.FieldSize(message, &field) == 0) continue;
    if (!field.is_repeated() && !reflection.HasField(message, &field)) continue;
    Message& nested = field.is_repeated() ? *reflection.MutableRepeatedMessage(&message, &field, 0)
                                          : *reflection.MutableMessage(&message, &field);
    change_each(nested, name + ".", visit);
    message.CopyFrom(*before);
  }
}

TEST(BodyHash, EverySingleFieldCounts) {
  for (const auto& request : requests()) {
    fill(*request, 5);
    const std::string whole = body_hash(*request);
    EXPECT_EQ(whole.size(), 32u);
    std::set<std::string> hashes{whole};
    int changes = 0;
    change_each(*request, "", [&](const std::string& what) {
      ++changes;
      EXPECT_TRUE(hashes.insert(body_hash(*request)).second)
          << request->GetDescriptor()->name() << ": " << what;
    });
    EXPECT_GE(changes, request->GetDescriptor()->field_count());
    EXPECT_EQ(body_hash(*request), whole);
  }
}

TEST(BodyHash, EqualRequestsHashEqualAfterTheWire) {
  for (const auto& request : requests()) {
    fill(*request, 5);
    std::unique_ptr<Message> parsed(request->New());
    ASSERT_TRUE(parsed->ParseFromString(request->SerializeAsString()));
    EXPECT_EQ(body_hash(*parsed), body_hash(*request));
  }
}

TEST(BodyHash, TheRequestIdDoesNotCount) {
  pb::UpdateInvoiceRequest request;
  request.set_order_id("o");
  request.set_invoice_number("1");
  const std::string without = body_hash(request);
  request.set_request_id("0190a0d8-0000-7000-8000-000000000001");
  EXPECT_EQ(body_hash(request), without);

  pb::CreateOrderRequest create;
  (*create.mutable_order()->mutable_labels())["a"] = "";
  (*create.mutable_order()->mutable_labels())["b"] = "2";
  const std::string plain = body_hash(create);
  create.set_request_id("0190a0d8-0000-7000-8000-000000000001");
  EXPECT_EQ(body_hash(create), plain);
}

TEST(BodyHash, RequestsOfDifferentMethodsDiffer) {
  pb::AddNoteRequest add;
  add.set_order_id("o");
  pb::DeleteNoteRequest remove;
  remove.set_order_id("o");
  EXPECT_NE(body_hash(add), body_hash(remove));
}

/// One entry of CreateOrderRequest.order->labels on the wire; empty strings are left out.
std::string label_on_the_wire(const std::string& key, const std::string& value) {
  std::string entry;
  if (!key.empty()) entry += "\x0a" + std::string(1, static_cast<char>(key.size())) + key;
  if (!value.empty()) entry += "\x12" + std::string(1, static_cast<char>(value.size())) + value;
  return "\x42" + std::string(1, static_cast<char>(entry.size())) + entry;
}

pb::CreateOrderRequest parsed_with_labels(const std::string& labels) {
  pb::CreateOrderRequest request;
  EXPECT_TRUE(
      request.ParseFromString("\x12" + std::string(1, static_cast<char>(labels.size())) + labels));
  return request;
}

TEST(BodyHash, TheOrderOfAMapDoesNotCount) {
  const auto forward =
      parsed_with_labels(label_on_the_wire("a", "1") + label_on_the_wire("b", "2"));
  const auto back = parsed_with_labels(label_on_the_wire("b", "2") + label_on_the_wire("a", "1"));
  ASSERT_EQ(forward.order().labels_size(), 2);
  EXPECT_EQ(body_hash(forward), body_hash(back));
  const auto swapped =
      parsed_with_labels(label_on_the_wire("a", "2") + label_on_the_wire("b", "1"));
  EXPECT_NE(body_hash(forward), body_hash(swapped));

  std::mt19937 random(20261123);
  std::vector<int> keys(200);
  for (int i = 0; i < 200; ++i) keys[static_cast<std::size_t>(i)] = i;
  const auto build = [&] {
    pb::CreateOrderRequest request;
    for (int key : keys) {
      (*request.mutable_order()->mutable_labels())["k" + std::to_string(key)] = std::to_string(key);
    }
    return body_hash(request);
  };
  const std::string first = build();
  for (int i = 0; i < 5; ++i) {
    std::shuffle(keys.begin(), keys.end(), random);
    EXPECT_EQ(build(), first);
  }
}

TEST(BodyHash, AnEmptyLabelIsTheSameHoweverItWasMade) {
  const auto parsed = parsed_with_labels(label_on_the_wire("a", ""));
  pb::CreateOrderRequest built;
  (*built.mutable_order()->mutable_labels())["a"] = "";
  pb::CreateOrderRequest explicitly;  // key and value both on the wire
  ASSERT_TRUE(
      explicitly.ParseFromString(std::string("\x12\x07\x42\x05\x0a\x01"
                                             "a\x12\x00",
                                             9)));
  ASSERT_EQ(explicitly.order().labels().at("a"), "");
  EXPECT_EQ(body_hash(parsed), body_hash(built));
  EXPECT_EQ(body_hash(explicitly), body_hash(built));
  EXPECT_NE(body_hash(built), body_hash(pb::CreateOrderRequest()));
}

TEST(BodyHash, UnknownFieldsDoNotCountAtAnyDepth) {
  pb::CreateOrderRequest request;
  request.mutable_order()->add_items()->set_sku("s");
  const std::string plain = body_hash(request);
  request.GetReflection()->MutableUnknownFields(&request)->AddVarint(1000, 1);
  auto& item = *request.mutable_order()->mutable_items(0);
  item.GetReflection()->MutableUnknownFields(&item)->AddLengthDelimited(1001, "new");
  EXPECT_EQ(body_hash(request), plain);
}

TEST(BodyHash, DefaultIsUnsetUnlessTheFieldTellsThemApart) {
  // A scalar of proto3 that holds its default is unset.
  pb::UpdateInvoiceRequest cleared;
  cleared.set_order_id("o");
  const std::string unset = body_hash(cleared);
  cleared.set_invoice_number("");
  EXPECT_EQ(body_hash(cleared), unset);

  // A message knows whether it is there: unset enterable_from and an empty one are different
  // wishes.
  pb::CreateOrderStateRequest state;
  state.mutable_state()->set_state_id("s");
  const std::string any = body_hash(state);
  state.mutable_state()->mutable_enterable_from();
  EXPECT_NE(body_hash(state), any);

  // And so does an optional scalar.
  pb::ListOrdersRequest list;
  list.mutable_filter()->mutable_label()->set_key("k");
  const std::string without = body_hash(list);
  list.mutable_filter()->mutable_label()->set_value("");
  EXPECT_NE(body_hash(list), without);
}

TEST(BodyHash, TextDoesNotRunFromOneFieldIntoTheNext) {
  pb::UpdateNoteRequest a;
  a.set_note_id("n1");
  a.set_body("body");
  pb::UpdateNoteRequest b;
  b.set_note_id("n");
  b.set_body("1body");
  EXPECT_NE(body_hash(a), body_hash(b));

  pb::UpdateOrderRequest one;
  one.mutable_update_mask()->add_paths("ab");
  pb::UpdateOrderRequest two;
  two.mutable_update_mask()->add_paths("a");
  two.mutable_update_mask()->add_paths("b");
  EXPECT_NE(body_hash(one), body_hash(two));
}

TEST(BodyHash, TheOrderOfARepeatedFieldCounts) {
  pb::UpdateOrderRequest one;
  one.mutable_update_mask()->add_paths("labels");
  one.mutable_update_mask()->add_paths("customer");
  pb::UpdateOrderRequest two;
  two.mutable_update_mask()->add_paths("customer");
  two.mutable_update_mask()->add_paths("labels");
  EXPECT_NE(body_hash(one), body_hash(two));
}

TEST(RequestKey, IsScopedByIdentityMethodIdAndIndex) {
  const Uuid id = Uuid::generate();
  std::set<RequestKey> keys;
  for (const char* actor : {"a", "b", "aM", ""}) {
    for (const char* method : {"M", "N", "MM", ""}) {
      for (int index : {0, 1, 255, 256, 65536, 1 << 24}) {
        for (const Uuid& request : {id, Uuid::generate()}) {
          EXPECT_TRUE(keys.insert(request_key(actor, method, request, index)).second);
        }
      }
    }
  }
  EXPECT_EQ(request_key("a", "M", id, 3), request_key("a", "M", id, 3));
}

TEST(RequestKey, SortsByTheRequestId) {
  const Uuid first = Uuid::generate();
  const Uuid second = Uuid::generate();
  ASSERT_LT(first, second);
  EXPECT_LT(request_key("z", "Z", first, 9), request_key("a", "A", second, 0));
  EXPECT_LT(request_key("a", "A", first, 1), request_key("a", "A", first, 2));
}

}  // namespace
}  // namespace orderd::engine
