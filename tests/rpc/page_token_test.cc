#include "server/rpc/page_token.h"

#include <gtest/gtest.h>

#include "orders/v1/order_service.pb.h"

namespace orderd::rpc {
namespace {

internal::PageToken a_token(const std::string& scope) {
  internal::PageToken token;
  token.set_scope(scope);
  token.set_sort_key(-5);
  token.set_id(std::string(Uuid::generate().raw()));
  return token;
}

TEST(PageTokenTest, OpensWhatItSealed) {
  const PageTokens tokens("secret");
  const auto token = a_token("scope");
  const auto opened = tokens.open(tokens.seal(token), "scope");
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->SerializeAsString(), token.SerializeAsString());
}

TEST(PageTokenTest, RefusesOtherScopesSecretsAndText) {
  const PageTokens tokens("secret");
  const std::string sealed = tokens.seal(a_token("scope"));
  EXPECT_FALSE(tokens.open(sealed, "other"));
  EXPECT_FALSE(PageTokens("other secret").open(sealed, "scope"));
  EXPECT_FALSE(tokens.open("", "scope"));
  EXPECT_FALSE(tokens.open(" " + sealed, "scope"));
  EXPECT_FALSE(tokens.open(sealed + "==", "scope"));
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    for (const char c : {'A', 'B', '-', '+', '\0'}) {
      std::string altered = sealed;
      if (altered[i] == c) continue;
      altered[i] = c;
      EXPECT_FALSE(tokens.open(altered, "scope")) << i << " " << c;
    }
  }
}

TEST(PageTokenTest, ScopeDependsOnMethodAndQuery) {
  orders::v1::ListOrdersRequest query;
  query.mutable_filter()->add_state_ids("new");
  const std::string scope = page_scope("ListOrders", query);
  EXPECT_EQ(scope, page_scope("ListOrders", query));
  EXPECT_NE(scope, page_scope("ListNotes", query));
  query.mutable_filter()->add_state_ids("canceled");
  EXPECT_NE(scope, page_scope("ListOrders", query));
}

}  // namespace
}  // namespace orderd::rpc
