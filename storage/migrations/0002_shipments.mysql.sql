-- Schema 2: shipments. Expands only: servers of schema 1 neither see nor change what is here.
-- oldest-binary: 1

ALTER TABLE order_items ADD COLUMN shipment_method_id VARBINARY(256) NOT NULL DEFAULT '';

CREATE TABLE IF NOT EXISTS order_shipments (
  order_id BINARY(16) NOT NULL,
  shipment_id BINARY(16) NOT NULL,
  method_id VARBINARY(256) NOT NULL,
  PRIMARY KEY (order_id, shipment_id),
  KEY order_shipments_by_method (method_id, order_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- item: the position of the item in the order.
CREATE TABLE IF NOT EXISTS order_shipment_lines (
  order_id BINARY(16) NOT NULL,
  line_id BINARY(16) NOT NULL,
  shipment_id BINARY(16) NOT NULL,
  item BIGINT NOT NULL,
  quantity BIGINT NOT NULL,
  delivery_state_id VARBINARY(256) NOT NULL,
  delivery_state_time BIGINT NOT NULL,
  PRIMARY KEY (order_id, line_id),
  KEY order_shipment_lines_by_state (delivery_state_id, order_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE IF NOT EXISTS order_tracking_numbers (
  order_id BINARY(16) NOT NULL,
  shipment_id BINARY(16) NOT NULL,
  n BIGINT NOT NULL,
  number VARBINARY(512) NOT NULL,
  PRIMARY KEY (order_id, shipment_id, n),
  KEY order_tracking_by_number (number, order_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- enterable_any and enterable_from as in order_states.
CREATE TABLE IF NOT EXISTS delivery_states (
  delivery_state_id VARBINARY(256) NOT NULL,
  display_name VARCHAR(255) NOT NULL,
  category BIGINT NOT NULL,
  initial BIGINT NOT NULL,
  final BIGINT NOT NULL,
  allows_tracking BIGINT NOT NULL,
  enterable_any BIGINT NOT NULL,
  enterable_from MEDIUMTEXT NOT NULL,
  position BIGINT NOT NULL,
  delete_time BIGINT NOT NULL,
  PRIMARY KEY (delivery_state_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE IF NOT EXISTS shipment_methods (
  method_id VARBINARY(256) NOT NULL,
  display_name VARCHAR(255) NOT NULL,
  carrier VARCHAR(255) NOT NULL,
  tracking_url_template VARCHAR(1024) NOT NULL,
  enabled BIGINT NOT NULL,
  position BIGINT NOT NULL,
  delete_time BIGINT NOT NULL,
  PRIMARY KEY (method_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- The delivery states and the method that a new shop starts with.
INSERT IGNORE INTO delivery_states
  (delivery_state_id, display_name, category, initial, final, allows_tracking, enterable_any,
   enterable_from, position, delete_time)
VALUES
  ('pending', 'Pending', 1, 1, 0, 0, 0, '', 10, -9223372036854775808),
  ('confirmed', 'Confirmed', 1, 0, 0, 1, 0, 'pending', 20, -9223372036854775808),
  ('shipped', 'Shipped', 2, 0, 0, 1, 0, 'pending,confirmed', 30, -9223372036854775808),
  ('delivered', 'Delivered', 3, 0, 0, 1, 0, 'shipped', 40, -9223372036854775808),
  ('returned', 'Returned', 4, 0, 0, 1, 0, 'shipped,delivered', 50, -9223372036854775808),
  ('canceled', 'Canceled', 5, 0, 1, 0, 0, 'pending,confirmed', 60, -9223372036854775808);

INSERT IGNORE INTO shipment_methods
  (method_id, display_name, carrier, tracking_url_template, enabled, position, delete_time)
VALUES ('standard', 'Standard', '', '', 1, 10, -9223372036854775808);
