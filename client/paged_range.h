#pragma once

#include <cstddef>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace orderd::client {

/// The whole of a list, page after page, as a range of `absl::StatusOr<T>`:
///
///   for (auto& order : client.list_orders(request)) {
///     if (!order.ok()) return order.status();
///     use(*std::move(order));
///   }
///
/// A page is fetched when the one before has been used up. An error is the last element. The range
/// can be walked once, by one thread.
template <class T>
class PagedRange {
  struct State;

 public:
  struct Page {
    std::vector<T> items;
    /// Empty: this is the last page.
    std::string next_page_token;
  };
  using Fetch = std::function<absl::StatusOr<Page>(const std::string& page_token)>;

  /// Starts with the page behind `page_token`; empty: the first.
  PagedRange(Fetch fetch, std::string page_token)
      : state_(std::make_unique<State>(std::move(fetch), std::move(page_token))) {}

  class Iterator {
   public:
    using iterator_concept = std::input_iterator_tag;
    using iterator_category = std::input_iterator_tag;
    using value_type = absl::StatusOr<T>;
    using difference_type = std::ptrdiff_t;
    using pointer = value_type*;
    using reference = value_type&;

    Iterator() = default;
    reference operator*() const { return state_->current; }
    pointer operator->() const { return &state_->current; }
    Iterator& operator++() {
      state_->advance();
      return *this;
    }
    void operator++(int) { state_->advance(); }
    bool operator==(std::default_sentinel_t) const { return state_->at_end; }

   private:
    friend class PagedRange;
    explicit Iterator(State* state) : state_(state) {}

    State* state_ = nullptr;
  };

  /// Fetches the first page.
  Iterator begin() {
    state_->advance();
    return Iterator(state_.get());
  }
  std::default_sentinel_t end() const { return std::default_sentinel; }

 private:
  struct State {
    State(Fetch fetcher, std::string page_token)
        : fetch(std::move(fetcher)), token(std::move(page_token)) {}

    void advance() {
      while (next == page.items.size()) {
        if (no_more) {
          at_end = true;
          return;
        }
        auto fetched = fetch(token);
        if (fetched.ok() && !token.empty() && fetched->next_page_token == token) {
          fetched = absl::InternalError("the server answered a page token with itself");
        }
        if (!fetched.ok()) {
          page = Page();
          next = 0;
          no_more = true;
          current = std::move(fetched).status();
          return;
        }
        page = *std::move(fetched);
        next = 0;
        token = page.next_page_token;
        no_more = token.empty();
      }
      current = std::move(page.items[next++]);
    }

    Fetch fetch;
    std::string token;
    Page page;
    std::size_t next = 0;
    bool no_more = false;
    bool at_end = false;
    absl::StatusOr<T> current{absl::UnknownError("")};
  };

  std::unique_ptr<State> state_;
};

}  // namespace orderd::client
