-- Schema 4: cancellation and e-mail. Expands only: servers of schema 3 neither read nor overwrite what
-- is here, and refuse to move money of an order whose cancellation runs. But they settle what returns
-- the money without keeping the cancellation's legs in step, so that it would be reported wrongly. None
-- may be started again.
-- oldest-binary: 4

-- A serialized CancellationDetails, or nothing.
ALTER TABLE orders ADD COLUMN cancellation_details BLOB NOT NULL DEFAULT x'';

-- The outbox. next_time is the lease of whoever sends, too. Times: the smallest number if there is none.
-- snapshot: a serialized Order.
CREATE TABLE IF NOT EXISTS order_emails (
  order_id BLOB NOT NULL,
  email_id BLOB NOT NULL,
  kind BIGINT NOT NULL,
  status BIGINT NOT NULL,
  recipient TEXT NOT NULL,
  message_id TEXT NOT NULL,
  tries BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  next_time BIGINT NOT NULL,
  send_time BIGINT NOT NULL,
  last_error TEXT NOT NULL,
  last_code BIGINT NOT NULL,
  snapshot BLOB NOT NULL,
  PRIMARY KEY (order_id, email_id)
) WITHOUT ROWID;

CREATE INDEX IF NOT EXISTS order_emails_due
  ON order_emails (status, next_time, order_id, email_id);
CREATE INDEX IF NOT EXISTS order_emails_by_id ON order_emails (email_id, order_id);
CREATE INDEX IF NOT EXISTS order_emails_by_status ON order_emails (status, email_id, order_id);
