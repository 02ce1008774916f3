#include "server/orders/import.h"

#include <algorithm>
#include <array>
#include <unordered_map>

#include <fmt/format.h>

#include "server/orders/create.h"
#include "server/orders/external_payment.h"
#include "server/orders/fields.h"
#include "server/orders/lookup.h"
#include "server/orders/methods.h"
#include "server/orders/money.h"
#include "server/orders/payments.h"
#include "server/orders/shipment_draft.h"
#include "server/orders/shipments.h"
#include "server/orders/text.h"
#include "server/orders/utf8.h"

namespace orderd::rules {
namespace {

constexpr int kMaxNotes = 1000;
constexpr int kMaxShipments = 1000;

/// The order's currency, or if it has no amount that of the payments.
std::string import_currency(const pb::ImportOrdersRequest& request) {
  std::string currency = order_currency(request.order());
  for (auto it = request.payments().begin(); currency.empty() && it != request.payments().end();
       ++it) {
    for (const auto* money : {&it->authorized(), &it->captured(), &it->refunded(), &it->voided()}) {
      if (currency.empty() && currency_exponent(money->currency_code())) {
        currency = money->currency_code();
      }
    }
  }
  return currency;
}

std::int64_t authorized_amount(const pb::ImportedPayment& payment) {
  return payment.has_authorized()
             ? payment.authorized().amount_minor()
             : payment.captured().amount_minor() + payment.voided().amount_minor();
}

void check_payment(const pb::ImportedPayment& payment, const std::string& field, MoneyCheck& check,
                   errors::Violations& violations) {
  if (payment.gateway_account() != kExternal) {
    violations.add(field + ".gateway_account", "must be \"external\"");
  }
  check_number(payment.gateway_reference(), 1, 255, field + ".gateway_reference", violations);
  check_text(payment.description(), 0, 255, field + ".description", violations);

  auto amount = [&](bool given, const pb::Money& money, const char* name) {
    return given ? check.amount(money, field + name) : std::optional<std::int64_t>(0);
  };
  const auto authorized = amount(payment.has_authorized(), payment.authorized(), ".authorized");
  const auto captured = amount(payment.has_captured(), payment.captured(), ".captured");
  const auto refunded = amount(payment.has_refunded(), payment.refunded(), ".refunded");
  const auto voided = amount(payment.has_voided(), payment.voided(), ".voided");
  if (captured && refunded && *refunded > *captured) {
    violations.add(field + ".refunded.amount_minor",
                   fmt::format("must be at most {} (captured)", *captured));
  }
  if (captured && voided && authorized) {
    const auto used = add(*captured, *voided);
    if (!used) {
      violations.add(field + ".voided.amount_minor",
                     "captured + voided: the amount does not fit into 64 bits");
    } else if (payment.has_authorized() && *used > *authorized) {
      violations.add(field + ".authorized.amount_minor",
                     fmt::format("must be at least {} (captured + voided)", *used));
    }
  }
}

void check_payments(const pb::ImportOrdersRequest& request, errors::Violations& violations) {
  if (request.payments_size() > kMaxPayments) {
    violations.add("payments", fmt::format("must be at most {} payments, not {}", kMaxPayments,
                                           request.payments_size()));
    return;
  }
  MoneyCheck check(import_currency(request), violations);
  std::unordered_map<std::string_view, int> references;
  for (int i = 0; i < request.payments_size(); ++i) {
    const auto& payment = request.payments(i);
    const std::string field = fmt::format("payments[{}]", i);
    check_payment(payment, field, check, violations);
    const auto [first, is_new] = references.emplace(trimmed(payment.gateway_reference()), i);
    if (!is_new) {
      violations.add(field + ".gateway_reference",
                     fmt::format("must differ from that of payments[{}]", first->second));
    }
  }
}

void check_notes(const pb::ImportOrdersRequest& request, errors::Violations& violations) {
  if (request.notes_size() > kMaxNotes) {
    violations.add(
        "notes", fmt::format("must be at most {} notes, not {}", kMaxNotes, request.notes_size()));
    return;
  }
  for (int i = 0; i < request.notes_size(); ++i) {
    const auto& note = request.notes(i);
    const std::string field = fmt::format("notes[{}].", i);
    check_text(note.author(), 0, 255, field + "author", violations);
    check_note(note.body(), note.visibility(), field, violations);
    if (note.has_create_time()) check_time(note.create_time(), field + "create_time", violations);
  }
}

/// The lines must name items of the order, and of each at most as many pieces as were ordered.
void check_shipments(const pb::ImportOrdersRequest& request, errors::Violations& violations) {
  if (request.shipments_size() > kMaxShipments) {
    violations.add("shipments", fmt::format("must be at most {} shipments, not {}", kMaxShipments,
                                            request.shipments_size()));
    return;
  }
  int lines = 0;
  for (const auto& shipment : request.shipments()) lines += shipment.lines_size();
  if (lines > kMaxLines) {
    violations.add("shipments",
                   fmt::format("must have at most {} lines in all, not {}", kMaxLines, lines));
    return;
  }
  std::unordered_map<std::string, std::int64_t> unshipped;
  const auto ids = item_ids(request.order());
  for (std::size_t i = 0; i < ids.size(); ++i) {
    unshipped.emplace(ids[i], request.order().items(static_cast<int>(i)).quantity());
  }
  std::unordered_map<std::string_view, std::string> numbers;
  for (int i = 0; i < request.shipments_size(); ++i) {
    const auto& shipment = request.shipments(i);
    const std::string field = fmt::format("shipments[{}]", i);
    check_text(shipment.method_id(), 0, 64, field + ".method_id", violations);
    check_tracking_numbers(shipment.tracking_numbers(), field + ".tracking_numbers", numbers,
                           violations);
    if (shipment.lines().empty()) violations.add(field + ".lines", "must be at least one line");
    for (int j = 0; j < shipment.lines_size(); ++j) {
      const auto& line = shipment.lines(j);
      const std::string path = fmt::format("{}.lines[{}]", field, j);
      check_id(line.delivery_state_id(), path + ".delivery_state_id", violations);
      if (line.has_delivery_state_time()) {
        check_time(line.delivery_state_time(), path + ".delivery_state_time", violations);
      }
      const auto left = unshipped.find(line.item_id());
      if (left == unshipped.end()) {
        violations.add(path + ".item_id",
                       fmt::format("the order has no item \"{}\"", shown(line.item_id())));
      } else if (line.quantity() < 1) {
        violations.add(path + ".quantity", "must be at least 1");
      } else if (line.quantity() > left->second) {
        violations.add(path + ".quantity",
                       fmt::format("must be at most {}, the pieces of the item that no line before "
                                   "has, not {}",
                                   std::max<std::int64_t>(left->second, 0), line.quantity()));
      } else {
        left->second -= line.quantity();
      }
    }
  }
  // What is left of an item becomes a line of its own.
  lines += static_cast<int>(std::count_if(unshipped.begin(), unshipped.end(),
                                          [](const auto& item) { return item.second > 0; }));
  if (lines > kMaxLines) {
    violations.add("shipments", fmt::format("must have at most {} lines in all, with one for the "
                                            "rest of each item, not {}",
                                            kMaxLines, lines));
  }
}

/// Refuses methods and delivery states that are not configured.
void check_shipment_settings(const pb::ImportOrdersRequest& request, const Settings& settings,
                             Refusals& refusals) {
  check_methods(request.order(), "order", false, settings, refusals);
  for (int i = 0; i < request.shipments_size(); ++i) {
    const auto& shipment = request.shipments(i);
    const std::string field = fmt::format("shipments[{}]", i);
    if (!shipment.method_id().empty()) {
      auto refusal = check_method(shipment.method_id(), false, settings);
      if (!refusal.ok()) refusals.add(field + ".method_id", std::move(refusal));
    }
    for (int j = 0; j < shipment.lines_size(); ++j) {
      const auto& state_id = shipment.lines(j).delivery_state_id();
      if (live(settings.delivery_states, state_id)) continue;
      refusals.add(fmt::format("{}.lines[{}].delivery_state_id", field, j),
                   errors::delivery_state_unknown(state_id));
    }
  }
}

void build_shipments(const pb::ImportOrdersRequest& request, const Uuid& ids, Micros now,
                     const Settings& settings, pb::Order& order) {
  ShipmentDraft draft(order, ids);
  for (const auto& imported : request.shipments()) {
    const int shipment = draft.add_shipment(imported.method_id());
    std::vector<int> lines;
    for (const auto& line : imported.lines()) {
      const Micros time =
          line.has_delivery_state_time() ? to_micros(line.delivery_state_time()) : now;
      lines.push_back(draft.add_line(shipment, draft.find_item(line.item_id()), line.quantity(),
                                     line.delivery_state_id(), time));
    }
    draft.merge(lines);
    std::vector<std::string> numbers;
    for (const auto& number : imported.tracking_numbers()) numbers.emplace_back(trimmed(number));
    draft.set_tracking_numbers(shipment, std::move(numbers));
  }
  add_remaining(draft, order, now, settings);
  draft.write(order);
}

pb::Payment build_payment(const pb::ImportedPayment& imported, const pb::Order& order,
                          const Uuid& id, const Context& context,
                          std::vector<pb::PaymentTransaction>& transactions) {
  pb::Payment payment;
  payment.set_payment_id(id.to_string());
  payment.set_gateway_account(imported.gateway_account());
  payment.set_gateway_reference(std::string(trimmed(imported.gateway_reference())));
  payment.set_description(imported.description());
  const ExternalSums sums = {
      .authorized = authorized_amount(imported),
      .captured = imported.captured().amount_minor(),
      .refunded = imported.refunded().amount_minor(),
      .voided = imported.voided().amount_minor(),
  };
  set_external_sums(sums, order.currency_code(), to_micros(order.order_time()), context, payment,
                    transactions);
  return payment;
}

/// The notes, oldest first, so that their ids sort like their times.
std::vector<pb::Note> build_notes(const pb::ImportOrdersRequest& request, std::span<const Uuid> ids,
                                  const Context& context) {
  std::vector<pb::Note> notes;
  for (const auto& imported : request.notes()) {
    auto& note = notes.emplace_back();
    note.set_author(imported.author().empty() ? *context.actor : imported.author());
    note.set_body(imported.body());
    note.set_visibility(imported.visibility() == pb::NOTE_VISIBILITY_UNSPECIFIED
                            ? pb::NOTE_VISIBILITY_INTERNAL
                            : imported.visibility());
    *note.mutable_create_time() =
        to_timestamp(imported.has_create_time() ? to_micros(imported.create_time()) : context.now);
    *note.mutable_update_time() = note.create_time();
  }
  std::stable_sort(notes.begin(), notes.end(), [](const pb::Note& a, const pb::Note& b) {
    return to_micros(a.create_time()) < to_micros(b.create_time());
  });
  for (std::size_t i = 0; i < notes.size(); ++i) notes[i].set_note_id(ids[i].to_string());
  return notes;
}

}  // namespace

absl::Status validate(const pb::ImportOrdersRequest& request) {
  errors::Violations violations;
  check_new_order(request.order(), "order", violations);
  if (request.order().payments_size() > 0) {
    violations.add("order.payments", "must be empty; `payments` takes those of an import");
  }
  if (trimmed(request.order().order_number()).empty()) {
    violations.add("order.order_number", "must not be empty");
  }
  check_text(request.state_id(), 0, 64, "state_id", violations);
  check_number(request.invoice_number(), 0, 64, "invoice_number", violations);
  check_notes(request, violations);
  check_payments(request, violations);
  check_shipments(request, violations);
  return violations.status();
}

std::vector<Claim> import_claims(const pb::ImportOrdersRequest& request) {
  std::vector<Claim> claims;
  claims.push_back({ClaimKind::kOrderNumber, std::string(trimmed(request.order().order_number()))});
  const auto invoice = trimmed(request.invoice_number());
  if (!invoice.empty()) claims.push_back({ClaimKind::kInvoiceNumber, std::string(invoice)});
  for (const auto& payment : request.payments()) {
    claims.push_back(
        {ClaimKind::kPaymentReference,
         payment_claim(payment.gateway_account(), trimmed(payment.gateway_reference()))});
  }
  return claims;
}

std::size_t import_ids(const pb::ImportOrdersRequest& request) {
  return 1 + static_cast<std::size_t>(request.notes_size()) +
         static_cast<std::size_t>(request.payments_size());
}

Result import_order(const pb::ImportOrdersRequest& request, std::string_view digest,
                    std::span<const Uuid> ids, const Target& target, const Context& context) {
  const std::string number(trimmed(request.order().order_number()));
  if (const auto& holder = target.holders[0]) {
    if (holder->import_digest.empty()) {
      return errors::order_number_in_use(number, holder->order_id.to_string());
    }
    if (holder->import_digest != digest) {
      return errors::import_conflict(number, holder->order_id.to_string());
    }
    Change change;
    change.imported_before = holder->order_id;
    return change;
  }

  Refusals refusals;
  const auto* state = request.state_id().empty() ? initial_state(*context.settings)
                                                 : context.settings->live_state(request.state_id());
  if (!state) refusals.add("state_id", errors::state_unknown(request.state_id()));
  std::size_t claim = 1;
  const std::string invoice(trimmed(request.invoice_number()));
  if (!invoice.empty()) {
    if (const auto& holder = target.holders[claim++]) {
      refusals.add("invoice_number",
                   errors::invoice_number_in_use(invoice, holder->order_id.to_string()));
    }
  }
  for (int i = 0; i < request.payments_size(); ++i) {
    if (const auto& holder = target.holders[claim++]) {
      const auto& payment = request.payments(i);
      refusals.add(fmt::format("payments[{}].gateway_reference", i),
                   errors::payment_reference_in_use(payment.gateway_account(),
                                                    trimmed(payment.gateway_reference()),
                                                    holder->order_id.to_string()));
    }
  }
  check_shipment_settings(request, *context.settings, refusals);
  if (!refusals.empty()) return refusals.status();

  Change change;
  change.import_digest = std::string(digest);
  auto& order = change.after.emplace(build_order(request.order()));
  order.set_order_id(ids[0].to_string());
  order.set_state_id(state->state_id());
  order.set_invoice_number(invoice);
  order.set_currency_code(import_currency(request));
  const auto note_count = static_cast<std::size_t>(request.notes_size());
  change.notes_created = build_notes(request, ids.subspan(1, note_count), context);
  order.set_note_count(request.notes_size());
  if (state->category() == pb::STATE_CATEGORY_CANCELED) {
    // When that was is not known, so there is no complete_time.
    order.mutable_cancellation()->set_status(pb::CANCELLATION_STATUS_COMPLETED);
  }
  *order.mutable_create_time() = to_timestamp(context.now);
  *order.mutable_update_time() = to_timestamp(context.now);
  build_shipments(request, ids[0], context.now, *context.settings, order);
  if (!order.has_order_time()) *order.mutable_order_time() = order.create_time();
  for (int i = 0; i < request.payments_size(); ++i) {
    const auto id = 1 + note_count + static_cast<std::size_t>(i);
    *order.add_payments() =
        build_payment(request.payments(i), order, ids[id], context, change.transactions_created);
  }

  auto& event = *change.events.emplace_back().mutable_order_imported();
  *event.mutable_order() = order;
  event.mutable_notes()->Add(change.notes_created.begin(), change.notes_created.end());
  return change;
}

}  // namespace orderd::rules
