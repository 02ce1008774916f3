#pragma once

#include <span>
#include <string>
#include <string_view>

#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/util/field_mask_util.h>

#include "server/orders/errors.h"
#include "server/orders/fields.h"
#include "server/orders/text.h"

// What the calls that change the configuration have in common.

namespace orderd::rules {

template <class Request>
void check_settings_call(const Request& request, errors::Violations& violations) {
  check_request_id(request.request_id(), violations);
  check_etag(request.settings_etag(), "settings_etag", violations);
}

/// Adds a violation unless it is 1 to 64 of a-z, 0-9, "-" and "_", starting with a letter.
void check_slug(std::string_view text, const std::string& field, errors::Violations& violations);

/// Adds a violation if the mask is empty, and for each path that is not changeable.
void check_mask(const google::protobuf::FieldMask& mask,
                std::span<const std::string_view> changeable, errors::Violations& violations);

/// The setting, with the wanted values of what the mask names.
template <class Setting>
Setting merged(Setting setting, const Setting& wanted, const google::protobuf::FieldMask& mask) {
  google::protobuf::util::FieldMaskUtil::MergeOptions replace;
  replace.set_replace_message_fields(true);
  google::protobuf::util::FieldMaskUtil::MergeMessageTo(wanted, mask, replace, &setting);
  return setting;
}

}  // namespace orderd::rules
