#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "storage/model.h"

// What all lists share. Their tokens are in page_token.h.

namespace orderd::rpc {

inline constexpr int kDefaultPageSize = 50;
inline constexpr int kMaxPageSize = 1000;
/// A page ends here, well below the 4 MiB that a client takes by default.
inline constexpr std::size_t kPageBytes = 3u << 20;

inline int page_size(int asked) {
  return asked == 0 ? kDefaultPageSize : std::min(asked, kMaxPageSize);
}

/// How many of the rows make a page: at most `size`, and no more than fit into a message, but one
/// at least.
template <class Rows>
std::size_t page_length(const Rows& rows, int size) {
  std::size_t bytes = 0;
  std::size_t length = 0;
  for (const auto& row : rows) {
    bytes += row.ByteSizeLong();
    if (length == static_cast<std::size_t>(size) || (bytes > kPageBytes && length > 0)) break;
    ++length;
  }
  return length;
}

inline internal::PageToken make_token(const std::string& scope, std::int64_t sort_key,
                                      std::string_view id) {
  internal::PageToken token;
  token.set_scope(scope);
  token.set_sort_key(sort_key);
  token.set_id(std::string(id));
  return token;
}

}  // namespace orderd::rpc
