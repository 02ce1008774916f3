#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "storage/model.h"

namespace orderd::rpc {

/// Makes and reads page tokens. A token carries an authentication code under a secret that all
/// servers of a database share, so one that was altered, or made elsewhere, is found out.
class PageTokens {
 public:
  explicit PageTokens(std::string secret) : secret_(std::move(secret)) {}

  /// URL-safe text.
  std::string seal(const internal::PageToken& token) const;
  /// Nothing unless `seal` made the text for the same scope.
  std::optional<internal::PageToken> open(std::string_view text, std::string_view scope) const;

 private:
  std::string secret_;
};

/// What a token is good for: the hash of a method and of `query`, which is the request without page
/// size, token and view.
std::string page_scope(std::string_view method, const google::protobuf::Message& query);

}  // namespace orderd::rpc
