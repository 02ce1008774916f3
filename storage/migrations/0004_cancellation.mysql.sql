-- Schema 4: cancellation and e-mail. Expands only: servers of schema 3 neither read nor overwrite what
-- is here, and refuse to move money of an order whose cancellation runs. But they settle what returns
-- the money without keeping the cancellation's legs in step, so that it would be reported wrongly.
-- Those that run may go on while the servers are exchanged, as long as nobody cancels an order; none
-- may be started again.
-- oldest-binary: 4

-- A serialized CancellationDetails, or nothing.
ALTER TABLE orders ADD COLUMN cancellation_details MEDIUMBLOB NOT NULL DEFAULT ('');

-- The outbox. next_time is the lease of the server that sends, too. Times: the smallest number if there
-- is none. snapshot: a serialized Order.
CREATE TABLE IF NOT EXISTS order_emails (
  order_id BINARY(16) NOT NULL,
  email_id BINARY(16) NOT NULL,
  kind BIGINT NOT NULL,
  status BIGINT NOT NULL,
  recipient VARCHAR(254) NOT NULL,
  message_id VARCHAR(512) NOT NULL,
  tries BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  next_time BIGINT NOT NULL,
  send_time BIGINT NOT NULL,
  last_error VARCHAR(255) NOT NULL,
  last_code BIGINT NOT NULL,
  snapshot MEDIUMBLOB NOT NULL,
  PRIMARY KEY (order_id, email_id),
  KEY order_emails_due (status, next_time, order_id, email_id),
  KEY order_emails_by_id (email_id, order_id),
  KEY order_emails_by_status (status, email_id, order_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;
