#include "client/orderctl/print_events.h"

#include <fmt/core.h>
#include <google/protobuf/util/message_differencer.h>

#include <map>
#include <string_view>
#include <utility>

#include "client/orderctl/amounts.h"
#include "client/orderctl/print_cancellation.h"
#include "client/orderctl/print_emails.h"
#include "client/orderctl/print_payments.h"
#include "client/orderctl/print_shipments.h"
#include "client/orderctl/text.h"

namespace orderd::cli {
namespace {

namespace pb = ::orders::v1;

using google::protobuf::util::MessageDifferencer;

/// Of what people wrote, a row shows no more.
constexpr std::size_t kQuoteColumns = 100;

/// "state new -> processing; reason "paid"": one thing after the other.
class Words {
 public:
  explicit Words(std::string_view separator = "; ") : separator_(separator) {}

  void add(const std::string& text) {
    if (text.empty()) return;
    if (!text_.empty()) text_ += separator_;
    text_ += text;
  }
  /// Only if it differs.
  void change(std::string_view name, const std::string& before, const std::string& after) {
    if (before == after) return;
    add(fmt::format("{}{}{} -> {}", name, name.empty() ? "" : " ", or_dash(before),
                    or_dash(after)));
  }
  void quote(std::string_view name, const std::string& text) {
    if (text.empty()) return;
    add(fmt::format("{}{}\"{}\"", name, name.empty() ? "" : " ", clipped(text, kQuoteColumns)));
  }
  bool empty() const { return text_.empty(); }
  const std::string& text() const { return text_; }

 private:
  const std::string_view separator_;
  std::string text_;
};

/// The text fields of a message, by the paths that `orderctl update --set` takes.
void change_fields(Words& words, const std::string& path, const google::protobuf::Message& before,
                   const google::protobuf::Message& after) {
  using google::protobuf::FieldDescriptor;
  const auto* type = before.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (field->cpp_type() != FieldDescriptor::CPPTYPE_STRING || field->is_repeated()) continue;
    words.change(path + "." + field->name(), before.GetReflection()->GetString(before, field),
                 after.GetReflection()->GetString(after, field));
  }
}

std::string words_of(const pb::OrderUpdated& updated) {
  const pb::OrderDetails& before = updated.before();
  const pb::OrderDetails& after = updated.after();
  Words words;
  change_fields(words, "customer", before.customer(), after.customer());
  change_fields(words, "billing_address", before.billing_address(), after.billing_address());
  change_fields(words, "shipping_address", before.shipping_address(), after.shipping_address());
  std::map<std::string, std::pair<std::string, std::string>> labels;
  for (const auto& [key, value] : before.labels()) labels[key].first = value;
  for (const auto& [key, value] : after.labels()) labels[key].second = value;
  for (const auto& [key, values] : labels) {
    const bool both = before.labels().contains(key) && after.labels().contains(key);
    if (!both && values.first == values.second) {
      words.add("label " + key + (after.labels().contains(key) ? " added" : " removed"));
    }
    words.change("label " + key, values.first, values.second);
  }
  words.quote("reason", updated.reason());
  return words.text();
}

std::string words_of(const pb::StateChanged& changed) {
  Words words;
  words.change("", changed.before_state_id(), changed.after_state_id());
  if (changed.forced()) words.add("forced");
  words.quote("reason", changed.reason());
  return words.text();
}

std::string visibility_text(const pb::Note& note) {
  return note.visibility() == pb::NOTE_VISIBILITY_CUSTOMER ? "customer" : "internal";
}

std::string words_of(const pb::Note& note) {
  Words words;
  words.quote("for " + visibility_text(note), note.body());
  return words.text();
}

std::string words_of(const pb::NoteUpdated& updated) {
  const auto quoted = [](const pb::Note& note) {
    return "\"" + clipped(note.body(), kQuoteColumns) + "\"";
  };
  Words words;
  if (updated.before().body() != updated.after().body()) {
    words.add(quoted(updated.before()) + " -> " + quoted(updated.after()));
  }
  words.change("for", visibility_text(updated.before()), visibility_text(updated.after()));
  return words.text();
}

std::string tracking_text(const pb::Shipment& shipment) {
  Words words(" ");
  for (const auto& entry : shipment.tracking_numbers()) words.add(entry.number());
  return words.text();
}

/// Null: there was, or is, none.
std::string shipment_words(const pb::Shipment* before, const pb::Shipment* after) {
  static const pb::Shipment kNone;
  const std::string name = "shipment " + (after ? after : before)->shipment_id();
  if (after == nullptr) return name + " is no more";
  const pb::Shipment& was = before ? *before : kNone;
  Words words(", ");
  words.change("method", was.method_id(), after->method_id());
  words.change("tracking", tracking_text(was), tracking_text(*after));
  words.change("pieces", delivery_summary(was), delivery_summary(*after));
  if (words.empty()) words.add("its lines changed");
  return (before ? "" : "new ") + name + ": " + words.text();
}

std::string words_of(const pb::ShipmentsChanged& changed) {
  std::map<std::string_view, std::pair<const pb::Shipment*, const pb::Shipment*>> shipments;
  for (const auto& shipment : changed.before()) shipments[shipment.shipment_id()].first = &shipment;
  for (const auto& shipment : changed.after()) shipments[shipment.shipment_id()].second = &shipment;
  Words words;
  for (const auto& [id, pictures] : shipments) {
    words.add(shipment_words(pictures.first, pictures.second));
  }
  return words.text();
}

std::string payment_name(const pb::Payment& payment) {
  return payment.gateway_account() + " " + payment.gateway_reference();
}

std::string words_of(const pb::PaymentAdded& added) {
  const pb::Payment& payment = added.payment();
  Words words(", ");
  words.add(payment_status_text(payment.status()));
  if (payment.has_authorized()) words.add("authorized " + format_money(payment.authorized()));
  if (payment.has_captured()) words.add("captured " + format_money(payment.captured()));
  return payment_name(payment) + ": " + words.text();
}

std::string words_of(const pb::PaymentChanged& changed) {
  const pb::Payment& before = changed.before();
  const pb::Payment& after = changed.after();
  Words words;
  words.change("", payment_status_text(before.status()), payment_status_text(after.status()));
  const auto amount = [&](std::string_view name, bool (pb::Payment::*has)() const,
                          const pb::Money& (pb::Payment::*get)() const) {
    words.change(name, money_or_dash((before.*has)(), (before.*get)()),
                 money_or_dash((after.*has)(), (after.*get)()));
  };
  amount("authorized", &pb::Payment::has_authorized, &pb::Payment::authorized);
  amount("captured", &pb::Payment::has_captured, &pb::Payment::captured);
  amount("refunded", &pb::Payment::has_refunded, &pb::Payment::refunded);
  amount("voided", &pb::Payment::has_voided, &pb::Payment::voided);
  for (const auto& transaction : changed.transactions()) words.add(transaction_words(transaction));
  if (after.discrepancy() && !before.discrepancy()) words.add("DISCREPANCY");
  if (after.attention() && !before.attention()) words.add("ATTENTION");
  words.quote("reason", changed.reason());
  return payment_name(after) + ": " + (words.empty() ? "read again" : words.text());
}

std::string words_of(const pb::CancellationChanged& changed) {
  const pb::Cancellation& before = changed.before();
  const pb::Cancellation& after = changed.after();
  const auto status = [](const pb::Cancellation& cancellation) {
    return cancellation.status() <= pb::CANCELLATION_STATUS_NONE
               ? ""
               : cancellation_status_text(cancellation.status());
  };
  Words words;
  words.change("", status(before), status(after));
  for (int i = 0; i < after.legs_size(); ++i) {
    const bool same =
        i < before.legs_size() && MessageDifferencer::Equals(before.legs(i), after.legs(i));
    if (!same) words.add(leg_words(after.legs(i)));
  }
  if (before.reason() != after.reason()) words.quote("reason", after.reason());
  words.quote("given up:", changed.reason());
  return words.text();
}

std::string words_of(const pb::EmailChanged& changed) {
  const pb::Email& after = changed.after();
  Words words;
  words.change("", changed.has_before() ? email_status_text(changed.before().status()) : "",
               email_status_text(after.status()));
  if (changed.has_before()) {
    words.change("to", changed.before().recipient(), after.recipient());
    words.change("tries", std::to_string(changed.before().tries()), std::to_string(after.tries()));
  }
  if (!after.last_error().empty() && after.status() != pb::EMAIL_STATUS_SENT) {
    words.add("last failure " + last_failure(after));
  }
  return fmt::format("{}, to {}: {}", email_kind_text(after.kind()), or_dash(after.recipient()),
                     words.text());
}

std::string words_of(const pb::CustomerErased& erased) {
  Words words;
  words.add("erasure " + erased.erasure_id());
  if (erased.texts()) words.add("with texts");
  if (!erased.open_reason().empty()) words.add("although " + enum_text(erased.open_reason(), ""));
  return words.text();
}

std::string details(const pb::OrderEvent& event) {
  using Event = pb::OrderEvent;
  switch (event.payload_case()) {
    case Event::kOrderCreated:
      return order_words(event.order_created().order());
    case Event::kOrderImported:
      return order_words(event.order_imported().order());
    case Event::kOrderUpdated:
      return words_of(event.order_updated());
    case Event::kStateChanged:
      return words_of(event.state_changed());
    case Event::kInvoiceNumberChanged: {
      Words words;
      words.change("", event.invoice_number_changed().before(),
                   event.invoice_number_changed().after());
      return words.text();
    }
    case Event::kNoteAdded:
      return words_of(event.note_added().note());
    case Event::kNoteUpdated:
      return words_of(event.note_updated());
    case Event::kNoteDeleted:
      return words_of(event.note_deleted().note());
    case Event::kShipmentsChanged:
      return words_of(event.shipments_changed());
    case Event::kPaymentAdded:
      return words_of(event.payment_added());
    case Event::kPaymentChanged:
      return words_of(event.payment_changed());
    case Event::kCancellationChanged:
      return words_of(event.cancellation_changed());
    case Event::kEmailChanged:
      return words_of(event.email_changed());
    case Event::kCustomerErased:
      return words_of(event.customer_erased());
    case Event::PAYLOAD_NOT_SET:
      break;
  }
  return "";
}

/// "state changed"; "?" for a type that is younger than this program.
std::string what(const pb::OrderEvent& event) {
  const auto* field = pb::OrderEvent::descriptor()->FindFieldByNumber(event.payload_case());
  return field == nullptr ? "?" : enum_text(field->name(), "");
}

}  // namespace

std::vector<std::string> event_headings(std::string second) {
  return {"TIME", std::move(second), "WHAT", "BY", "DETAILS"};
}

std::vector<std::string> event_row(const pb::OrderEvent& event, std::string second) {
  return {format_time(event.event_time()), std::move(second), what(event), or_dash(event.actor()),
          or_dash(details(event))};
}

std::string order_words(const pb::Order& order) {
  Words words(", ");
  words.add(order.order_number());
  words.add(order.state_id());
  if (order.totals().has_total()) words.add(format_money(order.totals().total()));
  words.add(order.customer().email().empty() ? order.customer().name() : order.customer().email());
  return words.text();
}

}  // namespace orderd::cli
