-- Schema 5: the change feed is read. Expands only: servers of schema 4 go on writing, without `facts`;
-- such changes are delivered to every watcher that does not ask for other orders or types.
-- oldest-binary: 4

-- A serialized ChangeFacts: what filters look at. Nothing: not known.
ALTER TABLE feed ADD COLUMN facts BLOB NOT NULL DEFAULT x'';

-- At `time`, everything up to `pos` had been committed.
CREATE TABLE IF NOT EXISTS feed_marks (
  time BIGINT NOT NULL PRIMARY KEY,
  pos BIGINT NOT NULL
) WITHOUT ROWID;
