#include "client/orderctl/settings_commands.h"

namespace orderd::cli {
namespace {

struct ShipmentMethods {
  using Setting = pb::ShipmentMethod;
  struct Flags : SettingFlags {
    std::optional<std::string> carrier;
    std::optional<std::string> tracking_url;
    std::optional<bool> enabled;
  };

  static constexpr char kCommand[] = "methods";
  static constexpr char kNoun[] = "shipment method";
  static constexpr char kNouns[] = "shipment methods";
  static constexpr char kArgument[] = "METHOD";
  static constexpr char kSummary[] = "List and configure the ways to ship";
  static constexpr char kDeleteSummary[] = "Delete a shipment method that no order has";
  static constexpr char kGetExample[] = "parcel --json";
  static constexpr char kCreateExample[] =
      "parcel --name 'Parcel' --carrier 'Example Post' \\\n"
      "      --tracking-url 'https://post.example/t?n={tracking_number}'";
  static constexpr char kUpdateExample[] = "parcel --no-enabled";
  static constexpr char kDeleteExample[] = "parcel --dry-run";

  static constexpr auto kList = &client::Client::list_shipment_methods;
  static constexpr auto kGet = &client::Client::get_shipment_method;
  static constexpr auto kCreate = &client::Client::create_shipment_method;
  static constexpr auto kUpdate = &client::Client::update_shipment_method;
  static constexpr auto kDelete = &client::Client::delete_shipment_method;

  static const auto& list_of(const pb::ListShipmentMethodsResponse& response) {
    return response.methods();
  }
  static Setting& setting_in(auto& message) { return *message.mutable_method(); }
  static void set_id(auto& message, const std::string& id) { message.set_method_id(id); }

  static void add_options(CLI::App& command, Flags& flags, bool creating) {
    command.add_option("--carrier", flags.carrier, "Who ships, for people");
    command.add_option("--tracking-url", flags.tracking_url,
                       "Where a parcel is shown, with {tracking_number} in it");
    add_optional_flag(command, "--enabled,!--no-enabled", flags.enabled,
                      creating ? "It can be chosen (so it is by default)" : "It can be chosen");
    if (creating) flags.enabled = true;
  }

  static void set(const Flags& flags, Setting& method, google::protobuf::FieldMask& mask) {
    set_common(flags, method, mask);
    if (flags.carrier) {
      method.set_carrier(*flags.carrier);
      mask.add_paths("carrier");
    }
    if (flags.tracking_url) {
      method.set_tracking_url_template(*flags.tracking_url);
      mask.add_paths("tracking_url_template");
    }
    if (flags.enabled) {
      method.set_enabled(*flags.enabled);
      mask.add_paths("enabled");
    }
  }

  static void print(const auto& methods) {
    Table table({"METHOD", "NAME", "CARRIER", ">POSITION", "STATUS", "TRACKING URL"});
    for (const Setting& method : methods) {
      table.add({method.method_id(), method.display_name(), or_dash(method.carrier()),
                 std::to_string(method.position()),
                 method.has_delete_time() ? "DELETED"
                 : method.enabled()       ? "enabled"
                                          : "disabled",
                 or_dash(method.tracking_url_template())});
    }
    table.print();
  }
};

}  // namespace

void add_methods_commands(CLI::App& app, Action& action) {
  SettingCommands<ShipmentMethods>::add(app, action);
}

}  // namespace orderd::cli
