#pragma once

#include "absl/status/status.h"
#include "orders/v1/access_service.pb.h"
#include "storage/model.h"

// The requests of `orders.v1.AccessService`.

namespace orderd::rules {

absl::Status validate(const pb::CreateApiKeyRequest& request);
absl::Status validate(const pb::ListApiKeysRequest& request);
absl::Status validate(const pb::RevokeApiKeyRequest& request);

}  // namespace orderd::rules
