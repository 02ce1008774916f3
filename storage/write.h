#pragma once

#include <memory>

#include "storage/session_pool.h"
#include "storage/storage.h"

namespace orderd::storage {

/// Begins the transaction.
std::unique_ptr<WriteTransaction> make_write_transaction(Lease lease);

void insert_batch(Session& session, const Uuid& batch_key, Micros now);

}  // namespace orderd::storage
