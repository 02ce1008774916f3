#include "server/rpc/rendering.h"

#include <google/protobuf/unknown_field_set.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

#include "server/orders/actions.h"
#include "server/orders/shipments.h"

namespace orderd::rpc {
namespace {

bool has_tracking_url(const pb::Order& order, const Settings& settings) {
  return std::any_of(
      order.shipments().begin(), order.shipments().end(), [&](const pb::Shipment& shipment) {
        const auto method = settings.methods.find(shipment.method_id());
        return !shipment.tracking_numbers().empty() && method != settings.methods.end() &&
               !method->second.tracking_url_template().empty();
      });
}

std::string full_view(const pb::Order& order, const Settings& settings) {
  std::string bytes;
  if (has_tracking_url(order, settings)) {
    pb::Order with_urls = order;
    rules::add_tracking_urls(with_urls, settings);
    bytes = with_urls.SerializeAsString();
  } else {
    bytes = order.SerializeAsString();
  }
  // The rest of a message can follow its beginning.
  pb::Order rest;
  rules::add_available_actions(order, settings, rest);
  rest.AppendToString(&bytes);
  return bytes;
}

std::string summary(const pb::Order& order) {
  const bool is_one = order.items().empty() && order.labels().empty() &&
                      order.shipments().empty() && order.payments().empty();
  if (is_one) return order.SerializeAsString();
  pb::Order copy = order;
  copy.clear_items();
  copy.clear_labels();
  copy.clear_shipments();
  copy.clear_payments();
  return copy.SerializeAsString();
}

std::shared_ptr<const Rendering> rendering_of(const StoredOrder& order, const Settings& settings) {
  auto kept = order.rendering.get();
  if (kept == nullptr || kept->settings_version != settings.version) {
    kept =
        std::make_shared<Rendering>(Rendering{settings.version, full_view(order.order, settings)});
    order.rendering.keep(kept);
  }
  return kept;
}

}  // namespace

std::size_t add_order(const StoredOrder& order, pb::OrderView view, const Settings& settings,
                      int field_number, google::protobuf::Message& response) {
  auto* fields = response.GetReflection()->MutableUnknownFields(&response);
  std::string& bytes = *fields->AddLengthDelimited(field_number);
  bytes =
      view == pb::ORDER_VIEW_SUMMARY ? summary(order.order) : rendering_of(order, settings)->bytes;
  return bytes.size();
}

}  // namespace orderd::rpc
