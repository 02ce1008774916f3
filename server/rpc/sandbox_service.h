#pragma once

#include <utility>

#include <boost/asio/thread_pool.hpp>

#include "orders/sandbox/v1/sandbox.grpc.pb.h"
#include "server/payments/accounts.h"
#include "server/payments/sandbox.h"
#include "server/rpc/backend.h"
#include "server/rpc/call.h"
#include "server/rpc/page_token.h"
#include "server/rpc/raw_methods.h"

namespace orderd::rpc {

namespace detail {
using X = sandbox_pb::SandboxService;
using SandboxServiceBase =
    RawMethods<X, X::WithRawCallbackMethod_Authorize, X::WithRawCallbackMethod_SimulateEvent,
               X::WithRawCallbackMethod_SetCapabilities, X::WithRawCallbackMethod_AddFault,
               X::WithRawCallbackMethod_ClearFaults, X::WithRawCallbackMethod_GetLedgerPayment,
               X::WithRawCallbackMethod_ListLedgerPayments>::Base;
}  // namespace detail

/// The adapters of `orders.sandbox.v1.SandboxService` over the accounts that are sandboxes.
class SandboxService final : public detail::SandboxServiceBase {
 public:
  SandboxService(const Guard& guard, const Backend& backend)
      : guard_(guard), accounts_(backend.processor.accounts()), tokens_(backend.secret) {}
  ~SandboxService() override { ledger_thread_.join(); }

  /// Whether there is a sandbox among the accounts.
  static bool wanted(const payments::Accounts& accounts);

  /// Once, if the backend had none, before the first call.
  void set_secret(std::string secret) { tokens_.set_secret(std::move(secret)); }

  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;
  using Unary = grpc::ServerUnaryReactor;

  Unary* Authorize(Context* context, const Bytes* in, Bytes* out) override;
  Unary* SimulateEvent(Context* context, const Bytes* in, Bytes* out) override;
  Unary* SetCapabilities(Context* context, const Bytes* in, Bytes* out) override;
  Unary* AddFault(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ClearFaults(Context* context, const Bytes* in, Bytes* out) override;
  Unary* GetLedgerPayment(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListLedgerPayments(Context* context, const Bytes* in, Bytes* out) override;

 private:
  /// Answers the call with what `body(sandbox, response)` makes of its account, on the thread of
  /// the ledgers, which may block.
  template <class Call, class Body>
  void with_sandbox(Call* call, Body body);

  const Guard& guard_;
  const payments::Accounts& accounts_;
  PageTokens tokens_;
  boost::asio::thread_pool ledger_thread_{1};
};

}  // namespace orderd::rpc
