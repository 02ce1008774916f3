#include <fmt/core.h>

#include <memory>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/print_order.h"

namespace orderd::cli {
namespace {

struct Flags {
  std::string order;
  std::string note_id;
  std::string text;
  bool customer = false;
  bool internal = false;
  std::string etag;
};

pb::NoteVisibility visibility(const Flags& flags) {
  if (flags.customer) return pb::NOTE_VISIBILITY_CUSTOMER;
  if (flags.internal) return pb::NOTE_VISIBILITY_INTERNAL;
  return pb::NOTE_VISIBILITY_UNSPECIFIED;
}

std::string body(const Flags& flags) { return flags.text == "-" ? read_text("-") : flags.text; }

template <class Response>
int print_note_change(const Session& session, const Response& response,
                      const std::string& note_id) {
  if (session.json) {
    print_json(response);
  } else {
    fmt::print("note {}\n", printable(note_id));
    print_changed(response.order(), response.changed(), response.replayed());
  }
  return kOk;
}

int add(Session& session, const Flags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::AddNoteRequest request;
  request.set_request_id(session.request_id);
  request.set_order_id(*id);
  request.set_etag(flags.etag);
  request.set_body(body(flags));
  request.set_visibility(visibility(flags));
  const auto response = session.client.add_note(std::move(request));
  if (!response.ok()) return fail(response.status());
  return print_note_change(session, *response, response->note().note_id());
}

int edit(Session& session, const Flags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::UpdateNoteRequest request;
  request.set_request_id(session.request_id);
  request.set_order_id(*id);
  request.set_note_id(flags.note_id);
  request.set_etag(flags.etag);
  request.set_body(body(flags));
  request.set_visibility(visibility(flags));
  const auto response = session.client.update_note(std::move(request));
  if (!response.ok()) return fail(response.status());
  return print_note_change(session, *response, flags.note_id);
}

int remove(Session& session, const Flags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::DeleteNoteRequest request;
  request.set_request_id(session.request_id);
  request.set_order_id(*id);
  request.set_note_id(flags.note_id);
  request.set_etag(flags.etag);
  const auto response = session.client.delete_note(std::move(request));
  if (!response.ok()) return fail(response.status());
  return print_note_change(session, *response, flags.note_id);
}

int list(Session& session, const Flags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::ListNotesRequest request;
  request.set_order_id(*id);
  request.set_page_size(500);
  Table table({"NOTE", "CREATED", "UPDATED", "AUTHOR", "FOR", "TEXT"});
  for (const auto& note : session.client.list_notes(std::move(request))) {
    if (!note.ok()) return fail(note.status());
    if (session.json) {
      print_json(*note);
      continue;
    }
    table.add({note->note_id(), format_time(note->create_time()), format_time(note->update_time()),
               note->author(),
               note->visibility() == pb::NOTE_VISIBILITY_CUSTOMER ? "customer" : "internal",
               note->body()});
  }
  if (!session.json) table.print();
  return kOk;
}

}  // namespace

void add_note_commands(CLI::App& app, Action& action) {
  auto* group = app.add_subcommand("note", "Add, edit, delete and list the notes of an order");
  group->require_subcommand(1);

  const auto subcommand = [&](const std::string& name, const std::string& description,
                              int (*run)(Session&, const Flags&), bool needs_note,
                              bool needs_text) {
    auto* command = group->add_subcommand(name, description);
    auto flags = std::make_shared<Flags>();
    command->add_option("ORDER", flags->order, "Id or order number")->required();
    if (needs_note) command->add_option("NOTE", flags->note_id, "The note's id")->required();
    if (needs_text) {
      command->add_option("TEXT", flags->text, "The note; - reads it from standard input")
          ->required();
      auto* customer =
          command->add_flag("--customer", flags->customer, "It may be shown to the customer");
      command->add_flag("--internal", flags->internal, "It may not (so it is by default)")
          ->excludes(customer);
    }
    if (name != "list") {
      command->add_option("--etag", flags->etag, "Refuse if the order has another etag by now");
    }
    command->callback([flags, run, &action] {
      action = [flags, run](Session& session) { return run(session, *flags); };
    });
    return command;
  };
  subcommand("add", "Add a note", add, false, true)
      ->footer("Example:\n  orderctl note add 1001 'Customer called: deliver in the evening'");
  subcommand("edit", "Replace the text of a note; its author stays", edit, true, true)
      ->footer("Example:\n  orderctl note edit 1001 NOTE 'Deliver on Friday' --customer");
  subcommand("delete", "Delete a note; it stays in the order's history", remove, true, false)
      ->footer("Example:\n  orderctl note delete 1001 NOTE");
  subcommand("list", "List the notes, the oldest first", list, false, false)
      ->footer("Example:\n  orderctl note list 1001");
}

}  // namespace orderd::cli
