#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "server/orders/rule.h"

namespace orderd::rules {

/// The shipments of one order while they are changed. Shipments, lines and items are called by
/// number; the numbers stay what they are. Every operation leaves each piece in exactly one line.
class ShipmentDraft {
 public:
  struct Line {
    std::string id;
    int item = 0;
    std::int64_t quantity = 0;  // 0: merged into another line
    int shipment = 0;
    std::string state_id;
    Micros time = 0;
  };
  struct Shipment {
    std::string id;
    std::string method_id;
    std::vector<std::string> tracking_numbers;
    int line_count = 0;  // 0: the shipment does not exist
  };
  static constexpr int kNone = -1;

  /// `ids`: new shipments and lines get ids of its family, from the first on.
  ShipmentDraft(const pb::Order& order, const Uuid& ids);

  const std::vector<Line>& lines() const { return lines_; }
  const std::vector<Shipment>& shipments() const { return shipments_; }
  /// The lines of an item, in no particular order.
  const std::vector<int>& lines_of(int item) const {
    return lines_of_item_[static_cast<std::size_t>(item)];
  }
  const Line& line(int line) const { return lines_[static_cast<std::size_t>(line)]; }
  const Shipment& shipment(int shipment) const {
    return shipments_[static_cast<std::size_t>(shipment)];
  }
  /// All lines, by item, then by id.
  std::vector<int> all_lines() const;
  /// How many lines there are.
  int line_count() const { return line_count_; }

  /// By id; kNone if there is none (any more).
  int find_line(const std::string& id) const;
  int find_shipment(const std::string& id) const;
  int find_item(const std::string& id) const;
  /// The shipment that has the tracking number, or kNone.
  int find_tracking_number(const std::string& number) const;

  /// A shipment that exists once a line has been put into it.
  int add_shipment(std::string method_id);
  int add_line(int shipment, int item, std::int64_t quantity, std::string state_id, Micros time);
  /// Takes so many pieces, fewer than all, out of a line; returns the new line that has them.
  int split(int line, std::int64_t quantity);
  void move(int line, int shipment);
  void set_state(int line, const std::string& state_id, Micros time);
  void set_method(int shipment, const std::string& method_id);
  void set_tracking_numbers(int shipment, std::vector<std::string> numbers);

  /// Merges each of these lines with those that are equal to it: same shipment, item, state and
  /// time. The oldest id stays.
  void merge(const std::vector<int>& touched);
  /// Where a line's pieces are after a merge.
  int merged_into(int line) const;

  /// Replaces the shipments of the order; they are sorted by id.
  void write(pb::Order& order) const;

 private:
  std::string next_id() { return ids_.derived(++ids_used_).to_string(); }
  int put(Line line);

  const Uuid ids_;
  std::uint32_t ids_used_ = 0;
  std::vector<std::string> item_ids_;
  std::vector<Line> lines_;
  std::vector<Shipment> shipments_;
  std::vector<std::vector<int>> lines_of_item_;
  /// Of merged lines: the line that they were merged into.
  std::unordered_map<int, int> merged_;
  std::unordered_map<std::string, int> line_by_id_, shipment_by_id_, item_by_id_;
  /// Tracking number -> shipment.
  std::unordered_map<std::string, int> tracking_;
  int line_count_ = 0;
};

/// Puts every piece of the order's items that is in no line yet into lines in the initial delivery
/// state, one per item, in new shipments by the items' requested methods.
void add_remaining(ShipmentDraft& draft, const pb::Order& order, Micros now,
                   const Settings& settings);

/// Moves the lines that have not been shipped into the delivery state for canceled lines.
void cancel_unshipped(pb::Order& order, Micros now, const Settings& settings);

/// Says so in the change, and adds the event, if the shipments of `change.after` differ from those
/// of `before`.
void record_shipments(const pb::Order& before, Change& change);

}  // namespace orderd::rules
