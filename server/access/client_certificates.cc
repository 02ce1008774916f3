#include "server/access/client_certificates.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <optional>
#include <stdexcept>
#include <unordered_map>
#include <utility>
#include <vector>

#include "server/access/openssl.h"
#include "server/access/roles.h"
#include "server/orders/text.h"

namespace orderd::access {
namespace {

using Clock = std::chrono::steady_clock;

/// A certificate that has been verified is good for so long.
constexpr std::chrono::seconds kVerified{10};
constexpr std::size_t kMaxRemembered = 4096;
/// Of the columns that identities are stored in.
constexpr std::size_t kMaxIdentity = 255;

using StorePtr = std::unique_ptr<X509_STORE, Free<X509_STORE_free>>;
using ContextPtr = std::unique_ptr<X509_STORE_CTX, Free<X509_STORE_CTX_free>>;

struct NamesFree {
  void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};
/// The certificates are not owned by it.
struct StackFree {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};

std::string text_of(const ASN1_STRING* text) {
  unsigned char* utf8 = nullptr;
  const int size = ASN1_STRING_to_UTF8(&utf8, text);
  if (size < 0) return {};
  std::string result(reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size));
  OPENSSL_free(utf8);
  return result;
}

std::string name_of(X509* certificate) {
  const std::unique_ptr<GENERAL_NAMES, NamesFree> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  for (const int type : {GEN_URI, GEN_DNS}) {
    for (int i = 0; names != nullptr && i < sk_GENERAL_NAME_num(names.get()); ++i) {
      const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
      if (name->type == type) return text_of(name->d.ia5);
    }
  }
  X509_NAME* subject = X509_get_subject_name(certificate);
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  return at < 0 ? std::string()
                : text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

/// Nothing if the certificate has no name that can be written into a line.
std::optional<std::string> identity_of(X509* certificate) {
  const std::string name = name_of(certificate);
  errors::Violations violations;
  rules::check_number(name, 1, kMaxIdentity, "name", violations);
  const std::string identity = "cert:" + name;
  if (!violations.empty() || rules::trimmed(name) != name || identity.size() > kMaxIdentity) {
    return std::nullopt;
  }
  return identity;
}

std::string_view why_not(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "expired certificate";
    case X509_V_ERR_CERT_REVOKED:
      return "revoked certificate";
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
      return "no current revocation list of the certificate's CA";
    default:
      return "certificate that is not trusted";
  }
}

}  // namespace

struct ClientCertificates::Trust {
  struct Verified {
    Identified identified;
    Clock::time_point until;
  };

  StorePtr store;
  std::map<std::string, pb::Role, std::less<>> roles;
  std::mutex mutex;  // guards what follows
  std::unordered_map<std::string, Verified> verified;

  Identified verify(std::string_view chain) const;
};

Identified ClientCertificates::Trust::verify(std::string_view pem) const {
  std::vector<CertificatePtr> chain;
  try {
    chain = parse_certificates(pem, "");
  } catch (const std::runtime_error&) {
    return {std::nullopt, "malformed certificate"};
  }
  const std::unique_ptr<STACK_OF(X509), StackFree> others(sk_X509_new_null());
  for (const CertificatePtr& certificate : chain) sk_X509_push(others.get(), certificate.get());
  const ContextPtr context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), chain.front().get(), others.get());
  X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_CLIENT);
  const bool good = X509_verify_cert(context.get()) == 1;
  const int error = X509_STORE_CTX_get_error(context.get());
  ERR_clear_error();
  if (!good) return {std::nullopt, why_not(error)};
  const auto identity = identity_of(chain.front().get());
  if (!identity) return {std::nullopt, "certificate without a usable name"};
  const auto it = roles.find(*identity);
  return {Caller{*identity, it == roles.end() ? pb::ROLE_UNSPECIFIED : it->second}, {}};
}

std::shared_ptr<ClientCertificates::Trust> ClientCertificates::load(const Files& files) {
  auto trust = std::make_shared<Trust>();
  trust->store.reset(X509_STORE_new());
  for (const auto& ca : parse_certificates(read_file(files.ca), "the file " + files.ca)) {
    X509_STORE_add_cert(trust->store.get(), ca.get());
  }
  if (!files.crl.empty()) {
    for (const auto& crl : parse_crls(read_file(files.crl), "the file " + files.crl)) {
      X509_STORE_add_crl(trust->store.get(), crl.get());
    }
    X509_STORE_set_flags(trust->store.get(), X509_V_FLAG_CRL_CHECK);
  }
  trust->roles = parse_client_roles(read_file(files.roles), "the file " + files.roles);
  return trust;
}

ClientCertificates::ClientCertificates(Files files)
    : files_(std::move(files)), stamps_({files_.ca, files_.roles, files_.crl}) {
  stamps_.changed();
  trust_ = load(files_);
}

ClientCertificates::~ClientCertificates() = default;

void ClientCertificates::refresh() {
  if (!stamps_.changed()) return;
  try {
    auto fresh = load(files_);
    {
      std::lock_guard lock(mutex_);
      trust_ = std::move(fresh);
    }
    spdlog::info("client certificates: CAs, roles and revocations are read again");
  } catch (const std::runtime_error& error) {
    spdlog::error("client certificates: CAs, roles and revocations stay as they were, since {}",
                  error.what());
  }
}

Identified ClientCertificates::identify(std::string_view chain) const {
  std::shared_ptr<Trust> trust;
  {
    std::lock_guard lock(mutex_);
    trust = trust_;
  }
  std::string key(chain);
  const auto now = Clock::now();
  {
    std::lock_guard lock(trust->mutex);
    const auto it = trust->verified.find(key);
    if (it != trust->verified.end() && now < it->second.until) return it->second.identified;
  }
  const Identified identified = trust->verify(chain);
  std::lock_guard lock(trust->mutex);
  if (trust->verified.size() >= kMaxRemembered) trust->verified.clear();
  trust->verified.insert_or_assign(std::move(key), Trust::Verified{identified, now + kVerified});
  return identified;
}

std::map<std::string, pb::Role, std::less<>> parse_client_roles(std::string_view text,
                                                                const std::string& what) {
  std::map<std::string, pb::Role, std::less<>> roles;
  int number = 0;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view line = rules::trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (line.empty() || line.front() == '#') continue;
    // A common name may have spaces.
    const auto space = line.find_last_of(" \t");
    const auto role = role_of(space == line.npos ? std::string_view() : line.substr(space + 1));
    const std::string identity(rules::trimmed(line.substr(0, std::min(space, line.size()))));
    if (!role || identity.empty()) {
      throw std::runtime_error(what + ", line " + std::to_string(number) +
                               ": is not IDENTITY ROLE, e.g. cert:spiffe://example.org/portal "
                               "operator; roles are viewer, operator, finance and admin");
    }
    if (!roles.emplace(identity, *role).second) {
      throw std::runtime_error(what + ", line " + std::to_string(number) +
                               ": the identity has a role already");
    }
  }
  return roles;
}

}  // namespace orderd::access
