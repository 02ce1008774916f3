-- Schema 1. Statements end with ';' at the end of a line; each is one step, and safe to run again.
-- oldest-binary: 1

-- One row per order: all that is not repeated.
CREATE TABLE IF NOT EXISTS orders (
  id BLOB NOT NULL,
  version BIGINT NOT NULL DEFAULT 0,
  present BIGINT NOT NULL DEFAULT 0,
  order_number BLOB NOT NULL DEFAULT x'',
  state_id BLOB NOT NULL DEFAULT x'',
  invoice_number BLOB NOT NULL DEFAULT x'',
  customer_id TEXT NOT NULL DEFAULT '',
  customer_name TEXT NOT NULL DEFAULT '',
  customer_email TEXT NOT NULL DEFAULT '',
  customer_phone TEXT NOT NULL DEFAULT '',
  email_key BLOB NOT NULL DEFAULT x'',
  currency TEXT NOT NULL DEFAULT '',
  prices_include_tax BIGINT NOT NULL DEFAULT 0,
  items_minor BIGINT NOT NULL DEFAULT 0,
  shipping_minor BIGINT NOT NULL DEFAULT 0,
  shipping_tax_minor BIGINT NOT NULL DEFAULT 0,
  total_minor BIGINT NOT NULL DEFAULT 0,
  item_count BIGINT NOT NULL DEFAULT 0,
  note_count BIGINT NOT NULL DEFAULT 0,
  cancellation_status BIGINT NOT NULL DEFAULT 0,
  cancellation_reason TEXT NOT NULL DEFAULT '',
  cancellation_time BIGINT NOT NULL DEFAULT 0,
  order_time BIGINT NOT NULL DEFAULT 0,
  create_time BIGINT NOT NULL DEFAULT 0,
  update_time BIGINT NOT NULL DEFAULT 0,
  PRIMARY KEY (id)
);

CREATE INDEX IF NOT EXISTS orders_by_state_create ON orders (state_id, create_time, id);
CREATE INDEX IF NOT EXISTS orders_by_state_update ON orders (state_id, update_time, id);
CREATE INDEX IF NOT EXISTS orders_by_create ON orders (create_time, id);
CREATE INDEX IF NOT EXISTS orders_by_update ON orders (update_time, id);
CREATE INDEX IF NOT EXISTS orders_by_order_time ON orders (order_time, id);
CREATE INDEX IF NOT EXISTS orders_by_email_create ON orders (email_key, create_time, id);
CREATE INDEX IF NOT EXISTS orders_by_email_total ON orders (email_key, total_minor, id);

CREATE TABLE IF NOT EXISTS order_items (
  order_id BLOB NOT NULL,
  n BIGINT NOT NULL,
  present BIGINT NOT NULL,
  item_id TEXT NOT NULL,
  sku TEXT NOT NULL,
  name TEXT NOT NULL,
  quantity BIGINT NOT NULL,
  unit_price_minor BIGINT NOT NULL,
  tax_minor BIGINT NOT NULL,
  discount_minor BIGINT NOT NULL,
  total_minor BIGINT NOT NULL,
  PRIMARY KEY (order_id, n)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS order_adjustments (
  order_id BLOB NOT NULL,
  n BIGINT NOT NULL,
  present BIGINT NOT NULL,
  label TEXT NOT NULL,
  amount_minor BIGINT NOT NULL,
  PRIMARY KEY (order_id, n)
) WITHOUT ROWID;

-- kind: 1 billing, 2 shipping
CREATE TABLE IF NOT EXISTS order_addresses (
  order_id BLOB NOT NULL,
  kind BIGINT NOT NULL,
  name TEXT NOT NULL,
  company TEXT NOT NULL,
  line1 TEXT NOT NULL,
  line2 TEXT NOT NULL,
  city TEXT NOT NULL,
  region TEXT NOT NULL,
  postal_code TEXT NOT NULL,
  country_code TEXT NOT NULL,
  phone TEXT NOT NULL,
  PRIMARY KEY (order_id, kind)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS order_labels (
  order_id BLOB NOT NULL,
  label_key BLOB NOT NULL,
  value BLOB NOT NULL,
  PRIMARY KEY (order_id, label_key)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS order_payments (
  order_id BLOB NOT NULL,
  n BIGINT NOT NULL,
  present BIGINT NOT NULL,
  payment_id TEXT NOT NULL,
  gateway_account TEXT NOT NULL,
  gateway_reference TEXT NOT NULL,
  status BIGINT NOT NULL,
  description TEXT NOT NULL,
  authorized_minor BIGINT NOT NULL,
  captured_minor BIGINT NOT NULL,
  refunded_minor BIGINT NOT NULL,
  voided_minor BIGINT NOT NULL,
  capturable_minor BIGINT NOT NULL,
  refundable_minor BIGINT NOT NULL,
  PRIMARY KEY (order_id, n)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS order_notes (
  order_id BLOB NOT NULL,
  note_id BLOB NOT NULL,
  author TEXT NOT NULL,
  body TEXT NOT NULL,
  visibility BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  update_time BIGINT NOT NULL,
  PRIMARY KEY (order_id, note_id)
);

-- Claims: what is unique over all orders, and whose it is.
CREATE TABLE IF NOT EXISTS order_numbers (
  value BLOB NOT NULL,
  order_id BLOB NOT NULL,
  import_digest BLOB NOT NULL,
  PRIMARY KEY (value)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS invoice_numbers (
  value BLOB NOT NULL,
  order_id BLOB NOT NULL,
  PRIMARY KEY (value)
) WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS payment_references (
  value BLOB NOT NULL,
  order_id BLOB NOT NULL,
  PRIMARY KEY (value)
) WITHOUT ROWID;

-- What calls with a request_id did, for their retries.
CREATE TABLE IF NOT EXISTS requests (
  request_key BLOB NOT NULL,
  body_hash BLOB NOT NULL,
  order_id BLOB NOT NULL,
  version BIGINT NOT NULL,
  outcome BLOB NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (request_key)
);

CREATE INDEX IF NOT EXISTS requests_by_create ON requests (create_time);

-- One row per committed batch: settles a COMMIT whose answer was lost.
CREATE TABLE IF NOT EXISTS batches (
  batch_key BLOB NOT NULL,
  create_time BIGINT NOT NULL,
  PRIMARY KEY (batch_key)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS batches_by_create ON batches (create_time);

-- The history; payload is a serialized OrderEvent, type its payload's field number.
CREATE TABLE IF NOT EXISTS order_events (
  order_id BLOB NOT NULL,
  version BIGINT NOT NULL,
  n BIGINT NOT NULL,
  type BIGINT NOT NULL,
  event_time BIGINT NOT NULL,
  payload BLOB NOT NULL,
  PRIMARY KEY (order_id, version, n)
);

-- Changes in the order of their commits, without a gap.
CREATE TABLE IF NOT EXISTS feed (
  pos BIGINT NOT NULL,
  order_id BLOB NOT NULL,
  version BIGINT NOT NULL,
  PRIMARY KEY (pos)
);

-- One row. Every writer updates it last, so it also guards the settings.
CREATE TABLE IF NOT EXISTS feed_head (
  id BIGINT NOT NULL,
  pos BIGINT NOT NULL,
  settings_version BIGINT NOT NULL,
  last_time BIGINT NOT NULL,
  PRIMARY KEY (id)
);

-- enterable_any 1: enterable_from is unset; else it is a list between commas.
CREATE TABLE IF NOT EXISTS order_states (
  state_id BLOB NOT NULL,
  display_name TEXT NOT NULL,
  category BIGINT NOT NULL,
  initial BIGINT NOT NULL,
  final BIGINT NOT NULL,
  allows_shipment_update BIGINT NOT NULL,
  allows_capture BIGINT NOT NULL,
  allows_cancel BIGINT NOT NULL,
  enterable_any BIGINT NOT NULL,
  enterable_from TEXT NOT NULL,
  position BIGINT NOT NULL,
  delete_time BIGINT NOT NULL,
  PRIMARY KEY (state_id)
);

INSERT OR IGNORE INTO feed_head (id, pos, settings_version, last_time) VALUES (1, 0, 1, 0);

-- The states that a new shop starts with.
INSERT OR IGNORE INTO order_states
  (state_id, display_name, category, initial, final, allows_shipment_update, allows_capture,
   allows_cancel, enterable_any, enterable_from, position, delete_time)
VALUES
  (CAST('new' AS BLOB), 'New', 1, 1, 0, 1, 1, 1, 1, '', 10, -9223372036854775808),
  (CAST('processing' AS BLOB), 'Processing', 1, 0, 0, 1, 1, 1, 1, '', 20, -9223372036854775808),
  (CAST('completed' AS BLOB), 'Completed', 3, 0, 0, 0, 1, 1, 1, '', 30, -9223372036854775808),
  (CAST('fraud' AS BLOB), 'Fraud', 2, 0, 0, 0, 0, 1, 1, '', 40, -9223372036854775808),
  (CAST('suspended' AS BLOB), 'Suspended', 2, 0, 0, 0, 0, 1, 0, 'processing,fraud', 50, -9223372036854775808),
  (CAST('canceled' AS BLOB), 'Canceled', 4, 0, 1, 0, 0, 0, 1, '', 60, -9223372036854775808);
