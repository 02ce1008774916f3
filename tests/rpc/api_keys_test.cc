#include <set>
#include <thread>

#include "tests/rpc/access_fixture.h"

// API keys: made, listed, used, replaced, revoked.

namespace orderd::test {
namespace {

using grpc::StatusCode;

class ApiKeysTest : public AccessRpcTest {
 protected:
  Failure refusal_of_create(const std::string& token, const std::string& name, pb::Role role,
                            Micros expire_time = 0, const std::string& request_id = {}) {
    pb::CreateApiKeyRequest request;
    request.set_request_id(request_id);
    request.set_name(name);
    request.set_role(role);
    if (expire_time != 0) *request.mutable_expire_time() = rules::to_timestamp(expire_time);
    pb::CreateApiKeyResponse response;
    return failure_of(send_with(token, &Access::CreateApiKey, request, response));
  }

  std::vector<pb::ApiKey> listed(bool include_revoked = false, int page_size = 0) {
    std::vector<pb::ApiKey> keys;
    pb::ListApiKeysRequest request;
    request.set_include_revoked(include_revoked);
    request.set_page_size(page_size);
    do {
      pb::ListApiKeysResponse response;
      const grpc::Status status = send_with(admin_, &Access::ListApiKeys, request, response);
      EXPECT_TRUE(status.ok()) << status.error_message();
      for (const auto& key : response.keys()) keys.push_back(key);
      request.set_page_token(response.next_page_token());
    } while (!request.page_token().empty());
    return keys;
  }

  StatusCode code_of_get(const std::string& token) {
    grpc::Status status;
    get_with(token, kUnknownId, status);
    return status.error_code();
  }
};
ORDERD_ON_BOTH_DATABASES(ApiKeysTest);

TEST_P(ApiKeysTest, TheFirstOneClosesAnOpenServer) {
  EXPECT_EQ(code_of_get(""), StatusCode::NOT_FOUND);
  EXPECT_EQ(code_of_get("what is not asked for is not looked at"), StatusCode::NOT_FOUND);
  EXPECT_EQ(audited().back().identity, "local");
  for (const pb::Role role : {pb::ROLE_VIEWER, pb::ROLE_OPERATOR, pb::ROLE_FINANCE}) {
    const Failure failure = refusal_of_create("", "first", role);
    EXPECT_EQ(failure.code, StatusCode::FAILED_PRECONDITION);
    EXPECT_EQ(failure.reason, "FIRST_KEY_NOT_ADMIN");
  }
  const auto first = make_key("first", pb::ROLE_ADMIN);
  EXPECT_TRUE(first.changed());
  EXPECT_FALSE(first.replayed());
  EXPECT_EQ(first.key().created_by(), "local");
  EXPECT_TRUE(access::parse_key_token(first.token()));
  EXPECT_EQ(code_of_get(""), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(audited().back().why_not, "no credential");
  EXPECT_EQ(code_of_get(first.token()), StatusCode::NOT_FOUND);
  EXPECT_EQ(audited().back().identity, "first");

  // Nothing opens it again.
  EXPECT_TRUE(revoke(first.key().key_id()).changed());
  EXPECT_EQ(code_of_get(""), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code_of_get(first.token()), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(audited().back().why_not, "revoked key");
  stop();
  start();
  EXPECT_EQ(code_of_get(""), StatusCode::UNAUTHENTICATED);
}

TEST_P(ApiKeysTest, AServerThatHasNotReadTheKeysLetsNobodyIn) {
  access::Keyring keyring(true, wall_clock);
  EXPECT_FALSE(keyring.open());
  EXPECT_FALSE(keyring.identify(access::new_key_token().text()).caller);
  keyring.refresh(*storage_->begin_read(deadline()));
  EXPECT_TRUE(keyring.open());
}

TEST_P(ApiKeysTest, TheKeyFromAFileIsAnAdmin) {
  const std::string key = "0123456789abcdef0123456789abcdef";
  EXPECT_FALSE(parts_->keyring.identify(key).caller);
  make_key("first", pb::ROLE_ADMIN);
  parts_->keyring.set_admin_key(access::secret_hash(key));
  EXPECT_EQ(code_of_get(key), StatusCode::NOT_FOUND);
  EXPECT_EQ(audited().back().identity, "admin-key-file");
  EXPECT_EQ(code_of_get(key + "0"), StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code_of_get(""), StatusCode::UNAUTHENTICATED);
}

TEST_P(ApiKeysTest, AreCheckedWhenTheyAreMade) {
  make_key("boss", pb::ROLE_ADMIN);
  for (const std::string& name :
       {std::string(), std::string("a b"), std::string("cert:x"), std::string("-a"),
        std::string(65, 'a'), std::string("\xc3\xa4"), std::string("local"), std::string("orderd"),
        std::string("admin-key-file")}) {
    const Failure failure = refusal_of_create(admin_, name, pb::ROLE_VIEWER);
    EXPECT_EQ(failure.reason, "INVALID_REQUEST") << name;
    EXPECT_THAT(failure.fields, testing::ElementsAre("name"));
  }
  const Failure role = refusal_of_create(admin_, "x", pb::ROLE_UNSPECIFIED);
  EXPECT_THAT(role.fields, testing::ElementsAre("role"));
  const Failure past = refusal_of_create(admin_, "x", pb::ROLE_VIEWER, wall_clock() - 1);
  EXPECT_EQ(past.reason, "INVALID_REQUEST");
  EXPECT_THAT(past.fields, testing::ElementsAre("expire_time"));
  EXPECT_EQ(listed().size(), 1u);

  pb::RevokeApiKeyRequest unknown;
  unknown.set_key_id("0123456789abcdef");
  pb::RevokeApiKeyResponse response;
  const Failure failure = failure_of(send_with(admin_, &Access::RevokeApiKey, unknown, response));
  EXPECT_EQ(failure.code, StatusCode::NOT_FOUND);
  EXPECT_EQ(failure.reason, "API_KEY_NOT_FOUND");
  EXPECT_TRUE(failure.has_resource);
}

TEST_P(ApiKeysTest, AReplayAnswersWithoutTheToken) {
  make_key("boss", pb::ROLE_ADMIN);
  const std::string id = new_request_id();
  const auto made = make_key("clerk", pb::ROLE_OPERATOR, id);
  const auto again = make_key("clerk", pb::ROLE_OPERATOR, id);
  EXPECT_TRUE(again.replayed());
  EXPECT_EQ(again.token(), "");
  EXPECT_EQ(again.key().key_id(), made.key().key_id());
  EXPECT_EQ(refusal_of_create(admin_, "other", pb::ROLE_OPERATOR, 0, id).reason,
            "REQUEST_ID_REUSED");
  EXPECT_EQ(listed().size(), 2u);

  pb::RevokeApiKeyRequest request;
  request.set_request_id(new_request_id());
  request.set_key_id(made.key().key_id());
  for (const bool replayed : {false, true}) {
    pb::RevokeApiKeyResponse response;
    ASSERT_TRUE(send_with(admin_, &Access::RevokeApiKey, request, response).ok());
    EXPECT_TRUE(response.changed());
    EXPECT_EQ(response.replayed(), replayed);
    EXPECT_EQ(response.key().revoked_by(), "boss");
  }
  const auto no_change = revoke(made.key().key_id());
  EXPECT_FALSE(no_change.changed());
  EXPECT_TRUE(no_change.key().has_revoke_time());
}

TEST_P(ApiKeysTest, AreListedInPages) {
  std::vector<std::string> expected{make_key("boss", pb::ROLE_ADMIN).key().key_id()};
  for (int i = 0; i < 4; ++i) {
    expected.push_back(make_key("clerk" + std::to_string(i), pb::ROLE_VIEWER).key().key_id());
  }
  revoke(expected[2]);
  const auto ids = [](const std::vector<pb::ApiKey>& keys) {
    std::vector<std::string> all;
    for (const auto& key : keys) all.push_back(key.key_id());
    return all;
  };
  EXPECT_EQ(ids(listed(true)), expected);
  EXPECT_EQ(ids(listed(true, 2)), expected);
  EXPECT_EQ(ids(listed(true, 1)), expected);
  const std::string gone = expected[2];
  expected.erase(expected.begin() + 2);
  EXPECT_EQ(ids(listed(false, 1)), expected);
  EXPECT_EQ(ids(listed(false)), expected);

  pb::ListApiKeysRequest request;
  request.set_page_size(1);
  pb::ListApiKeysResponse page;
  ASSERT_TRUE(send_with(admin_, &Access::ListApiKeys, request, page).ok());
  request.set_page_token(page.next_page_token());
  request.set_include_revoked(true);
  EXPECT_EQ(failure_of(send_with(admin_, &Access::ListApiKeys, request, page)).reason,
            "PAGE_TOKEN_INVALID");
}

TEST_P(ApiKeysTest, AreReplacedWithoutARetryBeingMissed) {
  make_key("boss", pb::ROLE_ADMIN);
  const auto old_key = make_key("shop", pb::ROLE_OPERATOR);
  pb::CreateOrderRequest request;
  request.set_request_id(new_request_id());
  *request.mutable_order() = new_order();
  const auto create_with = [&](const std::string& token, pb::CreateOrderResponse& response) {
    grpc::ClientContext context;
    prepare(context, token);
    return orders_->CreateOrder(&context, request, &response);
  };
  pb::CreateOrderResponse first;
  ASSERT_TRUE(create_with(old_key.token(), first).ok());
  const auto new_key = make_key("shop", pb::ROLE_OPERATOR);
  EXPECT_NE(new_key.key().key_id(), old_key.key().key_id());
  revoke(old_key.key().key_id());
  pb::CreateOrderResponse again;
  ASSERT_TRUE(create_with(new_key.token(), again).ok());
  EXPECT_TRUE(again.replayed());
  EXPECT_EQ(again.order().order_id(), first.order().order_id());
  // Another identity's request is another one.
  pb::CreateOrderResponse other;
  ASSERT_TRUE(create_with(admin_, other).ok());
  EXPECT_FALSE(other.replayed());
}

TEST_P(ApiKeysTest, RevocationEndsStreamsAndReachesOtherServers) {
  make_key("boss", pb::ROLE_ADMIN);
  const auto key = make_key("watcher", pb::ROLE_VIEWER);
  access::Keyring other_server(true, wall_clock);
  other_server.refresh(*storage_->begin_read(deadline()));
  EXPECT_TRUE(other_server.identify(key.token()).caller);

  grpc::ClientContext context;
  prepare(context, key.token());
  const auto stream = orders_->WatchOrders(&context, {});
  pb::WatchOrdersResponse message;
  ASSERT_TRUE(stream->Read(&message));
  revoke(key.key().key_id());
  while (stream->Read(&message)) {
  }
  const Failure end = failure_of(stream->Finish());
  EXPECT_EQ(end.code, StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(end.reason, "UNAUTHENTICATED");

  EXPECT_TRUE(other_server.identify(key.token()).caller);
  other_server.refresh(*storage_->begin_read(deadline()));
  EXPECT_FALSE(other_server.identify(key.token()).caller);
  EXPECT_EQ(other_server.identify(key.token()).why_not, "revoked key");
}

TEST_P(ApiKeysTest, AnImportEndsWithItsKey) {
  make_key("boss", pb::ROLE_ADMIN);
  const auto key = make_key("importer", pb::ROLE_ADMIN);
  grpc::ClientContext context;
  prepare(context, key.token());
  const auto stream = orders_->ImportOrders(&context);
  pb::ImportOrdersResponse response;
  ASSERT_TRUE(stream->Write(new_import("I-0")));
  ASSERT_TRUE(stream->Read(&response));
  EXPECT_EQ(response.result(), pb::IMPORT_RESULT_CREATED);
  revoke(key.key().key_id());
  for (int i = 1; stream->Write(new_import("I-" + std::to_string(i))); ++i) {
    if (!stream->Read(&response)) break;
  }
  EXPECT_EQ(failure_of(stream->Finish()).code, StatusCode::UNAUTHENTICATED);
}

TEST_P(ApiKeysTest, TheirLastUseIsWrittenInOneGo) {
  make_key("boss", pb::ROLE_ADMIN);
  const auto key = make_key("clerk", pb::ROLE_VIEWER);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(code_of_get(key.token()), StatusCode::NOT_FOUND);
  EXPECT_FALSE(listed()[1].has_last_use_time());
  auto uses = parts_->keyring.take_uses();
  EXPECT_EQ(uses.size(), 2u);  // the admin's, too
  storage_->record_api_key_uses(uses);
  const auto keys = listed();
  ASSERT_TRUE(keys[1].has_last_use_time());
  EXPECT_GE(rules::to_micros(keys[1].last_use_time()), rules::to_micros(keys[1].create_time()));
  for (auto& use : uses) use.time = 1;
  storage_->record_api_key_uses(uses);
  EXPECT_EQ(listed()[1].last_use_time().seconds(), keys[1].last_use_time().seconds());
}

TEST_P(ApiKeysTest, TheFirstOfTwoServersIsTheFirst) {
  // Both are open; only one of two keys can be the first.
  access::Keyring other_ring(true, wall_clock);
  other_ring.refresh(*storage_->begin_read(deadline()));
  access::KeyEditor other(*storage_, other_ring, wall_clock);
  make_key("boss", pb::ROLE_ADMIN);
  pb::CreateApiKeyRequest request;
  request.set_name("clerk");
  request.set_role(pb::ROLE_VIEWER);
  std::promise<absl::StatusOr<access::KeyAnswer>> answered;
  other.create(
      request,
      {.actor = "local", .request_id = {}, .request = {}, .body_hash = {}, .abandoned = {}},
      [&](absl::StatusOr<access::KeyAnswer> answer) { answered.set_value(answer); });
  EXPECT_TRUE(answered.get_future().get().ok());
  EXPECT_FALSE(other_ring.open());
}

TEST_P(ApiKeysTest, EveryDecisionIsAudited) {
  make_key("boss", pb::ROLE_ADMIN);
  const auto key = make_key("reader", pb::ROLE_VIEWER);
  const std::size_t before = audited().size();
  EXPECT_EQ(code_of_get(key.token()), StatusCode::NOT_FOUND);
  EXPECT_EQ(code_of_get("x"), StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(is_denied(call_raw(channel_, "/orders.v1.OrderService/AddNote", "", key.token())));
  EXPECT_TRUE(call_raw(channel_, "/orders.v1.OrderService/WatchOrders", "", key.token()).ok());
  wait_for_report("WatchOrders", absl::StatusCode::kCancelled);
  const auto all = audited();
  ASSERT_EQ(all.size(), before + 5);
  const auto is = [&](std::size_t i, bool allowed, bool ended, const std::string& identity,
                      const std::string& method) {
    const Audited& one = all[before + i];
    EXPECT_EQ(one.allowed, allowed) << i;
    EXPECT_EQ(one.ended, ended) << i;
    EXPECT_EQ(one.identity, identity) << i;
    EXPECT_EQ(one.method, method) << i;
  };
  is(0, true, true, "reader", "GetOrder");
  EXPECT_EQ(all[before].order_id, kUnknownId);
  is(1, false, true, "", "GetOrder");
  EXPECT_EQ(all[before + 1].why_not, "malformed key");
  is(2, false, true, "reader", "AddNote");
  is(3, true, false, "reader", "WatchOrders");
  is(4, true, true, "reader", "WatchOrders");
}

}  // namespace
}  // namespace orderd::test
