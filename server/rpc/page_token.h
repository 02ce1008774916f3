#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <google/protobuf/message.h>

#include "storage/model.h"

namespace orderd::rpc {

/// Makes and reads the tokens of lists and watches. A token carries an authentication code under a
/// secret that all servers of a database share, so one that was altered, or made elsewhere, is
/// found out.
class PageTokens {
 public:
  explicit PageTokens(std::string secret) : secret_(std::move(secret)) {}
  /// Before the first token is made or read.
  void set_secret(std::string secret) { secret_ = std::move(secret); }

  /// URL-safe text.
  std::string seal(const internal::PageToken& token) const;
  std::string seal(const internal::WatchToken& token) const;
  /// Nothing unless `seal` made the text for the same scope.
  std::optional<internal::PageToken> open(std::string_view text, std::string_view scope) const;
  std::optional<internal::WatchToken> open_watch(std::string_view text) const;

 private:
  /// `purpose`: so that a token of one kind is none of another.
  std::string seal_bytes(std::string_view purpose, const std::string& body) const;
  std::optional<std::string> open_bytes(std::string_view purpose, std::string_view text) const;

  std::string secret_;
};

/// What a token is good for: the hash of a method and of `query`, which is the request without page
/// size, token and view.
std::string page_scope(std::string_view method, const google::protobuf::Message& query);

}  // namespace orderd::rpc
