#include "server/orders/invoice.h"

#include "server/orders/fields.h"
#include "server/orders/text.h"

namespace orderd::rules {

absl::Status validate(const pb::UpdateInvoiceRequest& request) {
  errors::Violations violations;
  check_mutation(request, violations);
  check_number(request.invoice_number(), 0, 64, "invoice_number", violations);
  return violations.status();
}

std::vector<Claim> invoice_claims(const pb::UpdateInvoiceRequest& request) {
  const auto number = trimmed(request.invoice_number());
  if (number.empty()) return {};
  return {{ClaimKind::kInvoiceNumber, std::string(number)}};
}

Result update_invoice(const pb::UpdateInvoiceRequest& request, const Target& target,
                      const Context&) {
  const std::string number(trimmed(request.invoice_number()));
  const pb::Order& before = *target.order;
  Change change;
  if (number == before.invoice_number()) return change;
  if (!target.holders.empty() && target.holders[0]) {
    const std::string holder = target.holders[0]->order_id.to_string();
    if (holder != before.order_id()) return errors::invoice_number_in_use(number, holder);
  }
  change.after.emplace(before).set_invoice_number(number);
  auto& event = *change.events.emplace_back().mutable_invoice_number_changed();
  event.set_before(before.invoice_number());
  event.set_after(number);
  return change;
}

}  // namespace orderd::rules
