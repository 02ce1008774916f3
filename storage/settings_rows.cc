#include "storage/settings_rows.h"

#include <algorithm>

#include "storage/multi_insert.h"
#include "storage/order_rows.h"

namespace orderd::storage {
namespace {

/// `enterable_from` is two columns: 1 if it is unset, and a list between commas.
template <typename State>
std::string enterable_list(const State& state) {
  std::string list;
  for (const std::string& state_id : state.enterable_from().state_ids()) {
    if (!list.empty()) list += ',';
    list += state_id;
  }
  return list;
}

template <typename State>
void read_enterable(Rows& row, std::size_t column, State& state) {
  if (row.number(column) != 0) return;
  pb::EnterableFrom& from = *state.mutable_enterable_from();
  std::string_view list = row.text(column + 1);
  while (!list.empty()) {
    const auto end = std::min(list.find(','), list.size());
    from.add_state_ids(std::string(list.substr(0, end)));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

/// The two columns that everything ends with: position and time of deletion.
template <typename Setting>
void read_end(Rows& row, std::size_t column, Setting& setting) {
  setting.set_position(static_cast<std::int32_t>(row.number(column)));
  const Micros deleted = row.number(column + 1);
  if (deleted != kNoTime) *setting.mutable_delete_time() = to_timestamp(deleted);
}

template <typename Setting>
Micros delete_micros(const Setting& setting) {
  return setting.has_delete_time() ? to_micros(setting.delete_time()) : kNoTime;
}

void read_order_states(Session& session, Settings& settings) {
  Rows row = session.query(
      session.sql() << "SELECT state_id, display_name, category, initial, final,"
                       " allows_shipment_update, allows_capture, allows_cancel, enterable_any,"
                       " enterable_from, position, delete_time FROM order_states",
      12);
  while (row.next()) {
    pb::OrderState state;
    state.set_state_id(row.text(0));
    state.set_display_name(std::move(row.text(1)));
    state.set_category(static_cast<pb::StateCategory>(row.number(2)));
    state.set_initial(row.number(3) != 0);
    state.set_final(row.number(4) != 0);
    state.set_allows_shipment_update(row.number(5) != 0);
    state.set_allows_capture(row.number(6) != 0);
    state.set_allows_cancel(row.number(7) != 0);
    read_enterable(row, 8, state);
    read_end(row, 10, state);
    settings.states.emplace(std::move(row.text(0)), std::move(state));
  }
}

void read_delivery_states(Session& session, Settings& settings) {
  Rows row = session.query(
      session.sql() << "SELECT delivery_state_id, display_name, category, initial, final,"
                       " allows_tracking, enterable_any, enterable_from, position, delete_time"
                       " FROM delivery_states",
      10);
  while (row.next()) {
    pb::DeliveryState state;
    state.set_delivery_state_id(row.text(0));
    state.set_display_name(std::move(row.text(1)));
    state.set_category(static_cast<pb::DeliveryCategory>(row.number(2)));
    state.set_initial(row.number(3) != 0);
    state.set_final(row.number(4) != 0);
    state.set_allows_tracking(row.number(5) != 0);
    read_enterable(row, 6, state);
    read_end(row, 8, state);
    settings.delivery_states.emplace(std::move(row.text(0)), std::move(state));
  }
}

void read_methods(Session& session, Settings& settings) {
  Rows row = session.query(
      session.sql() << "SELECT method_id, display_name, carrier, tracking_url_template, enabled,"
                       " position, delete_time FROM shipment_methods",
      7);
  while (row.next()) {
    pb::ShipmentMethod method;
    method.set_method_id(row.text(0));
    method.set_display_name(std::move(row.text(1)));
    method.set_carrier(std::move(row.text(2)));
    method.set_tracking_url_template(std::move(row.text(3)));
    method.set_enabled(row.number(4) != 0);
    read_end(row, 5, method);
    settings.methods.emplace(std::move(row.text(0)), std::move(method));
  }
}

}  // namespace

std::int64_t read_settings_version(Session& session) {
  Rows rows =
      session.query(session.sql() << "SELECT settings_version FROM feed_head WHERE id = 1", 1);
  if (!rows.next()) throw Error(Error::Kind::kSchema, "the database has no feed head");
  return rows.number(0);
}

Settings read_settings(Session& session) {
  Settings settings;
  // The version first: if a change comes between the two, the rows are newer than the version, and
  // the write that uses them is refused by the version.
  settings.version = read_settings_version(session);
  read_settings_rows(session, settings);
  return settings;
}

void read_settings_rows(Session& session, Settings& settings) {
  read_order_states(session, settings);
  read_delivery_states(session, settings);
  read_methods(session, settings);
}

void save_row(Session& session, const pb::OrderState& state) {
  MultiInsert insert(
      session,
      "INSERT INTO order_states (state_id, display_name, category, initial, final,"
      " allows_shipment_update, allows_capture, allows_cancel, enterable_any,"
      " enterable_from, position, delete_time) VALUES",
      [](Sql& sql) {
        sql.overwrite("state_id", {"display_name", "category", "initial", "final",
                                   "allows_shipment_update", "allows_capture", "allows_cancel",
                                   "enterable_any", "enterable_from", "position", "delete_time"});
      });
  const std::string from = enterable_list(state);
  insert.row(Blob{state.state_id()}, Text{state.display_name()}, static_cast<int>(state.category()),
             state.initial() ? 1 : 0, state.final() ? 1 : 0, state.allows_shipment_update() ? 1 : 0,
             state.allows_capture() ? 1 : 0, state.allows_cancel() ? 1 : 0,
             state.has_enterable_from() ? 0 : 1, Text{from}, state.position(),
             delete_micros(state));
  insert.flush();
}

void save_row(Session& session, const pb::DeliveryState& state) {
  MultiInsert insert(session,
                     "INSERT INTO delivery_states (delivery_state_id, display_name, category,"
                     " initial, final, allows_tracking, enterable_any, enterable_from, position,"
                     " delete_time) VALUES",
                     [](Sql& sql) {
                       sql.overwrite(
                           "delivery_state_id",
                           {"display_name", "category", "initial", "final", "allows_tracking",
                            "enterable_any", "enterable_from", "position", "delete_time"});
                     });
  const std::string from = enterable_list(state);
  insert.row(Blob{state.delivery_state_id()}, Text{state.display_name()},
             static_cast<int>(state.category()), state.initial() ? 1 : 0, state.final() ? 1 : 0,
             state.allows_tracking() ? 1 : 0, state.has_enterable_from() ? 0 : 1, Text{from},
             state.position(), delete_micros(state));
  insert.flush();
}

void save_row(Session& session, const pb::ShipmentMethod& method) {
  MultiInsert insert(session,
                     "INSERT INTO shipment_methods (method_id, display_name, carrier,"
                     " tracking_url_template, enabled, position, delete_time) VALUES",
                     [](Sql& sql) {
                       sql.overwrite("method_id",
                                     {"display_name", "carrier", "tracking_url_template", "enabled",
                                      "position", "delete_time"});
                     });
  insert.row(Blob{method.method_id()}, Text{method.display_name()}, Text{method.carrier()},
             Text{method.tracking_url_template()}, method.enabled() ? 1 : 0, method.position(),
             delete_micros(method));
  insert.flush();
}

}  // namespace orderd::storage
