#include "storage/order_box.h"

#include <google/protobuf/arena.h>

#include <algorithm>
#include <cstddef>

namespace orderd {
namespace {

/// Bytes of the first block for an order that nothing is known of; each further one is twice as
/// large.
constexpr std::size_t kFirstBlock = 1024;
constexpr std::size_t kLargestBlock = 65'536;

google::protobuf::ArenaOptions options(std::size_t first_block) {
  google::protobuf::ArenaOptions options;
  options.start_block_size = first_block;
  options.max_block_size = std::max(first_block, kLargestBlock);
  return options;
}

}  // namespace

struct OrderBox::Body {
  explicit Body(std::size_t first_block) : arena(options(first_block)) {}

  google::protobuf::Arena arena;
};

void OrderBox::Free::operator()(Body* body) const { delete body; }

orders::v1::Order& OrderBox::emplace() {
  body_.reset(new Body(kFirstBlock));
  order_ = google::protobuf::Arena::CreateMessage<orders::v1::Order>(&body_->arena);
  return *order_;
}

orders::v1::Order& OrderBox::emplace(const orders::v1::Order& order) {
  // A copy needs what the original uses, and half as much for what that does not count: what is to
  // be done with its strings at the end. A message on the heap takes six times its size on the
  // wire.
  const auto* arena = order.GetArena();
  const std::size_t room = arena == nullptr ? order.ByteSizeLong() * 6 : arena->SpaceUsed() * 3 / 2;
  std::unique_ptr<Body, Free> body(new Body(std::max(kFirstBlock, room)));
  auto* copy = google::protobuf::Arena::CreateMessage<orders::v1::Order>(&body->arena);
  copy->MergeFrom(order);
  body_ = std::move(body);
  order_ = copy;
  return *copy;
}

}  // namespace orderd
