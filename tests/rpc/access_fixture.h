#pragma once

#include <grpcpp/generic/generic_stub.h>

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "orders/v1/access_service.grpc.pb.h"
#include "server/access/key_token.h"
#include "server/orders/fields.h"
#include "server/rpc/authenticator.h"
#include "server/rpc/tls_credentials.h"
#include "tests/rpc/payments_fixture.h"
#include "tests/support/certificate_authority.h"

// What the tests of keys, roles and certificates share.

namespace orderd::test {

using Access = pb::AccessService::Stub;

inline constexpr pb::Role kRoles[] = {pb::ROLE_VIEWER, pb::ROLE_OPERATOR, pb::ROLE_FINANCE,
                                      pb::ROLE_ADMIN};

/// A server that asks for credentials. Over plaintext, unless `tls_files_` say otherwise.
class AccessRpcTest : public PaymentsRpcTest {
 protected:
  /// Thousands of calls are refused, and each is a warning.
  AccessRpcTest() { spdlog::set_level(spdlog::level::err); }
  ~AccessRpcTest() override { spdlog::set_level(spdlog::level::warn); }

  struct Audited {
    bool allowed = false;
    bool ended = false;
    std::string identity;
    std::string method;
    std::string why_not;
    std::string order_id;
  };

  rpc::Entrance entrance() override {
    refresh();
    rpc::Entrance entrance;
    if (!tls_files_.certificate.empty()) {
      tls_ = std::make_unique<access::TlsStore>(tls_files_);
      entrance.credentials = rpc::tls_credentials(*tls_);
    }
    if (!client_files_.ca.empty()) {
      certificates_ = std::make_unique<access::ClientCertificates>(client_files_);
    }
    entrance.authenticator =
        std::make_unique<rpc::AccessAuthenticator>(parts_->keyring, certificates_.get());
    entrance.audit = [this](const rpc::AuditRecord& record) {
      std::lock_guard lock(audit_mutex_);
      audit_.push_back({record.allowed, record.code.has_value(), record.caller.identity,
                        std::string(record.method), std::string(record.why_not),
                        std::string(record.order_id)});
    };
    return entrance;
  }

  /// What a server does twice a second.
  void refresh() { parts_->keyring.refresh(*storage_->begin_read(deadline())); }
  static storage::Clock::time_point deadline() {
    return storage::Clock::now() + std::chrono::seconds(30);
  }

  template <class Request, class Response>
  grpc::Status send_with(const std::string& token,
                         grpc::Status (Access::*method)(grpc::ClientContext*, const Request&,
                                                        Response*),
                         const Request& request, Response& response) {
    grpc::ClientContext context;
    prepare(context, token);
    return (pb::AccessService::NewStub(channel_).get()->*method)(&context, request, &response);
  }

  static void prepare(grpc::ClientContext& context, const std::string& token) {
    set_deadline(context);
    if (!token.empty()) context.AddMetadata("authorization", "Bearer " + token);
  }

  pb::CreateApiKeyResponse make_key(const std::string& name, pb::Role role,
                                    const std::string& request_id = {}) {
    pb::CreateApiKeyRequest request;
    request.set_request_id(request_id);
    request.set_name(name);
    request.set_role(role);
    pb::CreateApiKeyResponse response;
    const grpc::Status status = send_with(admin_, &Access::CreateApiKey, request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    if (admin_.empty()) admin_ = response.token();
    return response;
  }

  pb::RevokeApiKeyResponse revoke(const std::string& key_id) {
    pb::RevokeApiKeyRequest request;
    request.set_key_id(key_id);
    pb::RevokeApiKeyResponse response;
    const grpc::Status status = send_with(admin_, &Access::RevokeApiKey, request, response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return response;
  }

  /// A key that expired a second ago, written past the rule that it must not.
  std::string expired_key(pb::Role role) {
    const access::KeyToken token = access::new_key_token();
    storage::ApiKeyRow row;
    row.secret_hash = access::secret_hash(token.secret);
    row.key.set_key_id(token.key_id);
    row.key.set_name("late");
    row.key.set_role(role);
    *row.key.mutable_create_time() = rules::to_timestamp(1);
    *row.key.mutable_expire_time() = rules::to_timestamp(wall_clock() - 1'000'000);
    auto tx = storage_->begin_write(deadline());
    tx->lock_api_keys();
    tx->add_api_key(row);
    tx->commit();
    refresh();
    return token.text();
  }

  pb::GetOrderResponse get_with(const std::string& token, const std::string& order_id,
                                grpc::Status& status) {
    grpc::ClientContext context;
    prepare(context, token);
    pb::GetOrderRequest request;
    request.set_order_id(order_id);
    pb::GetOrderResponse response;
    status = orders_->GetOrder(&context, request, &response);
    return response;
  }

  /// The end of any call, known by its path only; OK as soon as it is answered.
  static grpc::Status call_raw(const std::shared_ptr<grpc::Channel>& channel,
                               const std::string& path, const std::string& bytes,
                               const std::string& token) {
    grpc::GenericStub stub(channel);
    grpc::ClientContext context;
    prepare(context, token);
    grpc::CompletionQueue queue;
    const auto call = stub.PrepareCall(&context, path, &queue);
    const auto wait = [&] {
      void* tag = nullptr;
      bool ok = false;
      return queue.Next(&tag, &ok) && ok;
    };
    bool answered = false;
    call->StartCall(nullptr);
    if (wait()) {
      const grpc::Slice slice(bytes);
      call->WriteLast(grpc::ByteBuffer(&slice, 1), grpc::WriteOptions(), nullptr);
      wait();
      grpc::ByteBuffer answer;
      call->Read(&answer, nullptr);
      answered = wait();
      if (answered) context.TryCancel();
    }
    grpc::Status status;
    call->Finish(&status, nullptr);
    wait();
    return answered ? grpc::Status::OK : status;
  }

  std::vector<Audited> audited() {
    std::lock_guard lock(audit_mutex_);
    return audit_;
  }

  /// The first admin's token; empty before there is one.
  std::string admin_;
  access::TlsFiles tls_files_;
  access::ClientCertificates::Files client_files_;
  std::unique_ptr<access::TlsStore> tls_;
  std::unique_ptr<access::ClientCertificates> certificates_;
  std::mutex audit_mutex_;  // guards what follows
  std::vector<Audited> audit_;
};

inline bool is_denied(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAUTHENTICATED ||
         status.error_code() == grpc::StatusCode::PERMISSION_DENIED;
}

}  // namespace orderd::test
