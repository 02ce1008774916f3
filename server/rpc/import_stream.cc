#include "server/rpc/import_stream.h"

#include <chrono>
#include <utility>

#include "google/rpc/error_details.pb.h"
#include "server/engine/request_hash.h"
#include "server/orders/text.h"
#include "server/orders/utf8.h"
#include "server/rpc/order_service.h"

namespace orderd::rpc {
namespace {

/// Bytes of requests that are read ahead of the answers.
constexpr std::size_t kWindowBytes = 8u << 20;
constexpr std::chrono::milliseconds kPause{50};
/// For those that find too many others.
constexpr std::chrono::milliseconds kRetryDelay{1000};

/// Another try may succeed: the caller sends the order again, in another stream.
bool ends_stream(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsCancelled(status);
}

std::string order_number(const pb::ImportOrdersRequest& request) {
  const std::string_view number = rules::trimmed(request.order().order_number());
  return rules::count_code_points(number) ? std::string(number) : std::string();
}

pb::ImportOrdersResponse refusal(const pb::ImportOrdersRequest& request,
                                 const absl::Status& status) {
  pb::ImportOrdersResponse response;
  response.set_order_number(order_number(request));
  response.set_result(pb::IMPORT_RESULT_REFUSED);
  *response.mutable_error() = errors::to_proto(status);
  if (errors::reason(status) != "IMPORT_CONFLICT") return response;
  response.set_result(pb::IMPORT_RESULT_CONFLICT);
  for (const auto& detail : response.error().details()) {
    if (google::rpc::ErrorInfo info; detail.UnpackTo(&info)) {
      response.set_order_id(info.metadata().at("order_id"));
    }
  }
  return response;
}

pb::ImportOrdersResponse success(const pb::ImportOrdersRequest& request,
                                 const engine::Answer& answer) {
  pb::ImportOrdersResponse response;
  response.set_order_number(order_number(request));
  response.set_order_id(answer.order_id.to_string());
  response.set_result(answer.imported_before ? pb::IMPORT_RESULT_UNCHANGED
                                             : pb::IMPORT_RESULT_CREATED);
  return response;
}

}  // namespace

ImportStream::ImportStream(const Guard& guard, Backend& backend,
                           const grpc::CallbackServerContext& context)
    : guard_(guard),
      backend_(backend),
      context_(context),
      record_(guard, {"ImportOrders", Kind::kMutation}) {
  has_slot_ = guard_.imports.take();
  failure_ = has_slot_ ? record_.admit(context, CallRecord::Length::kStream)
                       : errors::overloaded(kRetryDelay);
  Next next;
  {
    std::lock_guard lock(mutex_);
    next = advance();
  }
  act(std::move(next));
}

void ImportStream::OnReadDone(bool ok) {
  const absl::Status admitted = ok ? record_.admit_again(context_) : absl::OkStatus();
  std::unique_ptr<Slot> slot = ok && admitted.ok() ? make_slot() : nullptr;
  Next next;
  {
    std::lock_guard lock(mutex_);
    reading_ = false;
    if (!ok) {
      no_more_ = true;
    } else if (!admitted.ok()) {
      if (failure_.ok()) failure_ = admitted;
    } else {
      unanswered_bytes_ += slot->bytes;
      if (!slot->response) {
        for (const Claim& claim : slot->claims) claimants_[claim].push_back(slot.get());
        ++unsubmitted_;
      }
      slots_.push_back(std::move(slot));
    }
    next = advance();
  }
  act(std::move(next));
}

void ImportStream::OnWriteDone(bool ok) {
  Next next;
  {
    std::lock_guard lock(mutex_);
    out_.Clear();
    writing_ = false;
    record_.sending(false);
    if (!ok && failure_.ok()) failure_ = errors::cancelled();
    next = advance();
  }
  act(std::move(next));
}

std::unique_ptr<ImportStream::Slot> ImportStream::make_slot() {
  auto slot = std::make_unique<Slot>();
  slot->bytes = in_.Length();
  absl::Status status;
  try {
    status = parse(in_, slot->request);
    if (status.ok()) status = rules::validate(slot->request);
    if (status.ok()) {
      slot->digest = engine::body_hash(slot->request);
      const std::vector<Claim> claims = rules::import_claims(slot->request);
      slot->claims.insert(claims.begin(), claims.end());
    }
  } catch (const std::exception&) {
    status = errors::internal();
  }
  in_.Clear();
  if (!status.ok()) slot->response = refusal(slot->request, status);
  return slot;
}

ImportStream::Next ImportStream::advance() {
  Next next;
  if (finished_) return next;
  if (!writing_ && !slots_.empty() && slots_.front()->response) {
    if (serialize(*slots_.front()->response, out_).ok()) {
      writing_ = true;
      record_.sending(true);
      StartWrite(&out_);
    } else if (failure_.ok()) {
      failure_ = errors::internal();
    }
    unanswered_bytes_ -= slots_.front()->bytes;
    slots_.pop_front();
  }
  if (failure_.ok()) {
    if (!reading_ && !no_more_ && slots_.size() < kWindow && unanswered_bytes_ < kWindowBytes) {
      reading_ = true;
      StartRead(&in_);
    }
    collect_ready(next.submit);
  }
  const bool over =
      failure_.ok() ? no_more_ && slots_.empty() : slots_.empty() || !slots_.front()->response;
  if (over && outstanding_ == 0 && !writing_) {
    finished_ = true;
    next.finish = failure_;
  }
  return next;
}

void ImportStream::collect_ready(std::vector<Slot*>& ready) {
  if (unsubmitted_ == 0) return;
  for (const auto& slot : slots_) {
    if (ready.size() == room_) break;
    if (slot->submitted || slot->response) continue;
    bool first = true;
    for (const Claim& claim : slot->claims)
      first = first && claimants_[claim].front() == slot.get();
    if (!first) continue;
    slot->submitted = true;
    --unsubmitted_;
    ++outstanding_;
    ready.push_back(slot.get());
  }
  if (pausing_) room_ -= ready.size();
}

void ImportStream::act(Next next) {
  // While any of these is outstanding, nobody finishes the stream.
  for (Slot* slot : next.submit) submit(*slot);
  if (next.finish) {
    record_.sending(true);
    Finish(to_grpc(record_.end(*std::move(next.finish))));
  }
}

void ImportStream::OnDone() {
  if (has_slot_) guard_.imports.release();
  delete this;
}

void ImportStream::submit(Slot& slot) {
  engine::Command command;
  command.actor = record_.actor();
  std::vector<Uuid> ids(rules::import_ids(slot.request));
  for (Uuid& id : ids) id = Uuid::generate();
  command.order_id = ids.front();
  command.creates = true;
  command.claims = rules::import_claims(slot.request);
  const pb::NewOrder& order = slot.request.order();
  command.cost += order.items_size() + static_cast<int>(order.labels_size()) +
                  slot.request.notes_size() + slot.request.payments_size();
  for (const auto& shipment : slot.request.shipments()) {
    command.cost += 1 + shipment.lines_size() + shipment.tracking_numbers_size();
  }
  command.bytes += slot.bytes;
  command.abandoned = record_.abandoned();
  command.rule = [&slot, ids = std::move(ids)](const rules::Target& target,
                                               const rules::Context& context) {
    return rules::import_order(slot.request, slot.digest, ids, target, context);
  };
  command.done = [this, &slot](absl::StatusOr<engine::Answer> answer) {
    settle(slot, std::move(answer));
  };
  backend_.engine.submit(std::move(command));
}

void ImportStream::settle(Slot& slot, absl::StatusOr<engine::Answer> answer) {
  Next next;
  {
    std::lock_guard lock(mutex_);
    --outstanding_;
    if (absl::IsResourceExhausted(answer.status()) && record_.abandoned()()) {
      answer = errors::cancelled();
    }
    if (absl::IsResourceExhausted(answer.status())) {
      slot.submitted = false;
      ++unsubmitted_;
      pause();
    } else if (ends_stream(answer.status())) {
      if (failure_.ok()) failure_ = answer.status();
    } else {
      if (pausing_) ++room_;
      respond(slot, answer.ok() ? success(slot.request, *answer)
                                : refusal(slot.request, answer.status()));
    }
    next = advance();
  }
  if (!next.empty()) act(std::move(next));
}

void ImportStream::respond(Slot& slot, pb::ImportOrdersResponse response) {
  slot.response = std::move(response);
  for (const Claim& claim : slot.claims) {
    const auto waiting = claimants_.find(claim);
    waiting->second.pop_front();
    if (waiting->second.empty()) claimants_.erase(waiting);
  }
}

void ImportStream::pause() {
  room_ = 0;
  if (pausing_) return;
  pausing_ = true;
  ++outstanding_;
  alarm_ = std::make_unique<grpc::Alarm>();
  alarm_->Set(std::chrono::system_clock::now() + kPause, [this](bool) { resume(); });
}

void ImportStream::resume() {
  Next next;
  {
    std::lock_guard lock(mutex_);
    pausing_ = false;
    room_ = kWindow;
    --outstanding_;
    next = advance();
  }
  if (!next.empty()) act(std::move(next));
}

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* OrderService::ImportOrders(
    Context* context) {
  return new ImportStream(guard_, backend_, *context);
}

}  // namespace orderd::rpc
