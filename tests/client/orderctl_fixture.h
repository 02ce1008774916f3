#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/client/fake_server.h"

namespace orderd::testing {

/// orderctl as a program, against a server that answers what the test wants. It knows one order, by
/// its number 1001 and by every id.
class OrderctlTest : public ::testing::Test {
 protected:
  OrderctlTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "orderctl-XXXXXX").string();
    directory_ = ::mkdtemp(pattern.data());
    server_.on_get_order = [this](const pb::GetOrderRequest& request,
                                  pb::GetOrderResponse& response) {
      *response.mutable_order() = order_;
      response.mutable_order()->set_order_id(request.order_id());
    };
    server_.on_list_orders = [](const pb::ListOrdersRequest& request,
                                pb::ListOrdersResponse& response) {
      if (request.filter().order_number() != "1001") return;
      auto& order = *response.add_orders();
      order.set_order_id("id-of-1001");
      order.set_order_number("1001");
    };
  }
  ~OrderctlTest() override { std::filesystem::remove_all(directory_); }

  struct Result {
    int code = -1;
    std::string out;
    std::string err;
  };

  /// `arguments` as in a shell; `input` is standard input.
  Result run(const std::string& arguments, const std::string& input = "") {
    write(directory_ / "in", input);
    const std::string command = "ORDERCTL_SERVER=" + server_.address() + " " ORDERCTL " " +
                                arguments + " <" + (directory_ / "in").string() + " >" +
                                (directory_ / "out").string() + " 2>" +
                                (directory_ / "err").string();
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read(directory_ / "out"),
            read(directory_ / "err")};
  }

  static void write(const std::filesystem::path& path, const std::string& text) {
    std::ofstream(path, std::ios::binary) << text;
  }
  static std::string read(const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  template <class Request>
  Request last_request() const {
    Request request;
    EXPECT_TRUE(request.ParseFromString(server_.calls().back().request));
    return request;
  }
  static void set(pb::Money* money, const std::string& currency, std::int64_t minor) {
    money->set_currency_code(currency);
    money->set_amount_minor(minor);
  }

  FakeServer server_;
  pb::Order order_;
  std::filesystem::path directory_;
};

}  // namespace orderd::testing
