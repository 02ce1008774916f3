#pragma once

#include "orders/v1/access_service.grpc.pb.h"
#include "server/rpc/backend.h"
#include "server/rpc/call.h"
#include "server/rpc/page_token.h"
#include "server/rpc/raw_methods.h"

namespace orderd::rpc {

namespace detail {
using K = pb::AccessService;
using AccessServiceBase =
    RawMethods<K, K::WithRawCallbackMethod_CreateApiKey, K::WithRawCallbackMethod_ListApiKeys,
               K::WithRawCallbackMethod_RevokeApiKey>::Base;
}  // namespace detail

/// The adapters of `orders.v1.AccessService`.
class AccessService final : public detail::AccessServiceBase {
 public:
  AccessService(const Guard& guard, Backend& backend)
      : guard_(guard), backend_(backend), tokens_(backend.secret) {}

  void set_secret(const std::string& secret) { tokens_.set_secret(secret); }

  using Context = grpc::CallbackServerContext;
  using Bytes = grpc::ByteBuffer;
  using Unary = grpc::ServerUnaryReactor;

  Unary* CreateApiKey(Context* context, const Bytes* in, Bytes* out) override;
  Unary* ListApiKeys(Context* context, const Bytes* in, Bytes* out) override;
  Unary* RevokeApiKey(Context* context, const Bytes* in, Bytes* out) override;

 private:
  const Guard& guard_;
  Backend& backend_;
  PageTokens tokens_;
};

}  // namespace orderd::rpc
