-- Schema 6: API keys. Expands only. Servers of schema 5 ask nobody for a key: they listen to their own
-- machine only, where they go on letting everybody do everything until they are replaced.
-- oldest-binary: 5

-- secret_hash: SHA-256 of the secret. Times: the smallest number if there is none.
CREATE TABLE IF NOT EXISTS api_keys (
  key_id VARBINARY(32) NOT NULL,
  secret_hash VARBINARY(32) NOT NULL,
  name VARCHAR(255) NOT NULL,
  role BIGINT NOT NULL,
  create_time BIGINT NOT NULL,
  created_by VARCHAR(255) NOT NULL,
  expire_time BIGINT NOT NULL,
  revoke_time BIGINT NOT NULL,
  revoked_by VARCHAR(255) NOT NULL,
  last_use_time BIGINT NOT NULL,
  PRIMARY KEY (key_id),
  KEY api_keys_by_create (create_time, key_id),
  KEY api_keys_by_revoke (revoke_time, key_id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;

-- One row. Its version rises with each change of a key; 0: there has never been one.
CREATE TABLE IF NOT EXISTS api_keys_head (
  id BIGINT NOT NULL,
  version BIGINT NOT NULL,
  PRIMARY KEY (id)
) ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT=DYNAMIC;
INSERT IGNORE INTO api_keys_head (id, version) VALUES (1, 0);
