#pragma once

#include <atomic>
#include <chrono>
#include <random>
#include <string>

#include "client/client.h"

namespace orderd::test {

namespace pb = ::orders::v1;

/// An order without anything, in the initial state.
inline pb::CreateOrderRequest empty_order() {
  pb::CreateOrderRequest request;
  request.mutable_order();
  return request;
}

/// A client that hides nothing: one try per call, and all the time that it takes.
inline client::Client strict_client(const std::string& address) {
  client::Options options;
  options.server = address;
  options.timeout = options.attempt_timeout = std::chrono::minutes(1);
  options.retry.max_attempts = 1;
  return client::Client(std::move(options));
}

/// A client that tries again, as the library does by itself, but for a minute; `retries` counts.
inline client::Client patient_client(const std::string& address, std::atomic<int>& retries) {
  client::Options options;
  options.server = address;
  options.timeout = std::chrono::minutes(1);
  options.retry.max_attempts = 1000;
  options.retry.max_backoff = std::chrono::milliseconds(500);
  // It is asked once for each retry.
  options.random = [&retries] {
    ++retries;
    thread_local std::mt19937_64 engine{std::random_device{}()};
    return std::uniform_real_distribution<double>(0, 1)(engine);
  };
  return client::Client(std::move(options));
}

}  // namespace orderd::test
