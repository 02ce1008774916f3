-- What the next version of orderd would bring: columns, an index and a table that servers of this
-- version do not know. Expands only.
-- oldest-binary: 1

ALTER TABLE orders ADD COLUMN next_priority BIGINT NOT NULL DEFAULT 3;

CREATE INDEX IF NOT EXISTS next_by_priority ON orders (next_priority, id);

ALTER TABLE order_notes ADD COLUMN next_language VARCHAR(16) NOT NULL DEFAULT '';

ALTER TABLE order_events ADD COLUMN next_source BIGINT NOT NULL DEFAULT 0;

CREATE TABLE IF NOT EXISTS next_priorities (
  priority BIGINT NOT NULL PRIMARY KEY,
  name VARCHAR(64) NOT NULL
) ENGINE=InnoDB;
