#pragma once

#include <google/protobuf/message.h>

#include <random>
#include <string>

namespace orderd::fuzz {

using Random = std::mt19937_64;

/// Changes one field somewhere in the message: sets it to a value that is often interesting, or to
/// what another field has, clears it, adds an element, takes one away or repeats one.
void mutate(google::protobuf::Message& message, Random& random);

/// One of the texts that mean something to a server: names of settings, currencies, and names such
/// as "$order_id0" that stand for what it has answered (requests_fuzz.cc).
std::string known_text(Random& random);

}  // namespace orderd::fuzz
