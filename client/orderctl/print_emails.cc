#include "client/orderctl/print_emails.h"

#include "client/orderctl/print_payments.h"

namespace orderd::cli {

namespace pb = ::orders::v1;

std::string email_kind_text(pb::EmailKind kind) {
  return enum_text(pb::EmailKind_Name(kind), "EMAIL_KIND_");
}

std::string email_status_text(pb::EmailStatus status) {
  return enum_text(pb::EmailStatus_Name(status), "EMAIL_STATUS_");
}

std::string last_failure(const pb::Email& email) {
  if (email.last_error().empty()) return "-";
  return email.last_error() +
         (email.last_code() == 0 ? "" : " " + std::to_string(email.last_code()));
}

}  // namespace orderd::cli
