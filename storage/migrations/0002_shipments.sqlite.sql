-- Schema 2: shipments. Expands only: servers of schema 1 neither see nor change what is here.
-- oldest-binary: 1

ALTER TABLE order_items ADD COLUMN shipment_method_id BLOB NOT NULL DEFAULT x'';

CREATE TABLE IF NOT EXISTS order_shipments (
  order_id BLOB NOT NULL,
  shipment_id BLOB NOT NULL,
  method_id BLOB NOT NULL,
  PRIMARY KEY (order_id, shipment_id)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS order_shipments_by_method ON order_shipments (method_id, order_id);

-- item: the position of the item in the order.
CREATE TABLE IF NOT EXISTS order_shipment_lines (
  order_id BLOB NOT NULL,
  line_id BLOB NOT NULL,
  shipment_id BLOB NOT NULL,
  item BIGINT NOT NULL,
  quantity BIGINT NOT NULL,
  delivery_state_id BLOB NOT NULL,
  delivery_state_time BIGINT NOT NULL,
  PRIMARY KEY (order_id, line_id)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS order_shipment_lines_by_state
  ON order_shipment_lines (delivery_state_id, order_id);

CREATE TABLE IF NOT EXISTS order_tracking_numbers (
  order_id BLOB NOT NULL,
  shipment_id BLOB NOT NULL,
  n BIGINT NOT NULL,
  number BLOB NOT NULL,
  PRIMARY KEY (order_id, shipment_id, n)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS order_tracking_by_number ON order_tracking_numbers (number, order_id);

-- enterable_any and enterable_from as in order_states.
CREATE TABLE IF NOT EXISTS delivery_states (
  delivery_state_id BLOB NOT NULL,
  display_name TEXT NOT NULL,
  category BIGINT NOT NULL,
  initial BIGINT NOT NULL,
  final BIGINT NOT NULL,
  allows_tracking BIGINT NOT NULL,
  enterable_any BIGINT NOT NULL,
  enterable_from TEXT NOT NULL,
  position BIGINT NOT NULL,
  delete_time BIGINT NOT NULL,
  PRIMARY KEY (delivery_state_id)
);

CREATE TABLE IF NOT EXISTS shipment_methods (
  method_id BLOB NOT NULL,
  display_name TEXT NOT NULL,
  carrier TEXT NOT NULL,
  tracking_url_template TEXT NOT NULL,
  enabled BIGINT NOT NULL,
  position BIGINT NOT NULL,
  delete_time BIGINT NOT NULL,
  PRIMARY KEY (method_id)
);

-- The delivery states and the method that a new shop starts with.
INSERT OR IGNORE INTO delivery_states
  (delivery_state_id, display_name, category, initial, final, allows_tracking, enterable_any,
   enterable_from, position, delete_time)
VALUES
  (CAST('pending' AS BLOB), 'Pending', 1, 1, 0, 0, 0, '', 10, -9223372036854775808),
  (CAST('confirmed' AS BLOB), 'Confirmed', 1, 0, 0, 1, 0, 'pending', 20, -9223372036854775808),
  (CAST('shipped' AS BLOB), 'Shipped', 2, 0, 0, 1, 0, 'pending,confirmed', 30, -9223372036854775808),
  (CAST('delivered' AS BLOB), 'Delivered', 3, 0, 0, 1, 0, 'shipped', 40, -9223372036854775808),
  (CAST('returned' AS BLOB), 'Returned', 4, 0, 0, 1, 0, 'shipped,delivered', 50, -9223372036854775808),
  (CAST('canceled' AS BLOB), 'Canceled', 5, 0, 1, 0, 0, 'pending,confirmed', 60, -9223372036854775808);

INSERT OR IGNORE INTO shipment_methods
  (method_id, display_name, carrier, tracking_url_template, enabled, position, delete_time)
VALUES (CAST('standard' AS BLOB), 'Standard', '', '', 1, 10, -9223372036854775808);
