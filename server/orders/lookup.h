#pragma once

#include <algorithm>
#include <map>
#include <string>
#include <string_view>
#include <vector>

// What is configured (order states, delivery states, shipment methods), looked up by id and listed
// by position.

namespace orderd::rules {

template <class Setting>
using SettingMap = std::map<std::string, Setting, std::less<>>;

/// The setting, deleted or not, or null.
template <class Setting>
const Setting* any(const SettingMap<Setting>& settings, std::string_view id) {
  auto it = settings.find(id);
  return it == settings.end() ? nullptr : &it->second;
}

/// The setting, or null if there is none or it has been deleted.
template <class Setting>
const Setting* live(const SettingMap<Setting>& settings, std::string_view id) {
  const auto* found = any(settings, id);
  return found && !found->has_delete_time() ? found : nullptr;
}

/// By position, then by id.
template <class Setting>
std::vector<const Setting*> by_position(const SettingMap<Setting>& settings,
                                        bool include_deleted = false) {
  std::vector<const Setting*> sorted;
  for (const auto& [id, setting] : settings) {
    if (include_deleted || !setting.has_delete_time()) sorted.push_back(&setting);
  }
  // The map is sorted by id.
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const auto* a, const auto* b) { return a->position() < b->position(); });
  return sorted;
}

/// The first live one by position that `wanted` accepts, or null.
template <class Setting, class Predicate>
const Setting* first_live(const SettingMap<Setting>& settings, Predicate wanted) {
  for (const auto* setting : by_position(settings)) {
    if (wanted(*setting)) return setting;
  }
  return nullptr;
}

}  // namespace orderd::rules
