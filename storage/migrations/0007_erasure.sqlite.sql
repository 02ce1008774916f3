-- Schema 7: erasure of personal data. Expands only: servers of schema 6 neither read nor overwrite what
-- is here. But they would take new personal data for an order that has been erased.
-- oldest-binary: 5

-- When the customer's data was erased; the smallest number: it was not.
ALTER TABLE orders ADD COLUMN customer_erase_time BIGINT NOT NULL DEFAULT -9223372036854775808;
CREATE INDEX IF NOT EXISTS orders_by_customer ON orders (customer_id, create_time, id);

-- What proves that it was done. selector: an ErasureSelector. pseudonym, body_hash: under a key.
CREATE TABLE IF NOT EXISTS erasures (
  erasure_id BLOB NOT NULL PRIMARY KEY,
  actor TEXT NOT NULL,
  selector BIGINT NOT NULL,
  pseudonym BLOB NOT NULL,
  body_hash BLOB NOT NULL,
  include_open BIGINT NOT NULL,
  erase_texts BIGINT NOT NULL,
  start_time BIGINT NOT NULL,
  complete_time BIGINT NOT NULL
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS erasures_by_start ON erasures (start_time, erasure_id);
CREATE INDEX IF NOT EXISTS erasures_by_pseudonym ON erasures (pseudonym, start_time, erasure_id);

-- What an erasure did with each order. skip_reason: why it was left as it is; empty: it was erased.
CREATE TABLE IF NOT EXISTS erased_orders (
  erasure_id BLOB NOT NULL,
  order_id BLOB NOT NULL,
  skip_reason BLOB NOT NULL,
  emails BIGINT NOT NULL,
  PRIMARY KEY (erasure_id, order_id)
) WITHOUT ROWID;
