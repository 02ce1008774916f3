#include "server/notify/dispatcher.h"

#include <spdlog/spdlog.h>

#include <exception>
#include <future>
#include <memory>
#include <utility>

#include "server/failpoint.h"
#include "server/orders/emails.h"
#include "server/orders/errors.h"
#include "server/orders/fields.h"
#include "storage/wall_clock.h"

namespace orderd::notify {
namespace {

using rules::SendResult;

/// Writes what came of a try. False if that could not be done.
bool record(engine::Engine& engine, const storage::EmailRow& row, const SendResult& result) {
  engine::Command command;
  command.actor = "orderd";
  command.order_id = row.order_id;
  command.order_id_text = row.order_id.to_string();
  command.email_id = Uuid::parse(row.email.email_id());
  command.rule = [result, recipient = row.email.recipient()](
                     const rules::Target& target, const rules::Context& context) -> rules::Result {
    // RetryEmail gave it another address meanwhile: to that one nothing has been sent.
    if (target.email && target.email->recipient() != recipient) return rules::Change{};
    return rules::record_send(result, target, context);
  };
  // Shared: it must outlast `set_value`, which may still run when the future is ready.
  const auto promise = std::make_shared<std::promise<absl::StatusOr<engine::Answer>>>();
  auto future = promise->get_future();
  command.done = [promise](absl::StatusOr<engine::Answer> answer) {
    promise->set_value(std::move(answer));
  };
  engine.submit(std::move(command));
  const auto answer = future.get();
  if (!answer.ok()) {
    spdlog::warn("what came of e-mail {} of order {} could not be recorded: {}",
                 row.email.email_id(), row.order_id.to_string(), errors::reason(answer.status()));
    return false;
  }
  if (answer->email && answer->email->status() == pb::EMAIL_STATUS_DEAD) {
    spdlog::warn("e-mail {} of order {} is given up: {} {}", row.email.email_id(),
                 row.order_id.to_string(), result.error, result.code);
  } else if (!result.sent) {
    spdlog::info("e-mail {} of order {} was not sent yet: {} {}", row.email.email_id(),
                 row.order_id.to_string(), result.error, result.code);
  }
  return true;
}

}  // namespace

Dispatcher::Dispatcher(storage::Storage& storage, engine::Engine& engine,
                       const Templates& templates, const Smtp& smtp, std::string from,
                       const Options& options)
    : storage_(storage),
      engine_(engine),
      templates_(templates),
      smtp_(smtp),
      from_(std::move(from)),
      options_(options) {}

int Dispatcher::pass(const std::atomic<bool>& stopping) {
  if (stopping) return 0;
  std::vector<storage::EmailRow> rows;
  const auto started = std::chrono::steady_clock::now();
  try {
    const Micros now = wall_clock();
    rows = storage_.claim_due_emails(now, now + options_.claim.count(), options_.batch);
  } catch (const storage::Error& error) {
    spdlog::warn("e-mails to send could not be claimed: {}", error.what());
    return 0;
  }
  for (const storage::EmailRow& row : rows) {
    // What is left when the claim might end is due again then, for any server.
    if (stopping || std::chrono::steady_clock::now() - started > options_.claim / 2) break;
    pb::Order order;
    if (row.email.kind() != pb::EMAIL_KIND_ORDER_CANCELED || !order.ParseFromString(row.snapshot)) {
      spdlog::error("e-mail {} of order {} is of a kind that this server can't write",
                    row.email.email_id(), row.order_id.to_string());
      continue;
    }
    std::string message;
    try {
      message =
          make_message(row.email, order.customer().name(), templates_.render(row.email, order),
                       from_, rules::to_micros(row.email.create_time()));
    } catch (const std::exception&) {
      // One that can't be written must not end the server, or keep the others back.
      spdlog::error("e-mail {} of order {} can't be written", row.email.email_id(),
                    row.order_id.to_string());
      continue;
    }
    failpoint("email_before_send");
    const SendResult result = smtp_.send(row.email.recipient(), message);
    failpoint("email_after_send");
    // While results can't be recorded, sending more would only send more twice.
    if (!record(engine_, row, result)) break;
  }
  return static_cast<int>(rows.size());
}

}  // namespace orderd::notify
