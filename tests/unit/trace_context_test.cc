#include "server/engine/trace_context.h"

#include <gtest/gtest.h>

#include <string>
#include <thread>
#include <vector>

namespace orderd::engine {
namespace {

const std::string kTrace = "4bf92f3577b34da6a3ce929d0e0e4736";
const std::string kParent = "00-" + kTrace + "-00f067aa0ba902b7-01";

TraceContext read(const std::vector<std::string_view>& parents,
                  const std::vector<std::string_view>& states = {}) {
  return read_trace_context(parents, states);
}

std::string state_of(const std::vector<std::string_view>& states) {
  return read({kParent}, states).trace_state;
}

TEST(TraceContextTest, KeepsTheTraceAndTakesASpanOfItsOwn) {
  const TraceContext first = read({kParent});
  const TraceContext second = read({kParent});
  EXPECT_EQ(first.trace_id, kTrace);
  EXPECT_TRUE(first.sampled);
  EXPECT_EQ(first.span_id.size(), 16u);
  EXPECT_EQ(first.span_id.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_NE(first.span_id, "00f067aa0ba902b7");
  EXPECT_NE(first.span_id, second.span_id);
  EXPECT_EQ(first.parent_header(), "00-" + kTrace + "-" + first.span_id + "-01");
}

TEST(TraceContextTest, OfTheFlagsOnlySampledIsKnown) {
  const auto with_flags = [](const std::string& flags) {
    const std::string parent = "00-" + kTrace + "-00f067aa0ba902b7-" + flags;
    return read({parent}).parent_header().substr(53);
  };
  EXPECT_EQ(with_flags("00"), "00");
  EXPECT_EQ(with_flags("01"), "01");
  EXPECT_EQ(with_flags("03"), "01");
  EXPECT_EQ(with_flags("fe"), "00");
  EXPECT_EQ(with_flags("ff"), "01");
}

TEST(TraceContextTest, ALaterVersionMayBeLonger) {
  const std::string rest = "-" + kTrace + "-00f067aa0ba902b7-01";
  for (const std::string& parent : {"01" + rest, "cc" + rest + "-", "fe" + rest + "-what-comes"}) {
    EXPECT_EQ(read({parent}).trace_id, kTrace) << parent;
    EXPECT_TRUE(read({parent}).parent_header().starts_with("00-")) << parent;
  }
}

TEST(TraceContextTest, WhatIsInvalidIsNoTrace) {
  const std::string rest = "-" + kTrace + "-00f067aa0ba902b7-01";
  const std::vector<std::string> invalid = {
      "",
      "00",
      "ff" + rest,
      "0" + rest,
      "0X" + rest,
      "00" + rest + "-",
      "00" + rest + "0",
      "00" + rest + " ",
      "01" + rest + "x",
      "00" + rest.substr(0, rest.size() - 1),
      "00-" + std::string(32, '0') + "-00f067aa0ba902b7-01",
      "00-" + kTrace + "-" + std::string(16, '0') + "-01",
      "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
      "00-" + kTrace + "-00f067aa0ba902b7-0g",
      "00-" + kTrace + "-00f067aa0ba902bz-01",
      "00_" + kTrace + "_00f067aa0ba902b7_01",
      " " + kParent,
  };
  for (const std::string& parent : invalid) {
    const TraceContext context = read({parent}, {"a=1"});
    EXPECT_TRUE(context.empty()) << parent;
    EXPECT_EQ(context.span_id, "") << parent;
    EXPECT_EQ(context.trace_state, "") << parent;
  }
  EXPECT_TRUE(read({kParent, kParent}).empty());
  EXPECT_TRUE(read({}, {"a=1"}).empty());
}

TEST(TraceContextTest, TheStateIsPassedOnInItsOrder) {
  EXPECT_EQ(state_of({"rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"}),
            "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE");
  EXPECT_EQ(state_of({"a=1 , b=2", " ,\tc=x y"}), "a=1,b=2,c=x y");
  EXPECT_EQ(state_of({"1tenant@system=v", "under_score-star*/=~!"}),
            "1tenant@system=v,under_score-star*/=~!");
  EXPECT_EQ(state_of({""}), "");
  EXPECT_EQ(state_of({"a=" + std::string(256, 'v')}), "a=" + std::string(256, 'v'));
}

TEST(TraceContextTest, AnInvalidStateIsDroppedAndTheTraceKept) {
  std::string many;
  for (int i = 0; i < 33; ++i) many += "k" + std::to_string(i) + "=v,";
  const std::vector<std::string> invalid = {
      "a",    "=1",         "A=1",        "1a=1",
      "a=",   "a=1=2",      "a=1,a=2",    "a b=1",
      "a@=1", "a@1=1",      "@a=1",       "a@b@c=1",
      many,   "a=\x7f",     "a=\t1\t2",   "a=" + std::string(257, 'v'),
      "\n=1", "a=1\r\nX:1", "a=\xc3\xa4", std::string(257, 'k') + "=1"};
  for (const std::string& state : invalid) {
    EXPECT_EQ(state_of({state}), "") << state;
    EXPECT_EQ(state_of({"good=1", state}), "") << state;
    EXPECT_EQ(read({kParent}, {state}).trace_id, kTrace);
  }
}

TEST(TraceContextTest, AScopeIsOfItsThread) {
  EXPECT_TRUE(TraceScope::current().empty());
  const TraceContext outer = read({kParent});
  const TraceContext none;
  {
    const TraceScope scope(outer);
    EXPECT_EQ(TraceScope::current().span_id, outer.span_id);
    {
      const TraceScope inner(none);
      EXPECT_TRUE(TraceScope::current().empty());
    }
    EXPECT_EQ(TraceScope::current().span_id, outer.span_id);
    std::thread([] { EXPECT_TRUE(TraceScope::current().empty()); }).join();
  }
  EXPECT_TRUE(TraceScope::current().empty());
}

}  // namespace
}  // namespace orderd::engine
