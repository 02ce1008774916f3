-- Schema 5: the change feed is read. Expands only: servers of schema 4 go on writing, without `facts`;
-- such changes are delivered to every watcher that does not ask for other orders or types.
-- oldest-binary: 4

-- Nobody can go on from before this schema, and what follows copies the rows.
TRUNCATE TABLE feed;

-- A serialized ChangeFacts: what filters look at. Nothing: not known.
ALTER TABLE feed ADD COLUMN facts MEDIUMBLOB NOT NULL DEFAULT ('');

-- Retention drops partitions. The server adds the next ones ahead of the position (feed.cc), so the last
-- one is empty.
ALTER TABLE feed PARTITION BY RANGE (pos) (
  PARTITION p1000000 VALUES LESS THAN (1000001),
  PARTITION p2000000 VALUES LESS THAN (2000001),
  PARTITION pmax VALUES LESS THAN MAXVALUE);

-- At `time`, everything up to `pos` had been committed.
CREATE TABLE IF NOT EXISTS feed_marks (
  time BIGINT NOT NULL,
  pos BIGINT NOT NULL,
  PRIMARY KEY (time)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- One row, written by whoever wants the log to be on disk up to here.
CREATE TABLE IF NOT EXISTS feed_flush (
  id BIGINT NOT NULL,
  n BIGINT NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT IGNORE INTO feed_flush (id, n) VALUES (1, 0);
