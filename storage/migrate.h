#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/session.h"

namespace orderd::storage {

struct EmbeddedFile {
  std::string_view name;
  std::string_view text;
};
/// migrations/*.sql, by name.
std::span<const EmbeddedFile> embedded_migrations();

/// One numbered change of the schema. Expand, then contract: servers of the schema before it go on
/// working with it, unless it says otherwise.
struct Migration {
  int number = 0;
  /// The oldest binary, by the number of its last migration, that can work with the schema after
  /// it.
  int oldest_binary = 0;
  /// One statement each, which may run twice. ALTER TABLE … ADD COLUMN is left out if the (first)
  /// column is there; several are added all or none.
  std::vector<std::string> steps;
};
/// The dialect's migrations, numbered from 1 without a gap.
std::vector<Migration> migrations(Dialect dialect);

/// Whether `migrate` would find nothing to do; only looks. Throws like it.
bool migrated(Session& session, const std::vector<Migration>& all);

/// Brings the database to the last of `all`, whatever state it is in. Several processes may do so
/// at once. Throws kSchema if the database is not ours or needs a newer binary.
void migrate(Session& session, const std::vector<Migration>& all);

}  // namespace orderd::storage
