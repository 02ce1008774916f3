#include <string>

#include "server/rpc/page_token.h"
#include "tests/fuzz/tokens.h"

// Tokens of lists: what a server made it takes for the same list, and nothing else.

namespace orderd::fuzz {

FUZZ_TARGET(page_tokens) {
  // Not with the secret below: libFuzzer takes inputs from the texts that it sees compared, and so
  // comes with tokens that were made here before.
  require(!rpc::PageTokens("a secret that makes none").open(input, input.substr(0, 8)),
          "what nobody made is no token");
  const rpc::PageTokens tokens("the secret of this database");
  internal::PageToken made;
  if (!made.ParseFromArray(input.data(), static_cast<int>(input.size()))) return;
  const std::string text = tokens.seal(made);
  const auto opened = tokens.open(text, made.scope());
  require(opened && opened->SerializeAsString() == made.SerializeAsString(), "a token comes back");
  require(!tokens.open(text, made.scope() + "x"), "a token is good for its list only");
  require(!tokens.open_watch(text), "and for no watch");
  require(!rpc::PageTokens("another secret").open(text, made.scope()), "and for its database");
  each_forgery(text, input, [&](const std::string& forged) {
    require(!tokens.open(forged, made.scope()), "an altered token is none");
  });
}

}  // namespace orderd::fuzz
