#include <fmt/core.h>
#include <google/protobuf/util/time_util.h>

#include <charconv>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/orderctl/cli.h"
#include "client/orderctl/errors.h"
#include "client/orderctl/json.h"
#include "client/orderctl/text.h"

// keys create, list, revoke

namespace orderd::cli {
namespace {

constexpr int kPageSize = 500;

const std::map<std::string, pb::Role> kRoles = {{"viewer", pb::ROLE_VIEWER},
                                                {"operator", pb::ROLE_OPERATOR},
                                                {"finance", pb::ROLE_FINANCE},
                                                {"admin", pb::ROLE_ADMIN}};

struct CreateFlags {
  std::string name;
  std::string role;
  std::string expires;
};

struct ListFlags {
  bool revoked = false;
};

struct RevokeFlags {
  std::string key_id;
};

std::string role_text(pb::Role role) {
  for (const auto& [name, value] : kRoles) {
    if (value == role) return name;
  }
  return "?";
}

/// "90d", "12h" from now, or a time.
google::protobuf::Timestamp parse_expiry(const std::string& text) {
  std::int64_t count = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, count);
  const bool is_span = error == std::errc() && rest + 1 == end && (*rest == 'd' || *rest == 'h');
  if (!is_span) return parse_time(text, "--expires");
  if (count < 1 || count > 36'500) {
    throw LocalError("--expires must be at least 1 and at most 36500 days or hours");
  }
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return google::protobuf::util::TimeUtil::SecondsToTimestamp(
      std::chrono::duration_cast<std::chrono::seconds>(now).count() +
      count * (*rest == 'd' ? 86'400 : 3'600));
}

std::string state_text(const pb::ApiKey& key) {
  if (key.has_revoke_time()) return "revoked " + format_time(key.revoke_time());
  const auto now = google::protobuf::util::TimeUtil::GetCurrentTime();
  if (!key.has_expire_time()) return "good";
  return (key.expire_time() <= now ? "expired " : "good until ") + format_time(key.expire_time());
}

int create(Session& session, const CreateFlags& flags) {
  pb::CreateApiKeyRequest request;
  request.set_request_id(session.request_id);
  request.set_name(flags.name);
  request.set_role(kRoles.at(flags.role));
  if (!flags.expires.empty()) *request.mutable_expire_time() = parse_expiry(flags.expires);
  const auto response = session.client.create_api_key(std::move(request));
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    print_json(*response);
  } else if (!response->token().empty()) {
    // Alone, so that it can be put into a file.
    fmt::print("{}\n", response->token());
  }
  const pb::ApiKey& key = response->key();
  if (response->token().empty()) {
    fmt::print(stderr,
               "key {} was made by an earlier try, and its token is lost\n"
               "hint: `orderctl keys revoke {}`, then make another one\n",
               printable(key.key_id()), printable(key.key_id()));
    return kConflict;
  }
  if (!session.json) {
    fmt::print(stderr, "key {} of {}, {}, {}. This is the only time that it is shown.\n",
               printable(key.key_id()), printable(key.name()), role_text(key.role()),
               state_text(key));
  }
  return kOk;
}

int list(Session& session, const ListFlags& flags) {
  pb::ListApiKeysRequest request;
  request.set_include_revoked(flags.revoked);
  request.set_page_size(kPageSize);
  Table table({"KEY", "NAME", "ROLE", "STATE", "CREATED", "BY", "LAST USED"});
  absl::Status failure;
  for (const auto& key : session.client.list_api_keys(std::move(request))) {
    if (!key.ok()) {
      failure = key.status();
      break;
    }
    if (session.json) {
      print_json(*key);
      continue;
    }
    table.add({key->key_id(), key->name(), role_text(key->role()), state_text(*key),
               format_time(key->create_time()), key->created_by(),
               format_time(key->last_use_time())});
  }
  if (!session.json && !table.empty()) table.print();
  if (!failure.ok()) return fail(failure);
  if (!session.json && table.empty()) fmt::print(stderr, "there are no keys\n");
  return kOk;
}

int revoke(Session& session, const RevokeFlags& flags) {
  pb::RevokeApiKeyRequest request;
  request.set_request_id(session.request_id);
  request.set_key_id(flags.key_id);
  const auto response = session.client.revoke_api_key(std::move(request));
  if (!response.ok()) return fail(response.status());
  if (session.json) {
    print_json(*response);
    return kOk;
  }
  const pb::ApiKey& key = response->key();
  fmt::print("{}key {} of {} is revoked\n",
             response->replayed()  ? "done before: "
             : response->changed() ? ""
                                   : "no change: ",
             printable(key.key_id()), printable(key.name()));
  return kOk;
}

}  // namespace

void add_keys_commands(CLI::App& app, Action& action) {
  auto* group = app.add_subcommand("keys", "Say who may call: make, list and revoke API keys");
  group->require_subcommand(1);
  {
    auto* command = group->add_subcommand("create", "Make a key, and print it");
    auto flags = std::make_shared<CreateFlags>();
    command->add_option("--name", flags->name, "Who calls with it; keys may share a name")
        ->required();
    std::vector<std::string> roles;
    for (const auto& [name, role] : kRoles) roles.push_back(name);
    command
        ->add_option("--role", flags->role,
                     "What they may do: viewer reads; operator also changes orders; finance also "
                     "moves money; admin everything")
        ->required()
        ->check(CLI::IsMember(roles));
    command->add_option("--expires", flags->expires, "90d, 12h, or a time; without it never");
    command->footer(
        "The first key must be one of an admin; from then on nobody calls without a key.\n"
        "Examples:\n"
        "  orderctl keys create --name ops --role admin > ops.key\n"
        "  orderctl keys create --name shop --role operator --expires 90d > shop.key");
    command->callback([flags, &action] {
      action = [flags](Session& session) { return create(session, *flags); };
    });
  }
  {
    auto* command = group->add_subcommand("list", "List the keys, the oldest first");
    auto flags = std::make_shared<ListFlags>();
    command->add_flag("--revoked", flags->revoked, "Revoked ones too");
    command->footer("Example:\n  orderctl keys list --revoked");
    command->callback(
        [flags, &action] { action = [flags](Session& session) { return list(session, *flags); }; });
  }
  {
    auto* command = group->add_subcommand("revoke", "Make a key worthless, for good");
    auto flags = std::make_shared<RevokeFlags>();
    command->add_option("KEY", flags->key_id, "The key's id: the part between the underscores")
        ->required();
    command->footer("Example:\n  orderctl keys revoke 0123456789abcdef");
    command->callback([flags, &action] {
      action = [flags](Session& session) { return revoke(session, *flags); };
    });
  }
}

}  // namespace orderd::cli
