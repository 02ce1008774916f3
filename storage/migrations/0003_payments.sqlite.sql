-- Schema 3: payments. Expands only: servers of schema 2 neither read nor overwrite what is here. But
-- they do not see open transactions, which have reserved money that shows nowhere else, so they would
-- let an order be canceled while a capture of it is on its way. None may be started again.
-- oldest-binary: 3

-- details: a serialized PaymentDetails, or nothing. expire_time: the smallest number if there is none.
ALTER TABLE order_payments ADD COLUMN expire_time BIGINT NOT NULL DEFAULT -9223372036854775808;
ALTER TABLE order_payments ADD COLUMN attention BIGINT NOT NULL DEFAULT 0;
ALTER TABLE order_payments ADD COLUMN discrepancy BIGINT NOT NULL DEFAULT 0;
ALTER TABLE order_payments ADD COLUMN capture_count BIGINT NOT NULL DEFAULT 0;
ALTER TABLE order_payments ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;
ALTER TABLE order_payments ADD COLUMN details BLOB NOT NULL DEFAULT x'';

-- The ledger. Amounts are in the currency of the order; present: whether there is one.
CREATE TABLE IF NOT EXISTS payment_transactions (
  order_id BLOB NOT NULL,
  transaction_id BLOB NOT NULL,
  payment_id BLOB NOT NULL,
  kind BIGINT NOT NULL,
  status BIGINT NOT NULL,
  present BIGINT NOT NULL,
  amount_minor BIGINT NOT NULL,
  gateway_transaction_id TEXT NOT NULL,
  reason TEXT NOT NULL,
  description TEXT NOT NULL,
  final_capture BIGINT NOT NULL,
  made_elsewhere BIGINT NOT NULL,
  actor TEXT NOT NULL,
  request_id TEXT NOT NULL,
  create_time BIGINT NOT NULL,
  complete_time BIGINT NOT NULL,
  released_by TEXT NOT NULL,
  missing_time BIGINT NOT NULL,
  PRIMARY KEY (order_id, transaction_id)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS payment_transactions_by_payment
  ON payment_transactions (order_id, payment_id, transaction_id);

-- When the gateway of a payment is to be asked next, and since when the payment is unresolved; the
-- largest number: never, and not. next_check is the lease of whoever asks, too.
CREATE TABLE IF NOT EXISTS payment_schedule (
  order_id BLOB NOT NULL,
  payment_id BLOB NOT NULL,
  gateway_account BLOB NOT NULL DEFAULT x'',
  next_check BIGINT NOT NULL DEFAULT 9223372036854775807,
  tries BIGINT NOT NULL DEFAULT 0,
  unresolved_since BIGINT NOT NULL DEFAULT 9223372036854775807,
  PRIMARY KEY (order_id, payment_id)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS payment_schedule_due
  ON payment_schedule (gateway_account, next_check, order_id, payment_id);
CREATE INDEX IF NOT EXISTS payment_schedule_unresolved
  ON payment_schedule (unresolved_since, order_id, payment_id);
CREATE INDEX IF NOT EXISTS payment_schedule_unresolved_by_account
  ON payment_schedule (gateway_account, unresolved_since, order_id, payment_id);
