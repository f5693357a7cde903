// object.name, object[key] and object[start:stop:step]. What does not exist is Undefined.
#pragma once

#include "millrace/text/jinja/environment.h"

namespace millrace::jinja {

/// object.name: a method or member first, then the entry under that key. Throws Error when the
/// object is undefined itself.
Value get_attribute(Environment& environment, const Value& object, std::string_view name);

/// object[key]: the entry or item first, then a method or member of that name.
Value get_item(Environment& environment, const Value& object, const Value& key);

/// object[start:stop:step], each an integer or none. Throws Error when the object has no slices.
Value get_slice(Environment& environment, const Value& object, const Value& start,
                const Value& stop, const Value& step);

}  // namespace millrace::jinja
