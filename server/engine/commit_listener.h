#pragma once

#include <vector>

#include "storage/storage.h"

namespace orderd::engine {

/// Hears of what the engine has committed, before its callers do. Called on the engine's threads,
/// which it must not block.
class CommitListener {
 public:
  virtual ~CommitListener() = default;

  /// Whether anybody would read the changes of the next call.
  virtual bool listening() const = 0;
  /// The changes of one batch, durable and with successive positions.
  virtual void committed(std::vector<storage::FeedChange> changes) = 0;
};

}  // namespace orderd::engine
