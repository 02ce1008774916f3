#include "storage/order_box.h"

#include <gtest/gtest.h>

#include <utility>

namespace orderd::test {
namespace {

orders::v1::Order order(const std::string& number) {
  orders::v1::Order order;
  order.set_order_number(number);
  order.add_items()->set_name("a name that is too long to be kept inside of a string");
  return order;
}

TEST(OrderBox, IsEmptyUntilItIsWrittenTo) {
  OrderBox box;
  EXPECT_FALSE(box.has_value());
  EXPECT_EQ(std::as_const(box)->order_number(), "");
  EXPECT_FALSE(box.has_value());
  box->set_order_number("1");
  EXPECT_TRUE(box.has_value());
  EXPECT_EQ(box->order_number(), "1");
  box.reset();
  EXPECT_FALSE(box);
  EXPECT_EQ(std::as_const(box)->order_number(), "");
}

TEST(OrderBox, CopiesAreOfTheirOwn) {
  OrderBox one = order("1");
  OrderBox two = one;
  two->set_order_number("2");
  two->mutable_items(0)->set_name("another");
  EXPECT_EQ(one->order_number(), "1");
  EXPECT_NE(one->items(0).name(), "another");
  one = two;
  EXPECT_EQ(one->items(0).name(), "another");
  two = OrderBox();
  EXPECT_FALSE(two.has_value());
  EXPECT_EQ(one->order_number(), "2");
}

TEST(OrderBox, IsReplacedByACopyOfItself) {
  OrderBox box = order("1");
  box.emplace(*box);
  EXPECT_EQ(box->order_number(), "1");
  EXPECT_EQ(box->items_size(), 1);
}

TEST(OrderBox, LeavesNothingWhereItIsMovedFrom) {
  OrderBox one = order("1");
  OrderBox two = std::move(one);
  EXPECT_FALSE(one.has_value());  // NOLINT
  EXPECT_EQ(std::as_const(one)->order_number(), "");
  EXPECT_EQ(two->order_number(), "1");
  OrderBox three = order("3");
  three = std::move(two);
  EXPECT_EQ(three->order_number(), "1");
  EXPECT_FALSE(two.has_value());  // NOLINT
}

}  // namespace
}  // namespace orderd::test
