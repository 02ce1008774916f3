#include "tests/fuzz/calls.h"

#include <algorithm>
#include <charconv>

#include "orders/sandbox/v1/sandbox.pb.h"
#include "orders/v1/access_service.pb.h"
#include "orders/v1/order_service.pb.h"
#include "orders/v1/settings_service.pb.h"
#include "storage/model.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/proto_mutator.h"

namespace orderd::fuzz {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

/// An input with more is cut when it is changed.
constexpr std::size_t kMostCalls = 64;

template <class Visit>
void each_text(Message& message, const Visit& visit) {
  std::vector<const FieldDescriptor*> fields;
  const auto& r = *message.GetReflection();
  r.ListFields(message, &fields);
  for (const auto* field : fields) {
    const int size = field->is_repeated() ? r.FieldSize(message, field) : 1;
    for (int i = 0; i < size; ++i) {
      if (field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
        each_text(field->is_repeated() ? *r.MutableRepeatedMessage(&message, field, i)
                                       : *r.MutableMessage(&message, field),
                  visit);
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
        const std::string old = field->is_repeated() ? r.GetRepeatedString(message, field, i)
                                                     : r.GetString(message, field);
        const std::string changed = visit(field->name(), old);
        if (changed == old) continue;
        if (field->is_repeated()) {
          r.SetRepeatedString(&message, field, i, changed);
        } else {
          r.SetString(&message, field, changed);
        }
      }
    }
  }
}

}  // namespace

const Methods& methods() {
  static const auto* all = [] {
    auto* found = new Methods;
    for (const auto* file : {pb::CreateOrderRequest::descriptor()->file(),
                             pb::CreateOrderStateRequest::descriptor()->file(),
                             pb::CreateApiKeyRequest::descriptor()->file(),
                             ::orders::sandbox::v1::AuthorizeRequest::descriptor()->file()}) {
      for (int s = 0; s < file->service_count(); ++s) {
        for (int m = 0; m < file->service(s)->method_count(); ++m) {
          found->push_back(file->service(s)->method(m));
        }
      }
    }
    return found;
  }();
  return *all;
}

const google::protobuf::MethodDescriptor* find_method(std::string_view name) {
  for (const google::protobuf::MethodDescriptor* method : methods()) {
    if (method->name() == name) return method;
  }
  return nullptr;
}

std::vector<Call> read_calls(std::string_view input, std::size_t limit) {
  std::vector<Call> calls;
  while (calls.size() < limit) {
    const auto space = input.find(' ');
    const auto line = input.find('\n');
    if (line == std::string_view::npos || space > line) return calls;
    std::size_t length = 0;
    const auto [end, error] =
        std::from_chars(input.data() + space + 1, input.data() + line, length);
    if (error != std::errc() || end != input.data() + line) return calls;
    Call call{std::string(input.substr(0, space)), std::string(input.substr(line + 1, length))};
    input.remove_prefix(std::min(input.size(), line + 1 + call.message.size()));
    if (find_method(call.method) != nullptr) calls.push_back(std::move(call));
  }
  return calls;
}

std::string write_calls(const std::vector<Call>& calls) {
  std::string text;
  for (const Call& call : calls) {
    text += call.method + " " + std::to_string(call.message.size()) + "\n" + call.message;
  }
  return text;
}

std::unique_ptr<Message> new_message(const google::protobuf::Descriptor* type) {
  return std::unique_ptr<Message>(
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(type)->New());
}

void Seen::add(const Message& answer) {
  // Nothing is changed, but a visitor may.
  each_text(
      const_cast<Message&>(answer), [this](const std::string& name, const std::string& value) {
        if (name.ends_with("_id") || name.ends_with("etag") || name.ends_with("_token")) {
          auto& values = values_[name];
          if (!value.empty() && std::find(values.begin(), values.end(), value) == values.end()) {
            values.push_back(value);
          }
        }
        return value;
      });
}

void Seen::resolve(Message& request) const {
  each_text(request, [this](const std::string&, const std::string& value) {
    if (value.size() < 3 || value[0] != '$') return value;
    const auto found = values_.find(value.substr(1, value.size() - 2));
    const auto index = static_cast<std::size_t>(value.back() - '0');
    if (found == values_.end() || index >= found->second.size()) return value;
    return found->second[index];
  });
}

std::vector<std::string> Seen::values(const std::string& field) const {
  const auto found = values_.find(field);
  return found == values_.end() ? std::vector<std::string>() : found->second;
}

std::string mutate_calls(const std::string& input, const Methods& allowed, std::uint64_t seed) {
  Random random(seed);
  auto calls = read_calls(input, kMostCalls);
  const auto any_method = [&] { return allowed[random() % allowed.size()]->name(); };
  if (calls.empty()) return write_calls({{any_method(), ""}});
  const auto index = random() % calls.size();
  Call& call = calls[index];
  switch (random() % 16) {
    case 0:
      calls.erase(calls.begin() + static_cast<std::ptrdiff_t>(index));
      break;
    case 1:
      calls.push_back(call);
      break;
    case 2:
      std::swap(call, calls[random() % calls.size()]);
      break;
    case 3:
      calls.insert(calls.begin() + static_cast<std::ptrdiff_t>(index), {any_method(), ""});
      break;
    case 4:  // most requests begin alike
      call.method = any_method();
      break;
    case 5:
      call.message = mutate_bytes(call.message, random());
      break;
    default: {
      const auto* method = find_method(call.method);
      const auto message = new_message(method->input_type());
      if (!message->ParsePartialFromString(call.message)) message->Clear();
      for (auto changes = 1 + random() % 3; changes > 0; --changes) mutate(*message, random);
      call.message = message->SerializePartialAsString();
    }
  }
  return write_calls(calls);
}

}  // namespace orderd::fuzz
