-- Schema 6: API keys. Expands only. Servers of schema 5 ask nobody for a key: they listen to their own
-- machine only, where they go on letting everybody do everything until they are replaced.
-- oldest-binary: 5

-- secret_hash: SHA-256 of the secret. Times: the smallest number if there is none.
CREATE TABLE IF NOT EXISTS api_keys (
  key_id BLOB NOT NULL PRIMARY KEY,
  secret_hash BLOB NOT NULL,
  name TEXT NOT NULL,
  role BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  created_by TEXT NOT NULL,
  expire_time BIGINT NOT NULL,
  revoke_time BIGINT NOT NULL,
  revoked_by TEXT NOT NULL,
  last_use_time BIGINT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS api_keys_by_create ON api_keys (create_time, key_id);
CREATE INDEX IF NOT EXISTS api_keys_by_revoke ON api_keys (revoke_time, key_id);

-- One row. Its version rises with each change of a key; 0: there has never been one.
CREATE TABLE IF NOT EXISTS api_keys_head (
  id BIGINT NOT NULL PRIMARY KEY,
  version BIGINT NOT NULL
) WITHOUT ROWID;
INSERT OR IGNORE INTO api_keys_head (id, version) VALUES (1, 0);
