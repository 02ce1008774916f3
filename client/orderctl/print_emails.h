#pragma once

#include <string>

#include "orders/v1/cancellation.pb.h"

namespace orderd::cli {

std::string email_kind_text(orders::v1::EmailKind kind);
std::string email_status_text(orders::v1::EmailStatus status);

/// "RECIPIENT_REFUSED 550"; "-" if the last try did not fail.
std::string last_failure(const orders::v1::Email& email);

}  // namespace orderd::cli
