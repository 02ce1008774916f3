-- Schema 1. Statements end with ';' at the end of a line; each is one step, and safe to run again.
-- oldest-binary: 1

-- One row per order: all that is not repeated.
CREATE TABLE IF NOT EXISTS orders (
  id BINARY(16) NOT NULL,
  version BIGINT NOT NULL DEFAULT 0,
  present BIGINT NOT NULL DEFAULT 0,
  order_number VARBINARY(256) NOT NULL DEFAULT '',
  state_id VARBINARY(256) NOT NULL DEFAULT '',
  invoice_number VARBINARY(256) NOT NULL DEFAULT '',
  customer_id VARCHAR(255) NOT NULL DEFAULT '',
  customer_name VARCHAR(255) NOT NULL DEFAULT '',
  customer_email VARCHAR(254) NOT NULL DEFAULT '',
  customer_phone VARCHAR(64) NOT NULL DEFAULT '',
  email_key VARBINARY(1016) NOT NULL DEFAULT '',
  currency VARCHAR(3) NOT NULL DEFAULT '',
  prices_include_tax BIGINT NOT NULL DEFAULT 0,
  items_minor BIGINT NOT NULL DEFAULT 0,
  shipping_minor BIGINT NOT NULL DEFAULT 0,
  shipping_tax_minor BIGINT NOT NULL DEFAULT 0,
  total_minor BIGINT NOT NULL DEFAULT 0,
  item_count BIGINT NOT NULL DEFAULT 0,
  note_count BIGINT NOT NULL DEFAULT 0,
  cancellation_status BIGINT NOT NULL DEFAULT 0,
  cancellation_reason VARCHAR(1000) NOT NULL DEFAULT '',
  cancellation_time BIGINT NOT NULL DEFAULT 0,
  order_time BIGINT NOT NULL DEFAULT 0,
  create_time BIGINT NOT NULL DEFAULT 0,
  update_time BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (id),
  KEY orders_by_state_create (state_id, create_time, id),
  KEY orders_by_state_update (state_id, update_time, id),
  KEY orders_by_create (create_time, id),
  KEY orders_by_update (update_time, id),
  KEY orders_by_order_time (order_time, id),
  KEY orders_by_email_create (email_key, create_time, id),
  KEY orders_by_email_total (email_key, total_minor, id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE IF NOT EXISTS order_items (
  order_id BINARY(16) NOT NULL,
  n BIGINT NOT NULL,
  present BIGINT NOT NULL,
  item_id VARCHAR(64) NOT NULL,
  sku VARCHAR(128) NOT NULL,
  name VARCHAR(512) NOT NULL,
  quantity BIGINT NOT NULL,
  unit_price_minor BIGINT NOT NULL,
  tax_minor BIGINT NOT NULL,
  discount_minor BIGINT NOT NULL,
  total_minor BIGINT NOT NULL,
  PRIMARY KEY (order_id, n)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE IF NOT EXISTS order_adjustments (
  order_id BINARY(16) NOT NULL,
  n BIGINT NOT NULL,
  present BIGINT NOT NULL,
  label VARCHAR(255) NOT NULL,
  amount_minor BIGINT NOT NULL,
  PRIMARY KEY (order_id, n)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- kind: 1 billing, 2 shipping
CREATE TABLE IF NOT EXISTS order_addresses (
  order_id BINARY(16) NOT NULL,
  kind BIGINT NOT NULL,
  name VARCHAR(255) NOT NULL,
  company VARCHAR(255) NOT NULL,
  line1 VARCHAR(255) NOT NULL,
  line2 VARCHAR(255) NOT NULL,
  city VARCHAR(255) NOT NULL,
  region VARCHAR(255) NOT NULL,
  postal_code VARCHAR(32) NOT NULL,
  country_code VARCHAR(2) NOT NULL,
  phone VARCHAR(64) NOT NULL,
  PRIMARY KEY (order_id, kind)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE IF NOT EXISTS order_labels (
  order_id BINARY(16) NOT NULL,
  label_key VARBINARY(252) NOT NULL,
  value VARBINARY(1020) NOT NULL,
  PRIMARY KEY (order_id, label_key)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE IF NOT EXISTS order_payments (
  order_id BINARY(16) NOT NULL,
  n BIGINT NOT NULL,
  present BIGINT NOT NULL,
  payment_id VARCHAR(64) NOT NULL,
  gateway_account VARCHAR(255) NOT NULL,
  gateway_reference VARCHAR(255) NOT NULL,
  status BIGINT NOT NULL,
  description VARCHAR(255) NOT NULL,
  authorized_minor BIGINT NOT NULL,
  captured_minor BIGINT NOT NULL,
  refunded_minor BIGINT NOT NULL,
  voided_minor BIGINT NOT NULL,
  capturable_minor BIGINT NOT NULL,
  refundable_minor BIGINT NOT NULL,
  PRIMARY KEY (order_id, n)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE IF NOT EXISTS order_notes (
  order_id BINARY(16) NOT NULL,
  note_id BINARY(16) NOT NULL,
  author VARCHAR(255) NOT NULL,
  body MEDIUMTEXT NOT NULL,
  visibility BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL,
  PRIMARY KEY (order_id, note_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- Claims: what is unique over all orders, and whose it is.
CREATE TABLE IF NOT EXISTS order_numbers (
  value VARBINARY(256) NOT NULL,
  order_id BINARY(16) NOT NULL,
  import_digest VARBINARY(64) NOT NULL,
  PRIMARY KEY (value)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE IF NOT EXISTS invoice_numbers (
  value VARBINARY(256) NOT NULL,
  order_id BINARY(16) NOT NULL,
  PRIMARY KEY (value)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

CREATE TABLE IF NOT EXISTS payment_references (
  value VARBINARY(2048) NOT NULL,
  order_id BINARY(16) NOT NULL,
  PRIMARY KEY (value)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- What calls with a request_id did, for their retries.
CREATE TABLE IF NOT EXISTS requests (
  request_key BINARY(32) NOT NULL,
  body_hash VARBINARY(64) NOT NULL,
  order_id BINARY(16) NOT NULL,
  version BIGINT NOT NULL,
  outcome MEDIUMBLOB NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (request_key),
  KEY requests_by_create (create_time)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- One row per committed batch: settles a COMMIT whose answer was lost.
CREATE TABLE IF NOT EXISTS batches (
  batch_key BINARY(16) NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (batch_key),
  KEY batches_by_create (create_time)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- The history; payload is a serialized OrderEvent, type its payload's field number.
CREATE TABLE IF NOT EXISTS order_events (
  order_id BINARY(16) NOT NULL,
  version BIGINT NOT NULL,
  n BIGINT NOT NULL,
  type BIGINT NOT NULL,
  event_time BIGINT NOT NULL,
  payload LONGBLOB NOT NULL,
  PRIMARY KEY (order_id, version, n)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- Changes in the order of their commits, without a gap.
CREATE TABLE IF NOT EXISTS feed (
  pos BIGINT NOT NULL,
  order_id BINARY(16) NOT NULL,
  version BIGINT NOT NULL,
  PRIMARY KEY (pos)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- One row. Every writer updates it last, so it also guards the settings.
CREATE TABLE IF NOT EXISTS feed_head (
  id BIGINT NOT NULL,
  pos BIGINT NOT NULL,
  settings_version BIGINT NOT NULL,
  last_time BIGINT NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- enterable_any 1: enterable_from is unset; else it is a list between commas.
CREATE TABLE IF NOT EXISTS order_states (
  state_id VARBINARY(256) NOT NULL,
  display_name VARCHAR(255) NOT NULL,
  category BIGINT NOT NULL,
  initial BIGINT NOT NULL,
  final BIGINT NOT NULL,
  allows_shipment_update BIGINT NOT NULL,
  allows_capture BIGINT NOT NULL,
  allows_cancel BIGINT NOT NULL,
  enterable_any BIGINT NOT NULL,
  enterable_from MEDIUMTEXT NOT NULL,
  position BIGINT NOT NULL,
  delete_time BIGINT NOT NULL,
  PRIMARY KEY (state_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

INSERT IGNORE INTO feed_head (id, pos, settings_version, last_time) VALUES (1, 0, 1, 0);

-- The states that a new shop starts with.
INSERT IGNORE INTO order_states
  (state_id, display_name, category, initial, final, allows_shipment_update, allows_capture,
   allows_cancel, enterable_any, enterable_from, position, delete_time)
VALUES
  ('new', 'New', 1, 1, 0, 1, 1, 1, 1, '', 10, -9223372036854775808),
  ('processing', 'Processing', 1, 0, 0, 1, 1, 1, 1, '', 20, -9223372036854775808),
  ('completed', 'Completed', 3, 0, 0, 0, 1, 1, 1, '', 30, -9223372036854775808),
  ('fraud', 'Fraud', 2, 0, 0, 0, 0, 1, 1, '', 40, -9223372036854775808),
  ('suspended', 'Suspended', 2, 0, 0, 0, 0, 1, 0, 'processing,fraud', 50, -9223372036854775808),
  ('canceled', 'Canceled', 4, 0, 1, 0, 0, 0, 1, '', 60, -9223372036854775808);
