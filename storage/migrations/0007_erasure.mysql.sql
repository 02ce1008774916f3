-- Schema 7: erasure of personal data. Expands only: servers of schema 6 neither read nor overwrite what
-- is here. But they would take new personal data for an order that has been erased, and hand out events
-- from memory that have been erased since. Those that run may go on while the servers are exchanged, as
-- long as nobody erases.
-- oldest-binary: 5

-- When the customer's data was erased; the smallest number: it was not.
ALTER TABLE orders ADD COLUMN customer_erase_time BIGINT NOT NULL DEFAULT -9223372036854775808,
  ADD KEY orders_by_customer (customer_id, create_time, id);

-- What proves that it was done. selector: an ErasureSelector. pseudonym, body_hash: under a key.
CREATE TABLE IF NOT EXISTS erasures (
  erasure_id BINARY(16) NOT NULL,
  actor VARCHAR(255) NOT NULL,
  selector BIGINT NOT NULL,
  pseudonym VARBINARY(64) NOT NULL,
  body_hash VARBINARY(64) NOT NULL,
  include_open BIGINT NOT NULL,
  erase_texts BIGINT NOT NULL,
  start_time BIGINT NOT NULL,
  complete_time BIGINT NOT NULL,
  PRIMARY KEY (erasure_id),
  KEY erasures_by_start (start_time, erasure_id),
  KEY erasures_by_pseudonym (pseudonym, start_time, erasure_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- What an erasure did with each order. skip_reason: why it was left as it is; empty: it was erased.
CREATE TABLE IF NOT EXISTS erased_orders (
  erasure_id BINARY(16) NOT NULL,
  order_id BINARY(16) NOT NULL,
  skip_reason VARBINARY(64) NOT NULL,
  emails BIGINT NOT NULL,
  PRIMARY KEY (erasure_id, order_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;
