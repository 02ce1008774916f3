#pragma once

#include <optional>
#include <span>
#include <vector>

#include "storage/session.h"
#include "storage/storage.h"

// API keys as rows, and the version that rises with each change of one.

namespace orderd::storage {

std::int64_t read_api_keys_version(Session& session);
/// Those that were not revoked before that time.
std::vector<ApiKeyRow> read_api_keys(Session& session, Micros revoked_before);
std::vector<pb::ApiKey> read_api_key_page(Session& session,
                                          const std::optional<ApiKeyKeyset>& after, int limit);
std::optional<ApiKeyRow> read_api_key(Session& session, std::string_view key_id);
std::int64_t count_api_keys(Session& session);

/// Takes the lock of all changes, and raises the version.
void raise_api_keys_version(Session& session);
void insert_api_key(Session& session, const ApiKeyRow& row);
void mark_revoked(Session& session, std::string_view key_id, Micros time, std::string_view by);
void mark_used(Session& session, std::span<const ApiKeyUse> uses);

}  // namespace orderd::storage
