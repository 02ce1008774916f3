#include <string>

#include "server/rpc/page_token.h"
#include "tests/fuzz/tokens.h"

// Tokens of watches: what a server made it takes, and nothing else.

namespace orderd::fuzz {

FUZZ_TARGET(feed_tokens) {
  // Not with the secret below: libFuzzer takes inputs from the texts that it sees compared, and so
  // comes with tokens that were made here before.
  require(!rpc::PageTokens("a secret that makes none").open_watch(input),
          "what nobody made is no token");
  const rpc::PageTokens tokens("the secret of this database");
  internal::WatchToken made;
  if (!made.ParseFromArray(input.data(), static_cast<int>(input.size()))) return;
  const std::string text = tokens.seal(made);
  const auto opened = tokens.open_watch(text);
  require(opened && opened->SerializeAsString() == made.SerializeAsString(), "a token comes back");
  require(!tokens.open(text, made.scope()) && !tokens.open(text, ""), "it is good for no list");
  require(!rpc::PageTokens("another secret").open_watch(text), "and for its database only");
  each_forgery(text, input, [&](const std::string& forged) {
    require(!tokens.open_watch(forged), "an altered token is none");
  });
}

}  // namespace orderd::fuzz
