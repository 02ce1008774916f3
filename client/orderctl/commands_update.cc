#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/print_order.h"
#include "client/request_id.h"

namespace orderd::cli {
namespace {

struct Flags {
  std::string order;
  std::vector<std::string> set;
  std::vector<std::string> clear;
  std::vector<std::string> labels;
  std::vector<std::string> remove_labels;
  std::string reason;
  std::string etag;
};

/// The field of the customer or an address that "customer.email" names, and its owner.
struct Field {
  google::protobuf::Message* owner;
  const google::protobuf::FieldDescriptor* field;
};

Field field_of(pb::UpdateOrderRequest& request, const std::string& path) {
  const auto dot = path.find('.');
  const std::string part = path.substr(0, dot);
  google::protobuf::Message* owner = part == "customer"          ? request.mutable_customer()
                                     : part == "billing_address" ? request.mutable_billing_address()
                                     : part == "shipping_address"
                                         ? request.mutable_shipping_address()
                                         : static_cast<google::protobuf::Message*>(nullptr);
  if (owner == nullptr) {
    throw LocalError(fmt::format(
        "\"{}\": expected customer.FIELD, billing_address.FIELD or shipping_address.FIELD", path));
  }
  const auto* type = owner->GetDescriptor();
  const auto* field =
      dot == std::string::npos ? nullptr : type->FindFieldByName(path.substr(dot + 1));
  if (field == nullptr) {
    std::string known;
    for (int i = 0; i < type->field_count(); ++i) {
      known += (i == 0 ? "" : ", ") + type->field(i)->name();
    }
    throw LocalError(fmt::format("\"{}\": {} has the fields {}", path, part, known));
  }
  return {owner, field};
}

pb::UpdateOrderRequest request_of(const Flags& flags, const Session& session) {
  pb::UpdateOrderRequest request;
  request.set_request_id(session.request_id.empty() ? client::new_request_id()
                                                    : session.request_id);
  request.set_reason(flags.reason);
  request.set_etag(flags.etag);
  for (const auto& assignment : flags.set) {
    const auto [path, value] = key_value(assignment, "--set");
    const Field field = field_of(request, path);
    field.owner->GetReflection()->SetString(field.owner, field.field, value);
    request.mutable_update_mask()->add_paths(path);
  }
  for (const auto& path : flags.clear) {
    if (path != "customer" && path != "billing_address" && path != "shipping_address" &&
        path != "labels") {
      field_of(request, path);
    }
    request.mutable_update_mask()->add_paths(path);
  }
  return request;
}

/// The labels of a request replace those of the order; so it is read first, and the change is bound
/// to what was read.
absl::Status merge_labels(const client::Client& client, const Flags& flags,
                          pb::UpdateOrderRequest& request) {
  const auto current = full_order(client, request.order_id());
  if (!current.ok()) return current.status();
  *request.mutable_labels() = current->labels();
  for (const auto& label : flags.labels) {
    const auto [key, value] = key_value(label, "--label");
    (*request.mutable_labels())[key] = value;
  }
  for (const auto& key : flags.remove_labels) request.mutable_labels()->erase(key);
  if (flags.etag.empty()) request.set_etag(current->etag());
  return absl::OkStatus();
}

int update(Session& session, const Flags& flags) {
  pb::UpdateOrderRequest request = request_of(flags, session);
  const bool labels = !flags.labels.empty() || !flags.remove_labels.empty();
  if (labels && std::find(flags.clear.begin(), flags.clear.end(), "labels") != flags.clear.end()) {
    throw LocalError("--clear labels goes without --label and --remove-label");
  }
  if (labels) request.mutable_update_mask()->add_paths("labels");
  if (request.update_mask().paths().empty()) {
    throw LocalError("nothing to change: give --set, --clear, --label or --remove-label");
  }
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  request.set_order_id(*id);

  // Somebody else may change the order between the read of its labels and the update.
  constexpr int kRounds = 10;
  absl::StatusOr<pb::UpdateOrderResponse> response;
  for (int round = 1; round <= kRounds; ++round) {
    if (labels) {
      if (const auto status = merge_labels(session.client, flags, request); !status.ok()) {
        return fail(status);
      }
    }
    response = session.client.update_order(request);
    const bool lost_race = labels && flags.etag.empty() &&
                           client::details(response.status()).reason == "ETAG_MISMATCH";
    if (!lost_race) break;
  }
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    print_json(*response);
  } else {
    print_changed(response->order(), response->changed(), response->replayed());
  }
  return kOk;
}

}  // namespace

void add_update_command(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("update", "Change customer, addresses or labels of an order");
  auto flags = std::make_shared<Flags>();
  command->add_option("ORDER", flags->order, "Id or order number")->required();
  command
      ->add_option("--set", flags->set,
                   "FIELD=VALUE, as in customer.email=a@example.com; may be repeated")
      ->allow_extra_args(false);
  command
      ->add_option("--clear", flags->clear,
                   "FIELD, or all of customer, billing_address, shipping_address or labels")
      ->allow_extra_args(false);
  command
      ->add_option("--label", flags->labels, "KEY=VALUE: add or replace a label; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--remove-label", flags->remove_labels, "KEY; may be repeated")
      ->allow_extra_args(false);
  command->add_option("--reason", flags->reason, "Why, for the history");
  command->add_option("--etag", flags->etag, "Refuse if the order has another etag by now");
  command->footer(
      "Examples:\n"
      "  orderctl update 1001 --set customer.email=ana@example.com --label vip=yes\n"
      "  orderctl update 1001 --set shipping_address.city=Porto --reason 'customer moved'");
  command->callback(
      [flags, &action] { action = [flags](Session& session) { return update(session, *flags); }; });
}

}  // namespace orderd::cli
