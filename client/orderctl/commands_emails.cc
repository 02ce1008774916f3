#include <fmt/core.h>

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/print_emails.h"
#include "client/orderctl/text.h"

// emails list, retry

namespace orderd::cli {
namespace {

constexpr int kPageSize = 500;

const std::map<std::string, pb::EmailStatus> kStatuses = {
    {"pending", pb::EMAIL_STATUS_PENDING},
    {"sent", pb::EMAIL_STATUS_SENT},
    {"dead", pb::EMAIL_STATUS_DEAD},
    {"withdrawn", pb::EMAIL_STATUS_WITHDRAWN}};

struct ListFlags {
  std::string order;
  std::string status;
};

struct RetryFlags {
  std::string email;
  std::string order;
  std::string to;
  std::string etag;
};

int list(Session& session, const ListFlags& flags) {
  pb::ListEmailsRequest request;
  if (!flags.order.empty()) {
    const auto id = order_id_of(session.client, flags.order);
    if (!id.ok()) return fail(id.status());
    request.set_order_id(*id);
  }
  if (!flags.status.empty()) request.set_status(kStatuses.at(flags.status));
  request.set_page_size(kPageSize);
  Table table({"CREATED", "WHAT", "STATUS", "TO", ">TRIES", "LAST FAILURE", "NEXT TRY", "SENT",
               "ORDER", "EMAIL"});
  absl::Status failure;
  bool any = false;
  for (const auto& email : session.client.list_emails(std::move(request))) {
    if (!email.ok()) {
      failure = email.status();
      break;
    }
    any = true;
    if (session.json) {
      print_json(*email);
      continue;
    }
    table.add({format_time(email->create_time()), email_kind_text(email->kind()),
               email_status_text(email->status()), or_dash(email->recipient()),
               std::to_string(email->tries()), last_failure(*email),
               format_time(email->next_time()), format_time(email->send_time()), email->order_id(),
               email->email_id()});
  }
  if (!session.json && any) table.print();
  if (!failure.ok()) return fail(failure);
  if (!any) fmt::print(stderr, "there are no such e-mails\n");
  return kOk;
}

int retry(Session& session, const RetryFlags& flags) {
  const auto id = order_id_of(session.client, flags.order);
  if (!id.ok()) return fail(id.status());
  pb::RetryEmailRequest request;
  request.set_request_id(session.request_id);
  request.set_order_id(*id);
  request.set_etag(flags.etag);
  request.set_email_id(flags.email);
  request.set_recipient(flags.to);
  const auto response = session.client.retry_email(std::move(request));
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    print_json(*response);
    return kOk;
  }
  const pb::Email& email = response->email();
  fmt::print("{}e-mail {} to {} is {}{}\n",
             response->replayed()  ? "done before: "
             : response->changed() ? ""
                                   : "no change: ",
             printable(email.email_id()), printable(or_dash(email.recipient())),
             email_status_text(email.status()),
             email.status() == pb::EMAIL_STATUS_PENDING
                 ? ", next try at " + format_time(email.next_time())
                 : "");
  return kOk;
}

}  // namespace

void add_emails_commands(CLI::App& app, Action& action) {
  auto* group = app.add_subcommand("emails", "List e-mails to customers, and send them again");
  group->require_subcommand(1);
  {
    auto* command = group->add_subcommand("list", "List e-mails, the oldest first");
    auto flags = std::make_shared<ListFlags>();
    command->add_option("--order", flags->order, "Only those of this order, by its id or number")
        ->check(kGiven);
    std::vector<std::string> names;
    for (const auto& [name, status] : kStatuses) names.push_back(name);
    command->add_option("--status", flags->status, "Only those in this status")
        ->check(CLI::IsMember(names));
    command->footer(
        "Pending e-mails are tried again by themselves. Dead ones were refused for good, or tried\n"
        "for too long; `orderctl emails retry` tries them again.\n"
        "Examples:\n"
        "  orderctl emails list --order 1001\n"
        "  orderctl emails list --status dead");
    command->callback(
        [flags, &action] { action = [flags](Session& session) { return list(session, *flags); }; });
  }
  {
    auto* command =
        group->add_subcommand("retry", "Send a dead e-mail again, or try a pending one at once");
    auto flags = std::make_shared<RetryFlags>();
    command->add_option("EMAIL", flags->email, "The e-mail's id")->required();
    command->add_option("--order", flags->order, "Its order, by its id or number")
        ->required()
        ->check(kGiven);
    command->add_option("--to", flags->to, "The address to send it to from now on")->check(kGiven);
    command->add_option("--etag", flags->etag, "Refuse if the order has another etag by now");
    command->footer(
        "Example:\n"
        "  orderctl emails retry EMAIL --order 1001 --to zoe@example.com");
    command->callback([flags, &action] {
      action = [flags](Session& session) { return retry(session, *flags); };
    });
  }
}

}  // namespace orderd::cli
