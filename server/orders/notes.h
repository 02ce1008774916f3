#pragma once

#include "orders/v1/order_service.pb.h"
#include "server/orders/rule.h"

namespace orderd::rules {

absl::Status validate(const pb::AddNoteRequest& request);
absl::Status validate(const pb::UpdateNoteRequest& request);
absl::Status validate(const pb::DeleteNoteRequest& request);

Result add_note(const pb::AddNoteRequest& request, const Uuid& note_id, const Target& target,
                const Context& context);
Result update_note(const pb::UpdateNoteRequest& request, const Target& target,
                   const Context& context);
Result delete_note(const pb::DeleteNoteRequest& request, const Target& target,
                   const Context& context);

}  // namespace orderd::rules
