#include <fmt/core.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/event_types.h"
#include "client/orderctl/lookup.h"
#include "client/orderctl/print_watch.h"
#include "client/orderctl/stop_on_signal.h"
#include "client/orderctl/token_file.h"

// watch

namespace orderd::cli {
namespace {

struct Flags {
  std::vector<std::string> states;
  std::vector<std::string> types;
  std::vector<std::string> orders;
  std::vector<std::string> labels;
  bool from_snapshot = false;
  std::string resume;
  std::string token_file;
  int heartbeat_seconds = 15;
  /// 0: for ever.
  std::uint64_t count = 0;
};

/// One run of the command.
class Watcher {
 public:
  Watcher(Session& session, const Flags& flags)
      : session_(session), flags_(flags), printer_(session.json) {
    if (!flags.token_file.empty()) file_.emplace(flags.token_file);
  }

  int run() {
    pb::WatchOrdersRequest request;
    if (const auto status = set_filter(*request.mutable_filter()); !status.ok()) {
      return fail(status);
    }
    token_ = file_ ? file_->read() : flags_.resume;
    request.set_resume_token(token_);
    request.set_from_snapshot(flags_.from_snapshot && token_.empty());
    request.mutable_heartbeat_interval()->set_seconds(flags_.heartbeat_seconds);

    const StopOnSignal signals;
    client::WatchOptions options;
    options.stop = signals.token();
    options.interrupted = [this](const client::WatchInterruption& interruption) {
      return go_on_after(interruption);
    };
    const absl::Status status = session_.client.watch_orders(
        std::move(request),
        [this](const pb::WatchOrdersResponse& message) { return deliver(message); }, options);
    const int code = status.ok() ? static_cast<int>(kOk) : fail(status);
    // One that the server does not take is of no use.
    const bool refused = code == kInvalid;
    if ((!status.ok() || options.stop.stop_requested()) && !refused && !file_ && !token_.empty()) {
      fmt::print(stderr, "go on with: orderctl watch --resume {}\n", token_);
    }
    return code;
  }

 private:
  absl::Status set_filter(pb::WatchFilter& filter) {
    filter.mutable_state_ids()->Add(flags_.states.begin(), flags_.states.end());
    for (const auto& name : flags_.types) filter.add_event_types(event_type(name));
    for (const auto& label : flags_.labels) {
      const auto [key, value] = key_value(label, "--label");
      (*filter.mutable_labels())[key] = value;
    }
    for (const auto& order : flags_.orders) {
      const auto id = order_id_of(session_.client, order);
      if (!id.ok()) return id.status();
      filter.add_order_ids(*id);
      if (*id != order) printer_.remember(*id, order);
    }
    return absl::OkStatus();
  }

  bool deliver(const pb::WatchOrdersResponse& message) {
    if (!began_) fmt::print(stderr, "watching; Ctrl-C ends it\n");
    if (lost_) fmt::print(stderr, "resumed\n");
    began_ = true;
    lost_ = false;
    printer_.print(message);
    token_ = message.resume_token();
    if (file_) file_->write(token_);
    delivered_ += static_cast<std::uint64_t>(message.changes_size());
    // Never in the middle of a message, which has one token.
    return flags_.count == 0 || delivered_ < flags_.count;
  }

  /// A person wants to hear soon that nobody is there; but a watch that has begun survives
  /// everything.
  bool go_on_after(const client::WatchInterruption& interruption) {
    if (!began_) return !interruption.exhausted;
    if (!std::exchange(lost_, true)) {
      fmt::print(stderr, "connection lost, trying again: {}\n", one_line(interruption.why));
    }
    return true;
  }

  Session& session_;
  const Flags& flags_;
  WatchPrinter printer_;
  std::optional<TokenFile> file_;
  /// Of the last message that was printed.
  std::string token_;
  std::uint64_t delivered_ = 0;
  bool began_ = false;
  bool lost_ = false;
};

}  // namespace

void add_watch_command(CLI::App& app, Action& action) {
  auto* command = app.add_subcommand("watch", "See changes of orders as they happen");
  auto flags = std::make_shared<Flags>();
  command
      ->add_option("--state", flags->states,
                   "Only orders that are or were in this state; may be repeated")
      ->allow_extra_args(false);
  add_event_type_option(*command, flags->types);
  command
      ->add_option("--order", flags->orders,
                   "Only this order, by its id or number; may be repeated")
      ->allow_extra_args(false)
      ->check(kGiven);
  command
      ->add_option("--label", flags->labels,
                   "KEY=VALUE: only orders with this label; may be repeated, then with all of them")
      ->allow_extra_args(false);
  auto* snapshot = command->add_flag("--from-snapshot", flags->from_snapshot,
                                     "First the orders as they are, then the changes");
  auto* resume = command->add_option("--resume", flags->resume,
                                     "Go on where a watch ended that had this token");
  resume->excludes(snapshot)->check(kGiven);
  command
      ->add_option("--token-file", flags->token_file,
                   "Go on with the token in this file, if there is one, and keep it up to date: "
                   "nothing is missed over restarts")
      ->excludes(resume)
      ->check(kGiven);
  command
      ->add_option("--heartbeat", flags->heartbeat_seconds,
                   "Seconds between signs of life from the server; after three without any, it "
                   "connects anew")
      ->check(CLI::Range(1, 600))
      ->capture_default_str();
  command
      ->add_option(
          "--count", flags->count,
          "End after so many changes; those that came together with the last are shown too")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000'000}));
  command->footer(
      "A watch goes on by itself when the connection is lost or the server starts again; nothing "
      "is\n"
      "missed and nothing comes twice. With --json each line is {\"kind\": \"change\", \"change\": "
      "…}\n"
      "or {\"kind\": \"order\", \"order\": …} (of a snapshot, whose end is a line of kind\n"
      "snapshot_complete); the last line of a message has the resume_token to go on with. Tokens "
      "are\n"
      "good for about a week. With --token-file, --from-snapshot applies only while there is no "
      "file.\n"
      "Examples:\n"
      "  orderctl watch --state processing\n"
      "  orderctl watch --type state_changed --label channel=web\n"
      "  orderctl watch --order 1001 --type payment_changed --count 1\n"
      "  orderctl watch --from-snapshot --token-file feed.token --json | ./process-orders");
  command->callback([flags, &action] {
    action = [flags](Session& session) { return Watcher(session, *flags).run(); };
  });
}

}  // namespace orderd::cli
