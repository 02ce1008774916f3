#include "client/orderctl/event_types.h"

namespace orderd::cli {
namespace {

namespace pb = ::orders::v1;

const google::protobuf::OneofDescriptor& payloads() {
  return *pb::OrderEvent::descriptor()->FindOneofByName("payload");
}

}  // namespace

void add_event_type_option(CLI::App& command, std::vector<std::string>& names) {
  std::vector<std::string> known;
  for (int i = 0; i < payloads().field_count(); ++i) known.push_back(payloads().field(i)->name());
  command.add_option("--type", names, "Only what is of this type; may be repeated")
      ->allow_extra_args(false)
      ->check(CLI::IsMember(known));
}

pb::OrderEventType event_type(const std::string& name) {
  const auto* field = pb::OrderEvent::descriptor()->FindFieldByName(name);
  return static_cast<pb::OrderEventType>(field->number());
}

}  // namespace orderd::cli
