#pragma once

#include <string>
#include <utility>

#include <fmt/format.h>

#include "server/orders/errors.h"

namespace orderd::rules {

/// All that a rule refuses in one request: the first as the error, all of them as its violations.
class Refusals {
 public:
  void add(const std::string& field, absl::Status error) {
    violations_.add(field,
                    fmt::format("{}: {}", errors::reason(error), std::string(error.message())));
    if (first_.ok()) first_ = std::move(error);
  }
  bool empty() const { return first_.ok(); }
  absl::Status status() const { return empty() ? first_ : violations_.attach_to(first_); }

 private:
  absl::Status first_;
  errors::Violations violations_;
};

}  // namespace orderd::rules
