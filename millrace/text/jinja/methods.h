// The tables of methods: what object.name(…) may call on a string, a dictionary or a list.
#pragma once

#include <map>
#include <string_view>

#include "millrace/text/jinja/environment.h"

namespace millrace::jinja {

using Method = Value (*)(Environment&, const Value& self, const Arguments& arguments);
using MethodTable = std::map<std::string_view, Method>;

const MethodTable& string_methods();
const MethodTable& dict_methods();
const MethodTable& list_methods();

}  // namespace millrace::jinja
