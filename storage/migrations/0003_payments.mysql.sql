-- Schema 3: payments. Expands only: servers of schema 2 neither read nor overwrite what is here. But
-- they do not see open transactions, which have reserved money that shows nowhere else, so they would
-- let an order be canceled while a capture of it is on its way. Those that run may go on while the
-- servers are exchanged, as long as no server has a gateway; none may be started again.
-- oldest-binary: 3

-- details: a serialized PaymentDetails, or nothing. expire_time: the smallest number if there is none.
ALTER TABLE order_payments ADD COLUMN expire_time BIGINT NOT NULL DEFAULT -9223372036854775808,
  ADD COLUMN attention BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN discrepancy BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN capture_count BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN revision BIGINT NOT NULL DEFAULT 0,
  ADD COLUMN details MEDIUMBLOB NOT NULL DEFAULT ('');

-- The ledger. Amounts are in the currency of the order; present: whether there is one.
CREATE TABLE IF NOT EXISTS payment_transactions (
  order_id BINARY(16) NOT NULL,
  transaction_id BINARY(16) NOT NULL,
  payment_id VARBINARY(256) NOT NULL,
  kind BIGINT NOT NULL,
  status BIGINT NOT NULL,
  present BIGINT NOT NULL,
  amount_minor BIGINT NOT NULL,
  gateway_transaction_id VARCHAR(255) NOT NULL,
  reason VARCHAR(255) NOT NULL,
  description VARCHAR(1000) NOT NULL,
  final_capture BIGINT NOT NULL,
  made_elsewhere BIGINT NOT NULL,
  actor VARCHAR(255) NOT NULL,
  request_id VARCHAR(255) NOT NULL,
  create_time BIGINT NOT NULL,
  complete_time BIGINT NOT NULL,
  released_by VARCHAR(64) NOT NULL,
  missing_time BIGINT NOT NULL,
  PRIMARY KEY (order_id, transaction_id),
  KEY payment_transactions_by_payment (order_id, payment_id, transaction_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- When the gateway of a payment is to be asked next, and since when the payment is unresolved; the
-- largest number: never, and not. next_check is the lease of the server that asks, too.
CREATE TABLE IF NOT EXISTS payment_schedule (
  order_id BINARY(16) NOT NULL,
  payment_id VARBINARY(256) NOT NULL,
  gateway_account VARBINARY(1020) NOT NULL DEFAULT '',
  next_check BIGINT NOT NULL DEFAULT 9223372036854775807,
  tries BIGINT NOT NULL DEFAULT 0,
  unresolved_since BIGINT NOT NULL DEFAULT 9223372036854775807,
  PRIMARY KEY (order_id, payment_id),
  KEY payment_schedule_due (gateway_account, next_check, order_id, payment_id),
  KEY payment_schedule_unresolved (unresolved_since, order_id, payment_id),
  KEY payment_schedule_unresolved_by_account
    (gateway_account, unresolved_since, order_id, payment_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;
