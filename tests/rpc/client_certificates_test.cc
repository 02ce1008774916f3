#include <grpcpp/security/credentials.h>

#include <atomic>
#include <thread>

#include "server/access/roles.h"
#include "tests/rpc/access_fixture.h"

// Callers with certificates, and the server's own, over TLS.

namespace orderd::test {
namespace {

using Issued = CertificateAuthority::Issued;

constexpr const char* kRoleLines =
    "# who may do what\n"
    "cert:spiffe://example.org/reader viewer\n"
    "\n"
    "cert:clerk.example.org\toperator\n"
    "  cert:Finance Department   finance  \n"
    "cert:root@example.org admin";

class ClientCertificatesTest : public AccessRpcTest {
 protected:
  void SetUp() override {
    write_server_certificate();
    tls_files_ = {files_.path("server.pem"), files_.path("server.key"),
                  files_.write("ca.pem", ca_.certificate())};
    client_files_ = {tls_files_.client_ca, files_.write("roles", kRoleLines),
                     files_.write("crl.pem", ca_.revocation_list())};
    keys_may_be_missing_ = false;
    AccessRpcTest::SetUp();
  }

  void write_server_certificate() {
    const Issued server = ca_.issue({.alternative_names = "DNS:localhost"});
    files_.write("server.key", server.key);
    files_.write("server.pem", server.certificate);
  }

  /// Over a connection of its own.
  std::shared_ptr<grpc::Channel> connect(const Issued& client) {
    grpc::SslCredentialsOptions options;
    options.pem_root_certs = ca_.certificate();
    options.pem_private_key = client.key;
    options.pem_cert_chain = client.certificate;
    grpc::ChannelArguments arguments;
    arguments.SetSslTargetNameOverride("localhost");
    arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    return grpc::CreateCustomChannel("127.0.0.1:" + std::to_string(server_->port()),
                                     grpc::SslCredentials(options), arguments);
  }

  grpc::Status list(const std::shared_ptr<grpc::Channel>& channel, const std::string& token = {}) {
    return call_raw(channel, "/orders.v1.OrderService/ListOrders", "", token);
  }

  std::map<pb::Role, Issued> one_of_each_role() {
    return {
        {pb::ROLE_VIEWER,
         ca_.issue({.alternative_names = "DNS:ignored,URI:spiffe://example.org/reader"})},
        {pb::ROLE_OPERATOR,
         ca_.issue({.alternative_names = "DNS:clerk.example.org,DNS:root.example.org"})},
        {pb::ROLE_FINANCE, ca_.issue({.common_name = "Finance Department"})},
        {pb::ROLE_ADMIN, ca_.issue({.common_name = "root@example.org"})},
    };
  }

  CertificateAuthority ca_;
  TestDirectory files_;
};
INSTANTIATE_TEST_SUITE_P(, ClientCertificatesTest, testing::Values(Backend::kSqlite), backend_name);

TEST_P(ClientCertificatesTest, OfEveryRoleForEveryCall) {
  for (const auto& [role, issued] : one_of_each_role()) {
    const auto channel = connect(issued);
    for (const rpc::Permission& permission : rpc::permissions()) {
      std::string path("/");
      path.append(permission.service).append("/").append(permission.method);
      SCOPED_TRACE(path + " " + std::string(access::role_name(role)));
      const grpc::Status status = call_raw(channel, path, "", "");
      if (role >= permission.role) {
        EXPECT_FALSE(is_denied(status)) << status.error_message();
        EXPECT_NE(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
      } else {
        Failure failure = failure_of(status);
        EXPECT_EQ(failure.code, grpc::StatusCode::PERMISSION_DENIED);
        EXPECT_EQ(failure.metadata["required_role"], access::role_name(permission.role));
      }
    }
  }
}

TEST_P(ClientCertificatesTest, ThatAreNotGood) {
  CertificateAuthority stranger("a stranger's CA");
  // These do not even get a connection.
  for (const auto& [what, issued] : std::initializer_list<std::pair<const char*, Issued>>{
           {"expired",
            ca_.issue(
                {.common_name = "root@example.org", .begin_seconds = -60, .end_seconds = -1})},
           {"not valid yet", ca_.issue({.common_name = "root@example.org", .begin_seconds = 600})},
           {"self-signed", ca_.issue({.common_name = "root@example.org", .self_signed = true})},
           {"of another CA", stranger.issue({.common_name = "root@example.org"})}}) {
    SCOPED_TRACE(what);
    EXPECT_EQ(list(connect(issued)).error_code(), grpc::StatusCode::UNAVAILABLE);
  }

  const Failure none = failure_of(list(connect({})));
  EXPECT_EQ(none.code, grpc::StatusCode::UNAUTHENTICATED);
  Failure nobody = failure_of(list(connect(ca_.issue({.common_name = "nobody"}))));
  EXPECT_EQ(nobody.code, grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(nobody.metadata["required_role"], "viewer");
  EXPECT_EQ(audited().back().identity, "cert:nobody");
  const Failure nameless = failure_of(list(connect(ca_.issue({.common_name = "two\nlines"}))));
  EXPECT_EQ(nameless.code, grpc::StatusCode::UNAUTHENTICATED);

  // A key is as good as ever beside a certificate, and a bad one worse than none.
  const auto root = connect(ca_.issue({.common_name = "root@example.org"}));
  EXPECT_TRUE(list(root).ok());
  EXPECT_EQ(list(root, "no key").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext context;
  set_deadline(context);
  pb::CreateApiKeyRequest request;
  request.set_name("clerk");
  request.set_role(pb::ROLE_VIEWER);
  pb::CreateApiKeyResponse made;
  ASSERT_TRUE(pb::AccessService::NewStub(root)->CreateApiKey(&context, request, &made).ok());
  EXPECT_EQ(made.key().created_by(), "cert:root@example.org");
  EXPECT_TRUE(list(connect({}), made.token()).ok());
}

TEST_P(ClientCertificatesTest, AreRevokedOnConnectionsThatAreOpen) {
  const Issued mine = ca_.issue({.common_name = "root@example.org"});
  const Issued other = ca_.issue({.common_name = "root@example.org"});
  const auto channel = connect(mine);
  EXPECT_TRUE(list(channel).ok());

  ca_.revoke(mine);
  files_.write("crl.pem", "not a list");
  certificates_->refresh();
  EXPECT_TRUE(list(channel).ok()) << "a broken list was taken";
  files_.write("crl.pem", ca_.revocation_list());
  certificates_->refresh();
  EXPECT_EQ(list(channel).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(audited().back().why_not, "revoked certificate");
  EXPECT_EQ(list(connect(mine)).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(list(connect(other)).ok());

  // By its role, too.
  files_.write("roles", "cert:somebody else admin\n");
  certificates_->refresh();
  EXPECT_EQ(list(connect(other)).error_code(), grpc::StatusCode::PERMISSION_DENIED);
  for (const char* broken :
       {"cert:root@example.org boss", "admin", "cert:a admin\ncert:a viewer"}) {
    files_.write("roles", broken);
    certificates_->refresh();
    EXPECT_EQ(list(connect(other)).error_code(), grpc::StatusCode::PERMISSION_DENIED) << broken;
  }
  files_.write("roles", kRoleLines);
  certificates_->refresh();
  EXPECT_TRUE(list(connect(other)).ok());
}

TEST_P(ClientCertificatesTest, TheServersIsReplacedWhileCallsRun) {
  const Issued client = ca_.issue({.common_name = "root@example.org"});
  const auto open = connect(client);
  std::atomic<bool> stop = false;
  std::atomic<int> calls = 0;
  std::atomic<int> failed = 0;
  std::thread caller([&] {
    while (!stop) {
      failed += !list(open).ok();
      ++calls;
    }
  });
  const auto presented = [&] {
    grpc::ClientContext context;
    set_deadline(context);
    pb::ListOrdersResponse response;
    const grpc::Status status =
        pb::OrderService::NewStub(connect(client))->ListOrders(&context, {}, &response);
    EXPECT_TRUE(status.ok()) << status.error_message();
    const auto connection = context.auth_context();
    const auto values = connection->FindPropertyValues("x509_pem_cert");
    return values.empty() ? std::string() : std::string(values[0].data(), values[0].size());
  };
  const std::string first = presented();
  EXPECT_NE(first, "");
  std::string last = first;
  for (int i = 0; i < 3; ++i) {
    write_server_certificate();
    tls_->refresh();
    const std::string now = presented();
    EXPECT_NE(now, last);
    last = now;
  }
  // A certificate without its key, a broken one, one that has expired: the last good one stays.
  const Issued without_key = ca_.issue({.alternative_names = "DNS:localhost"});
  const Issued expired =
      ca_.issue({.alternative_names = "DNS:localhost", .begin_seconds = -60, .end_seconds = -1});
  for (const auto& [certificate, key] : std::initializer_list<std::pair<std::string, std::string>>{
           {without_key.certificate, ""},
           {"-----BEGIN CERTIFICATE-----\nbroken\n-----END CERTIFICATE-----\n", ""},
           {"", ""},
           {expired.certificate, expired.key}}) {
    files_.write("server.pem", certificate);
    if (!key.empty()) files_.write("server.key", key);
    tls_->refresh();
    EXPECT_EQ(presented(), last);
  }
  write_server_certificate();
  tls_->refresh();
  EXPECT_NE(presented(), last);
  const int before = calls;
  while (calls < before + 3) std::this_thread::yield();
  stop = true;
  caller.join();
  EXPECT_EQ(failed, 0) << "of " << calls;
}

TEST(TlsStore, SaysWhatIsWrongWithWhichFile) {
  const TestDirectory files;
  CertificateAuthority ca;
  const Issued good = ca.issue({});
  const Issued other = ca.issue({});
  const std::string certificate = files.write("good.pem", good.certificate);
  const std::string key = files.write("good.key", good.key);
  const auto mistake = [](const access::TlsFiles& broken) -> std::string {
    try {
      const access::TlsStore store(broken);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return {};
  };
  EXPECT_EQ(mistake({certificate, key, {}}), "");
  EXPECT_THAT(mistake({files.path("none.pem"), key, {}}), testing::HasSubstr("none.pem"));
  EXPECT_THAT(mistake({certificate, certificate, {}}), testing::HasSubstr("no private key"));
  EXPECT_THAT(mistake({key, key, {}}), testing::HasSubstr("no certificate"));
  EXPECT_THAT(mistake({certificate, files.write("other.key", other.key), {}}),
              testing::HasSubstr("is not that of the certificate"));
  EXPECT_THAT(mistake({certificate, key, key}), testing::HasSubstr("no certificate"));
  const Issued late = ca.issue({.begin_seconds = -60, .end_seconds = -1});
  EXPECT_THAT(
      mistake({files.write("late.pem", late.certificate), files.write("late.key", late.key), {}}),
      testing::HasSubstr("has expired"));
}

}  // namespace
}  // namespace orderd::test
