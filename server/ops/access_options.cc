#include "server/ops/options.h"

namespace orderd::ops {

AccessOptions::AccessOptions(CLI::App& app, Config& config) : access_(config.access) {
  app.add_option("--admin-key-file", access_.admin_key_file,
                 "A file with a key of an admin (at least 32 characters), or env:VARIABLE: to make "
                 "the first keys with, and as a way back in")
      ->envname("ORDERD_ADMIN_KEY_FILE");
  app.add_option("--audit-log", access_.audit_log,
                 "A file to which each call is written: who, what, let in or not; JSON lines, "
                 "reopened at SIGHUP")
      ->envname("ORDERD_AUDIT_LOG");
}

}  // namespace orderd::ops
