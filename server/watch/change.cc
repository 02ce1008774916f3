#include "server/watch/change.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>

#include <utility>

#include "orders/v1/watch.pb.h"

namespace orderd::watch {
namespace {

using google::protobuf::internal::WireFormatLite;

void write_bytes(int field, const std::string& bytes,
                 google::protobuf::io::CodedOutputStream& out) {
  out.WriteTag(WireFormatLite::MakeTag(field, WireFormatLite::WIRETYPE_LENGTH_DELIMITED));
  out.WriteVarint32(static_cast<std::uint32_t>(bytes.size()));
  out.WriteString(bytes);
}

}  // namespace

std::string order_change(const Uuid& order_id, std::int64_t version,
                         const std::vector<const std::string*>& events, bool left_filter) {
  // Events stay as they were written: to read and write them again would be most of the work.
  using orders::v1::OrderChange;
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream out(&stream);
    write_bytes(OrderChange::kOrderIdFieldNumber, order_id.to_string(), out);
    write_bytes(OrderChange::kEtagFieldNumber, std::to_string(version), out);
    for (const std::string* event : events) {
      write_bytes(OrderChange::kEventsFieldNumber, *event, out);
    }
    if (left_filter) {
      out.WriteTag(WireFormatLite::MakeTag(OrderChange::kLeftFilterFieldNumber,
                                           WireFormatLite::WIRETYPE_VARINT));
      out.WriteVarint32(1);
    }
  }
  return bytes;
}

Change::Change(storage::FeedChange change)
    : position(change.position),
      order_id(change.order_id),
      version(change.version),
      facts_known(!change.facts.empty() && facts.ParseFromString(change.facts)),
      events(std::move(change.events)) {
  std::vector<const std::string*> all;
  for (const auto& event : events) all.push_back(&event.event);
  whole = order_change(order_id, version, all, /*left_filter=*/false);
  bytes = sizeof(Change) + 2 * whole.size() + facts.SpaceUsedLong();
}

}  // namespace orderd::watch
