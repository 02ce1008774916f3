#include "server/orders/erase.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <google/protobuf/descriptor.h>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "server/orders/delivery_states.h"
#include "server/orders/fields.h"
#include "server/orders/text.h"

namespace orderd::rules {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr int kMaxOrders = 1000;
constexpr std::string_view kPrefix = "erased-";
constexpr std::size_t kDigits = 32;

bool is_pseudonym(std::string_view id) {
  return id.size() == kPrefix.size() + kDigits && id.starts_with(kPrefix) &&
         std::all_of(id.begin() + kPrefix.size(), id.end(),
                     [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// What people write: the fields that hold it.
bool is_text(const FieldDescriptor& field) {
  static const auto* texts = [] {
    const auto field_of = [](const google::protobuf::Descriptor* message, const char* name) {
      const auto* found = message->FindFieldByName(name);
      if (found == nullptr) throw std::logic_error(name);
      return found;
    };
    return new std::array<const FieldDescriptor*, 8>{
        field_of(pb::Note::descriptor(), "body"),
        field_of(pb::OrderUpdated::descriptor(), "reason"),
        field_of(pb::StateChanged::descriptor(), "reason"),
        field_of(pb::PaymentChanged::descriptor(), "reason"),
        field_of(pb::CancellationChanged::descriptor(), "reason"),
        field_of(pb::Cancellation::descriptor(), "reason"),
        field_of(pb::Payment::descriptor(), "description"),
        field_of(pb::PaymentTransaction::descriptor(), "description"),
    };
  }();
  return std::find(texts->begin(), texts->end(), &field) != texts->end();
}

/// Made anew of what may stay, so that no field of a customer can be overlooked.
bool erase_fields(const Pseudonyms& pseudonyms, pb::Customer& customer) {
  pb::Customer erased;
  if (!customer.customer_id().empty()) {
    erased.set_customer_id(pseudonyms.of_customer_id(customer.customer_id()));
  }
  const bool differs = erased.SerializeAsString() != customer.SerializeAsString();
  customer = std::move(erased);
  return differs;
}

bool erase_fields(pb::Address& address) {
  pb::Address erased;
  erased.set_country_code(address.country_code());
  const bool differs = erased.SerializeAsString() != address.SerializeAsString();
  address = std::move(erased);
  return differs;
}

/// Erases the message of a field that is no list, and the field with it if nothing stays.
bool erase_child(const Pseudonyms& pseudonyms, bool texts, const FieldDescriptor& field,
                 Message& parent) {
  const auto& reflection = *parent.GetReflection();
  Message& child = *reflection.MutableMessage(&parent, &field);
  const bool erased = erase_personal_data(pseudonyms, texts, child);
  // A part without content is absent, so that there is one form of it.
  const bool part = child.GetDescriptor() == pb::Customer::descriptor() ||
                    child.GetDescriptor() == pb::Address::descriptor();
  if (part && child.ByteSizeLong() == 0) reflection.ClearField(&parent, &field);
  return erased;
}

bool selects(const pb::EraseCustomerDataRequest& request, const pb::Order& order) {
  switch (request.selector_case()) {
    case pb::EraseCustomerDataRequest::kCustomerId:
      return order.customer().customer_id() == request.customer_id();
    case pb::EraseCustomerDataRequest::kEmail:
      return absl::EqualsIgnoreCase(order.customer().email(), request.email());
    default:
      return true;
  }
}

/// What an erasure makes of an e-mail; nothing if it stays as it is. Those of an order that has not
/// been erased before have content that must go.
std::optional<pb::Email> erased_email(const pb::Email& before, bool first) {
  if (!first && before.recipient().empty()) return std::nullopt;
  pb::Email email = before;
  email.clear_recipient();
  if (email.status() != pb::EMAIL_STATUS_SENT) email.set_status(pb::EMAIL_STATUS_WITHDRAWN);
  email.clear_next_time();
  return email;
}

}  // namespace

std::string Pseudonyms::code(std::string_view purpose, std::string_view bytes) const {
  const std::string data = fmt::format("{}\n{}", purpose, bytes);
  std::array<unsigned char, EVP_MAX_MD_SIZE> out{};
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
           reinterpret_cast<const unsigned char*>(data.data()), data.size(), out.data(),
           &size) == nullptr) {
    throw std::runtime_error("HMAC failed");
  }
  return {reinterpret_cast<const char*>(out.data()), size};
}

std::string Pseudonyms::of_customer_id(std::string_view customer_id) const {
  if (is_pseudonym(customer_id)) return std::string(customer_id);
  const std::string digits = absl::BytesToHexString(code("customer id", customer_id));
  return std::string(kPrefix) + digits.substr(0, kDigits);
}

std::string Pseudonyms::of_email(std::string_view email) const {
  const std::string lower = absl::AsciiStrToLower(std::string(email));
  return std::string(kPrefix) + absl::BytesToHexString(code("e-mail", lower)).substr(0, kDigits);
}

bool erase_personal_data(const Pseudonyms& pseudonyms, bool texts, Message& message) {
  if (auto* customer = dynamic_cast<pb::Customer*>(&message))
    return erase_fields(pseudonyms, *customer);
  if (auto* address = dynamic_cast<pb::Address*>(&message)) return erase_fields(*address);
  bool erased = false;
  if (auto* email = dynamic_cast<pb::Email*>(&message)) {
    erased = !email->recipient().empty();
    email->clear_recipient();
  }
  const auto& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    if (texts && is_text(*field)) {
      reflection.ClearField(&message, field);
      erased = true;
    } else if (field->cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE || field->is_map()) {
      continue;
    } else if (!field->is_repeated()) {
      erased |= erase_child(pseudonyms, texts, *field, message);
    } else {
      for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
        erased |= erase_personal_data(pseudonyms, texts,
                                      *reflection.MutableRepeatedMessage(&message, field, i));
      }
    }
  }
  return erased;
}

absl::Status validate(const pb::EraseCustomerDataRequest& request) {
  errors::Violations violations;
  check_request_id(request.request_id(), violations);
  switch (request.selector_case()) {
    case pb::EraseCustomerDataRequest::kCustomerId:
      check_text(request.customer_id(), 1, 255, "customer_id", violations);
      break;
    case pb::EraseCustomerDataRequest::kEmail:
      check_text(request.email(), 1, 254, "email", violations);
      break;
    case pb::EraseCustomerDataRequest::kOrders: {
      const int count = request.orders().order_ids_size();
      if (count < 1 || count > kMaxOrders) {
        violations.add("orders.order_ids",
                       fmt::format("must be 1 to {} ids, not {}", kMaxOrders, count));
        break;
      }
      for (int i = 0; i < count; ++i) {
        check_id(request.orders().order_ids(i), fmt::format("orders.order_ids[{}]", i), violations);
      }
      break;
    }
    case pb::EraseCustomerDataRequest::SELECTOR_NOT_SET:
      violations.add("selector", "must be one of customer_id, email and orders");
      break;
  }
  check_page_size(request.page_size(), violations);
  return violations.status();
}

absl::Status validate(const pb::ListErasuresRequest& request) {
  errors::Violations violations;
  check_text(request.customer_id(), 0, 255, "customer_id", violations);
  check_text(request.email(), 0, 254, "email", violations);
  if (!request.customer_id().empty() && !request.email().empty()) {
    violations.add("email", "must be empty with customer_id");
  }
  check_page_size(request.page_size(), violations);
  return violations.status();
}

absl::Status check_closed(const pb::Order& order, const Settings& settings) {
  const auto* state = settings.any_state(order.state_id());
  if (state != nullptr && (state->category() == pb::STATE_CATEGORY_OPEN ||
                           state->category() == pb::STATE_CATEGORY_HELD)) {
    return errors::order_open(order.state_id());
  }
  const auto cancellation = order.cancellation().status();
  if (cancellation == pb::CANCELLATION_STATUS_IN_PROGRESS ||
      cancellation == pb::CANCELLATION_STATUS_FAILED) {
    return errors::cancellation_in_progress();
  }
  for (const auto& payment : order.payments()) {
    if (payment.open_transactions_size() > 0 || payment.capturable().amount_minor() > 0 ||
        payment.status() == pb::PAYMENT_STATUS_UNSYNCED ||
        payment.status() == pb::PAYMENT_STATUS_OPEN ||
        payment.status() == pb::PAYMENT_STATUS_PROCESSING) {
      return errors::payment_open(payment.payment_id());
    }
  }
  // In other states no line moves any more, whatever it says about its delivery.
  if (state == nullptr || !state->allows_shipment_update()) return absl::OkStatus();
  for (const auto& shipment : order.shipments()) {
    for (const auto& line : shipment.lines()) {
      const auto category = delivery_category(line.delivery_state_id(), settings);
      if (category == pb::DELIVERY_CATEGORY_OPEN || category == pb::DELIVERY_CATEGORY_SHIPPED) {
        return errors::delivery_open(line.line_id());
      }
    }
  }
  return absl::OkStatus();
}

Result erase_customer(const pb::EraseCustomerDataRequest& request, const Uuid& erasure_id,
                      const Pseudonyms& pseudonyms, const Target& target, const Context& context) {
  const pb::Order& before = *target.order;
  if (!selects(request, before)) return Change{};
  const bool texts = request.erase_texts();
  const bool first = !before.has_customer_erase_time();
  const auto erase = [&](Message& message) {
    return erase_personal_data(pseudonyms, texts, message);
  };

  Change change;
  pb::Order after = before;
  for (auto& payment : *after.mutable_payments()) change.payments_changed |= erase(payment);
  bool erased = erase(after) || change.payments_changed || first;
  for (pb::PaymentTransaction transaction : target.ledger) {
    if (erase(transaction)) change.transactions_updated.push_back(std::move(transaction));
  }
  for (pb::Note note : target.notes) {
    if (erase(note)) change.notes_erased.push_back(std::move(note));
  }
  for (std::size_t i = 0; i < target.history.size(); ++i) {
    pb::OrderEvent event = target.history[i];
    if (erase(event)) change.history_erased.emplace(i, std::move(event));
  }
  for (const pb::Email& email : target.emails) {
    auto after_erasure = erased_email(email, first);
    if (!after_erasure) continue;
    if (after_erasure->status() != email.status()) {
      auto& event = *change.events.emplace_back().mutable_email_changed();
      *event.mutable_before() = email;
      event.mutable_before()->clear_recipient();
      *event.mutable_after() = *after_erasure;
    }
    change.emails_erased.push_back(*std::move(after_erasure));
  }
  erased = erased || !change.transactions_updated.empty() || !change.notes_erased.empty() ||
           !change.history_erased.empty() || !change.emails_erased.empty();
  if (!erased) return Change{};

  const absl::Status closed = check_closed(before, *context.settings);
  if (!closed.ok() && !request.include_open()) return closed;
  *after.mutable_customer_erase_time() = to_timestamp(context.now);
  change.after = std::move(after);
  change.customer_changed = true;
  change.erasure_id = erasure_id;
  change.outcome.set_emails_erased(static_cast<int>(change.emails_erased.size()));
  auto& event = *change.events.emplace_back().mutable_customer_erased();
  event.set_erasure_id(erasure_id.to_string());
  event.set_texts(texts);
  event.set_open_reason(errors::reason(closed));
  return change;
}

}  // namespace orderd::rules
