#pragma once

#include <gmime/gmime.h>

#include <memory>

// Owners of what GMime allocates.

namespace orderd::notify {

struct Unref {
  void operator()(gpointer object) const { g_object_unref(object); }
};
template <typename T>
using Ref = std::unique_ptr<T, Unref>;

struct Free {
  void operator()(gpointer memory) const { g_free(memory); }
};
using OwnedText = std::unique_ptr<char, Free>;

/// To be called before anything else of GMime. Thread-safe.
void start_gmime();

}  // namespace orderd::notify
