#pragma once

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "server/rpc/access_service.h"
#include "server/rpc/backend.h"
#include "server/rpc/call.h"
#include "server/rpc/limits.h"
#include "server/rpc/listener.h"
#include "server/rpc/order_service.h"
#include "server/rpc/sandbox_service.h"
#include "server/rpc/settings_service.h"

namespace orderd::rpc {

/// How callers get in, who is let in, and who hears of it.
struct Entrance {
  /// Null: connections are not encrypted.
  std::shared_ptr<grpc::ServerCredentials> credentials;
  /// Null: everybody is let in.
  std::unique_ptr<const Authenticator> authenticator;
  Audit audit;
};

/// The gRPC server: all services, the sandbox's only if an account is one, health and reflection.
class Server {
 public:
  /// `address` is HOST:PORT; port 0 picks a free one. Throws std::runtime_error if it can't listen
  /// there. The engine and reader in `backend` are stopped after `shutdown`.
  Server(const std::string& address, Backend backend, CallObserver observer = {},
         const Limits& limits = {}, Entrance entrance = {});
  /// Shuts down at once.
  ~Server();

  int port() const { return listener_.port(); }
  /// For metrics. Thread-safe.
  int running_calls() const { return guard_.running.count(); }

  /// Once, if the backend had no secret: the database has been reached, so calls are taken from now
  /// on.
  void begin(std::string secret);
  /// Whether the database can be used. While it can't, health checks are told that nothing is
  /// served, and calls are refused with DATABASE_UNAVAILABLE. Thread-safe, also beside `shutdown`.
  void set_ready(bool ready);

  /// Tells health checks that it goes, takes no new calls, ends the watchers, gives those that run
  /// `drain` to end, then answers what waits for a gateway with what is known, and returns when all
  /// have ended. Not on a thread of gRPC's.
  void shutdown(std::chrono::milliseconds drain);

 private:
  Backend backend_;
  Guard guard_;
  OrderService orders_;
  SettingsService settings_;
  AccessService access_;
  std::optional<SandboxService> sandbox_;
  const std::shared_ptr<grpc::ServerCredentials> credentials_;
  Listener listener_;
  std::unique_ptr<grpc::Server> server_;
  bool shut_down_ = false;
};

}  // namespace orderd::rpc
