#include "server/orders/notes.h"

#include "server/orders/fields.h"
#include "server/orders/text.h"

namespace orderd::rules {

absl::Status validate(const pb::AddNoteRequest& request) {
  errors::Violations violations;
  check_mutation(request, violations);
  check_note(request.body(), request.visibility(), "", violations);
  return violations.status();
}

absl::Status validate(const pb::UpdateNoteRequest& request) {
  errors::Violations violations;
  check_mutation(request, violations);
  check_id(request.note_id(), "note_id", violations);
  check_note(request.body(), request.visibility(), "", violations);
  return violations.status();
}

absl::Status validate(const pb::DeleteNoteRequest& request) {
  errors::Violations violations;
  check_mutation(request, violations);
  check_id(request.note_id(), "note_id", violations);
  return violations.status();
}

Result add_note(const pb::AddNoteRequest& request, const Uuid& note_id, const Target& target,
                const Context& context) {
  pb::Note note;
  note.set_note_id(note_id.to_string());
  note.set_author(*context.actor);
  note.set_body(request.body());
  note.set_visibility(request.visibility() == pb::NOTE_VISIBILITY_UNSPECIFIED
                          ? pb::NOTE_VISIBILITY_INTERNAL
                          : request.visibility());
  *note.mutable_create_time() = to_timestamp(context.now);
  *note.mutable_update_time() = note.create_time();

  Change change;
  auto& order = change.after.emplace(*target.order);
  order.set_note_count(order.note_count() + 1);
  change.outcome.set_note_id(note.note_id());
  *change.events.emplace_back().mutable_note_added()->mutable_note() = note;
  change.notes_created.push_back(std::move(note));
  return change;
}

Result update_note(const pb::UpdateNoteRequest& request, const Target& target,
                   const Context& context) {
  if (!target.note) return errors::note_not_found(target.order->order_id(), request.note_id());
  const pb::Note& before = *target.note;
  const auto visibility = request.visibility() == pb::NOTE_VISIBILITY_UNSPECIFIED
                              ? before.visibility()
                              : request.visibility();
  Change change;
  change.outcome.set_note_id(before.note_id());
  if (request.body() == before.body() && visibility == before.visibility()) return change;

  pb::Note note = before;
  note.set_body(request.body());
  note.set_visibility(visibility);
  *note.mutable_update_time() = to_timestamp(context.now);
  change.after = *target.order;
  auto& event = *change.events.emplace_back().mutable_note_updated();
  *event.mutable_before() = before;
  *event.mutable_after() = note;
  change.note_updated = std::move(note);
  return change;
}

Result delete_note(const pb::DeleteNoteRequest& request, const Target& target, const Context&) {
  if (!target.note) return errors::note_not_found(target.order->order_id(), request.note_id());
  Change change;
  auto& order = change.after.emplace(*target.order);
  order.set_note_count(order.note_count() - 1);
  change.note_deleted = target.note->note_id();
  *change.events.emplace_back().mutable_note_deleted()->mutable_note() = *target.note;
  return change;
}

}  // namespace orderd::rules
