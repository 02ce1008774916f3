#include "client/channel.h"

#include <grpcpp/grpcpp.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>
#include <stdexcept>
#include <string>

namespace orderd::client::internal {
namespace {

/// Several servers are asked in turn, those that can be reached and say that they serve.
constexpr char kAmongServers[] =
    R"({"loadBalancingConfig": [{"round_robin": {}}],
        "healthCheckConfig": {"serviceName": "orders.v1.OrderService"}})";

/// Whether the target may stand for more than one server, as HOST:PORT does not.
bool may_be_several(const std::string& target) {
  return target.find("://") != std::string::npos || target.find(',') != std::string::npos;
}

std::string read_file(const std::string& path) {
  if (path.empty()) return {};
  std::ifstream in(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  if (!in) {
    throw std::runtime_error("the file " + path + " can't be read: " + std::strerror(errno));
  }
  return text;
}

std::string trimmed(const std::string& text) {
  constexpr auto kSpace = " \t\r\n";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(kSpace) - first + 1);
}

std::shared_ptr<grpc::ChannelCredentials> credentials(const std::optional<TlsOptions>& tls) {
  if (!tls) return grpc::InsecureChannelCredentials();
  grpc::SslCredentialsOptions options;
  options.pem_root_certs = read_file(tls->ca_file);
  options.pem_cert_chain = read_file(tls->certificate_file);
  options.pem_private_key = read_file(tls->key_file);
  return grpc::SslCredentials(options);
}

}  // namespace

std::shared_ptr<grpc::Channel> connect(const Options& options, bool apart) {
  grpc::ChannelArguments arguments;
  arguments.SetUserAgentPrefix(options.user_agent);
  // The retries of a call are of no use if the channel waits longer than they do.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1'000);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  if (may_be_several(options.server)) arguments.SetServiceConfigJSON(kAmongServers);
  // Servers that are replaced one after the other have new addresses sooner than the 30 s for which
  // gRPC would otherwise go on with what it knows.
  arguments.SetInt(GRPC_ARG_DNS_MIN_TIME_BETWEEN_RESOLUTIONS_MS, 1'000);
  if (apart) arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  // A page of a thousand whole orders is larger than the default of 4 MiB.
  arguments.SetMaxReceiveMessageSize(std::numeric_limits<int>::max());
  if (options.tls && !options.tls->server_name.empty()) {
    arguments.SetSslTargetNameOverride(options.tls->server_name);
  }
  return grpc::CreateCustomChannel(options.server, credentials(options.tls), arguments);
}

Options with_key(Options options) {
  if (options.api_key.empty() && !options.api_key_file.empty()) {
    options.api_key = trimmed(read_file(options.api_key_file));
    if (options.api_key.empty()) {
      throw std::runtime_error("the file " + options.api_key_file + " holds no API key");
    }
  }
  return options;
}

void add_key(grpc::ClientContext& context, const Options& options) {
  if (!options.api_key.empty()) context.AddMetadata("authorization", "Bearer " + options.api_key);
}

}  // namespace orderd::client::internal
