#include "server/rpc/permissions.h"

#include <google/protobuf/descriptor.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "server/access/roles.h"
#include "tests/rpc/access_fixture.h"

// The table of roles and calls, whole, over real connections.

namespace orderd::test {
namespace {

using google::protobuf::ServiceDescriptor;

/// Of all files of the contract.
std::vector<const ServiceDescriptor*> services() {
  const std::filesystem::path root = ORDERD_SOURCE_DIR "/proto";
  std::vector<const ServiceDescriptor*> all;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root / "orders")) {
    if (entry.path().extension() != ".proto") continue;
    const std::string name = std::filesystem::relative(entry.path(), root).string();
    const auto* file = google::protobuf::DescriptorPool::generated_pool()->FindFileByName(name);
    EXPECT_NE(file, nullptr) << name;
    for (int i = 0; file != nullptr && i < file->service_count(); ++i) {
      all.push_back(file->service(i));
    }
  }
  return all;
}

TEST(Permissions, EveryCallHasOneEntryAndEveryEntryACall) {
  std::set<std::pair<std::string, std::string>> calls;
  std::set<std::string> names;
  for (const ServiceDescriptor* service : services()) {
    for (int i = 0; i < service->method_count(); ++i) {
      const std::string& name = service->method(i)->name();
      calls.emplace(service->full_name(), name);
      EXPECT_TRUE(names.insert(name).second) << name << " is in two services";
    }
  }
  for (const rpc::Permission& permission : rpc::permissions()) {
    const std::pair key(std::string(permission.service), std::string(permission.method));
    EXPECT_EQ(calls.erase(key), 1u) << key.second << " has two entries, or there is no such call";
    EXPECT_NE(permission.role, pb::ROLE_UNSPECIFIED) << key.second;
    EXPECT_EQ(rpc::required_role(permission.method), permission.role);
  }
  for (const auto& [service, method] : calls) ADD_FAILURE() << method << " has no entry";
  EXPECT_GT(rpc::permissions().size(), 50u);
  EXPECT_EQ(rpc::required_role("NoSuchMethod"), pb::ROLE_UNSPECIFIED);
}

/// The table in docs/security.md says the same.
TEST(Permissions, AreDocumented) {
  std::map<std::string, std::set<std::string>> documented;
  std::ifstream in(ORDERD_SOURCE_DIR "/docs/security.md");
  const std::regex row("\\| (viewer|operator|finance|admin) \\|(.*)");
  const std::regex call("`([A-Za-z]+)`");
  std::smatch match;
  for (std::string line; std::getline(in, line);) {
    if (!std::regex_match(line, match, row)) continue;
    auto& calls = documented[match[1]];
    const std::string text = match[2];
    for (std::sregex_iterator it(text.begin(), text.end(), call), end; it != end; ++it) {
      EXPECT_TRUE(calls.insert((*it)[1]).second) << (*it)[1];
    }
  }
  std::map<std::string, std::set<std::string>> actual;
  for (const rpc::Permission& permission : rpc::permissions()) {
    actual[std::string(access::role_name(permission.role))].emplace(permission.method);
  }
  EXPECT_EQ(documented, actual);
}

std::string path_of(const rpc::Permission& permission) {
  std::string path("/");
  return path.append(permission.service).append("/").append(permission.method);
}

class PermissionsTest : public AccessRpcTest {
 protected:
  void expect_denied(const grpc::Status& status, grpc::StatusCode code, const std::string& role) {
    const Failure failure = failure_of(status);
    EXPECT_EQ(failure.code, code) << failure.message;
    EXPECT_EQ(failure.reason,
              code == grpc::StatusCode::UNAUTHENTICATED ? "UNAUTHENTICATED" : "PERMISSION_DENIED");
    if (!role.empty()) {
      EXPECT_EQ(failure.metadata.at("required_role"), role);
    }
  }
};
INSTANTIATE_TEST_SUITE_P(, PermissionsTest, testing::Values(Backend::kSqlite), backend_name);

TEST_P(PermissionsTest, OfEveryCallByKey) {
  std::map<pb::Role, std::string> tokens;
  tokens[pb::ROLE_ADMIN] = make_key("the.admin", pb::ROLE_ADMIN).token();
  for (const pb::Role role : kRoles) {
    if (role != pb::ROLE_ADMIN) {
      tokens[role] = make_key(std::string(access::role_name(role)), role).token();
    }
  }
  const auto gone = make_key("gone", pb::ROLE_ADMIN);
  revoke(gone.key().key_id());
  const std::string& good = tokens[pb::ROLE_ADMIN];
  std::string other_secret = good;
  other_secret.back() = other_secret.back() == 'A' ? 'B' : 'A';
  const std::pair<const char*, std::string> bad[] = {
      {"none", ""},
      {"revoked", gone.token()},
      {"expired", expired_key(pb::ROLE_ADMIN)},
      {"unknown", access::new_key_token().text()},
      {"another secret", other_secret},
      {"too short", good.substr(0, good.size() - 1)},
      {"no key at all", "secret"},
      {"two keys", good + " " + good},
  };
  std::string refusal;
  for (const rpc::Permission& permission : rpc::permissions()) {
    const std::string path = path_of(permission);
    SCOPED_TRACE(path);
    for (const pb::Role role : kRoles) {
      const grpc::Status status = call_raw(channel_, path, "", tokens[role]);
      if (role >= permission.role) {
        EXPECT_FALSE(is_denied(status)) << access::role_name(role) << status.error_message();
        EXPECT_NE(status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
      } else {
        expect_denied(status, grpc::StatusCode::PERMISSION_DENIED,
                      std::string(access::role_name(permission.role)));
      }
    }
    for (const auto& [what, token] : bad) {
      SCOPED_TRACE(what);
      const grpc::Status status = call_raw(channel_, path, "", token);
      expect_denied(status, grpc::StatusCode::UNAUTHENTICATED, "");
      // They all look the same.
      if (refusal.empty()) refusal = status.error_message() + status.error_details();
      EXPECT_EQ(status.error_message() + status.error_details(), refusal);
    }
  }
}

TEST_P(PermissionsTest, AreAskedBeforeTheRequestIsRead) {
  make_key("boss", pb::ROLE_ADMIN);
  const std::string token = make_key("reader", pb::ROLE_VIEWER).token();
  const std::string path = "/orders.v1.OrderService/UpdateOrderStatus";
  const grpc::Status none = call_raw(channel_, path, "", token);
  EXPECT_EQ(none.error_code(), grpc::StatusCode::PERMISSION_DENIED);

  pb::CreateOrderRequest create;
  *create.mutable_order() = new_order();
  grpc::ClientContext context;
  prepare(context, admin_);
  pb::CreateOrderResponse created;
  ASSERT_TRUE(orders_->CreateOrder(&context, create, &created).ok());
  for (const std::string& id :
       {created.order().order_id(), std::string(kUnknownId), std::string("no id"), std::string()}) {
    pb::UpdateOrderStatusRequest request;
    request.set_order_id(id);
    request.set_state_id("processing");
    const grpc::Status status = call_raw(channel_, path, request.SerializeAsString(), token);
    EXPECT_EQ(status.error_code(), none.error_code());
    EXPECT_EQ(status.error_message(), none.error_message());
    EXPECT_EQ(status.error_details(), none.error_details());
  }
  const grpc::Status garbage = call_raw(channel_, path, "\xff\xff", token);
  EXPECT_EQ(garbage.error_details(), none.error_details());
}

TEST_P(PermissionsTest, OfFields) {
  make_key("boss", pb::ROLE_ADMIN);
  std::map<pb::Role, std::string> tokens;
  for (const pb::Role role : kRoles) {
    tokens[role] = make_key(std::string(access::role_name(role)), role).token();
  }
  // Of orders that there are not, so that only the permission differs.
  pb::UpdateOrderStatusRequest forced;
  forced.set_order_id(kUnknownId);
  forced.set_state_id("processing");
  forced.set_force(true);
  forced.set_reason("why not");
  pb::BatchUpdateOrderStatusRequest batch;
  batch.add_updates()->set_order_id(kUnknownId);
  batch.mutable_updates(0)->set_state_id("processing");
  auto* second = batch.add_updates();
  second->set_order_id("01890000-0000-7000-8000-000000000001");
  second->set_state_id("processing");
  second->set_force(true);
  second->set_reason("why not");
  pb::CreateOrderRequest paid;
  *paid.mutable_order() = new_order();
  *paid.mutable_order()->add_payments() = new_payment("unknown", "no-such-account");

  const auto expect = [&](const std::string& method, const google::protobuf::Message& request,
                          pb::Role needed) {
    for (const pb::Role role : kRoles) {
      SCOPED_TRACE(method + " " + std::string(access::role_name(role)));
      const grpc::Status status = call_raw(channel_, "/orders.v1.OrderService/" + method,
                                           request.SerializeAsString(), tokens[role]);
      EXPECT_EQ(is_denied(status), role < needed) << status.error_message();
      if (role == pb::ROLE_OPERATOR && role < needed) {
        expect_denied(status, grpc::StatusCode::PERMISSION_DENIED,
                      std::string(access::role_name(needed)));
      }
    }
  };
  expect("UpdateOrderStatus", forced, pb::ROLE_ADMIN);
  expect("BatchUpdateOrderStatus", batch, pb::ROLE_ADMIN);
  expect("CreateOrder", paid, pb::ROLE_FINANCE);
  // Even if nothing else of the request is valid.
  forced.clear_order_id();
  forced.clear_reason();
  expect("UpdateOrderStatus", forced, pb::ROLE_ADMIN);
  forced.set_force(false);
  expect("UpdateOrderStatus", forced, pb::ROLE_OPERATOR);
  second->set_force(false);
  expect("BatchUpdateOrderStatus", batch, pb::ROLE_OPERATOR);
  paid.mutable_order()->clear_payments();
  expect("CreateOrder", paid, pb::ROLE_OPERATOR);
}

}  // namespace
}  // namespace orderd::test
