#include "server/orders/methods.h"

#include <algorithm>

#include <fmt/format.h>
#include <google/protobuf/util/message_differencer.h>

#include "server/orders/lookup.h"
#include "server/orders/setting_fields.h"
#include "server/orders/text.h"

namespace orderd::rules {
namespace {

constexpr std::size_t kMaxMethods = 1000;
constexpr std::size_t kMaxTemplate = 1024;
constexpr std::string_view kPlaceholder = "{tracking_number}";
constexpr std::string_view kChangeable[] = {
    "display_name", "carrier", "tracking_url_template", "enabled", "position",
};

/// Unreserved characters of RFC 3986 stand for themselves.
std::string percent_encoded(std::string_view text) {
  constexpr std::string_view kUnreserved =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  std::string encoded;
  for (const char c : text) {
    if (kUnreserved.find(c) != kUnreserved.npos) {
      encoded += c;
    } else {
      encoded += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return encoded;
}

std::string filled_in(std::string_view url_template, std::string_view value) {
  std::string url;
  for (auto at = url_template.find(kPlaceholder); at != url_template.npos;
       at = url_template.find(kPlaceholder)) {
    url += url_template.substr(0, at);
    url += value;
    url_template.remove_prefix(at + kPlaceholder.size());
  }
  url += url_template;
  return url;
}

/// What a URL may consist of (RFC 3986), apart from its scheme.
bool is_url_text(std::string_view text) {
  constexpr std::string_view kPunctuation = "-._~:/?#[]@!$&'()*+,;=%";
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           kPunctuation.find(c) != kPunctuation.npos;
  });
}

void check_template(std::string_view text, errors::Violations& violations) {
  const std::string field = "method.tracking_url_template";
  if (text.empty()) return;
  check_text(text, 0, kMaxTemplate, field, violations);
  std::string_view rest = text;
  for (std::string_view scheme : {"https://", "http://"}) {
    if (rest.starts_with(scheme)) rest.remove_prefix(scheme.size());
  }
  // The tracking number must not choose the host.
  const auto host = rest.substr(0, rest.find_first_of("/?#"));
  if (rest.size() == text.size() || host.empty() || !is_url_text(host)) {
    violations.add(field, "must be empty or an http or https URL");
  } else if (!is_url_text(filled_in(rest, ""))) {
    violations.add(field, "must consist of characters of a URL and {tracking_number}");
  } else if (rest.find(kPlaceholder) == rest.npos) {
    violations.add(field, "must contain {tracking_number}");
  }
}

void check_display_name(const pb::ShipmentMethod& method, errors::Violations& violations) {
  check_text(method.display_name(), 1, 255, "method.display_name", violations);
}

void check_carrier(const pb::ShipmentMethod& method, errors::Violations& violations) {
  check_text(method.carrier(), 0, 255, "method.carrier", violations);
}

}  // namespace

absl::Status validate(const pb::CreateShipmentMethodRequest& request) {
  errors::Violations violations;
  check_settings_call(request, violations);
  if (!request.has_method()) {
    violations.add("method", "must be given");
    return violations.status();
  }
  check_slug(request.method().method_id(), "method.method_id", violations);
  check_display_name(request.method(), violations);
  check_carrier(request.method(), violations);
  check_template(request.method().tracking_url_template(), violations);
  return violations.status();
}

absl::Status validate(const pb::GetShipmentMethodRequest& request) {
  errors::Violations violations;
  check_id(request.method_id(), "method_id", violations);
  return violations.status();
}

absl::Status validate(const pb::ListShipmentMethodsRequest&) { return absl::OkStatus(); }

absl::Status validate(const pb::UpdateShipmentMethodRequest& request) {
  errors::Violations violations;
  check_settings_call(request, violations);
  check_id(request.method().method_id(), "method.method_id", violations);
  check_mask(request.update_mask(), kChangeable, violations);
  for (const auto& path : request.update_mask().paths()) {
    if (path == "display_name") check_display_name(request.method(), violations);
    if (path == "carrier") check_carrier(request.method(), violations);
    if (path == "tracking_url_template") {
      check_template(request.method().tracking_url_template(), violations);
    }
  }
  return violations.status();
}

absl::Status validate(const pb::DeleteShipmentMethodRequest& request) {
  errors::Violations violations;
  check_settings_call(request, violations);
  check_id(request.method_id(), "method_id", violations);
  return violations.status();
}

absl::StatusOr<SettingsChange> create_method(const pb::CreateShipmentMethodRequest& request,
                                             const Settings& settings) {
  const std::string& id = request.method().method_id();
  if (any(settings.methods, id)) return errors::shipment_method_exists(id);
  if (settings.methods.size() >= kMaxMethods) {
    return errors::too_many_shipment_methods(static_cast<int>(kMaxMethods));
  }
  SettingsChange change;
  change.saved_methods.push_back(request.method());
  change.saved_methods.back().clear_delete_time();
  return change;
}

absl::StatusOr<SettingsChange> update_method(const pb::UpdateShipmentMethodRequest& request,
                                             const Settings& settings) {
  const std::string& id = request.method().method_id();
  const auto* before = live(settings.methods, id);
  if (!before) return errors::shipment_method_not_found(id);
  auto after = merged(*before, request.method(), request.update_mask());
  SettingsChange change;
  if (!google::protobuf::util::MessageDifferencer::Equals(*before, after)) {
    change.saved_methods.push_back(std::move(after));
  }
  return change;
}

absl::StatusOr<SettingsChange> delete_method(const pb::DeleteShipmentMethodRequest& request,
                                             Micros now, const Settings& settings) {
  const auto* method = live(settings.methods, request.method_id());
  if (!method) return errors::shipment_method_not_found(request.method_id());
  SettingsChange change;
  change.saved_methods.push_back(*method);
  *change.saved_methods.back().mutable_delete_time() = to_timestamp(now);
  return change;
}

const pb::ShipmentMethod* default_method(const Settings& settings) {
  return first_live(settings.methods, [](const auto& method) { return method.enabled(); });
}

absl::Status check_method(const std::string& method_id, bool enabled_only,
                          const Settings& settings) {
  const auto* method = live(settings.methods, method_id);
  if (!method) return errors::shipment_method_unknown(method_id);
  if (enabled_only && !method->enabled()) return errors::shipment_method_disabled(method_id);
  return absl::OkStatus();
}

std::string tracking_url(const pb::ShipmentMethod& method, std::string_view tracking_number) {
  return filled_in(method.tracking_url_template(), percent_encoded(tracking_number));
}

}  // namespace orderd::rules
