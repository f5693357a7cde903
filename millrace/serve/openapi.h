// The service's description for programs (OpenAPI 3.1), served at /openapi.json.
#pragma once

#include "millrace/base/json.h"

namespace millrace::serve {

/// Every route with the fields that it reads, their types and bounds. tests/serve/ holds the
/// routes to it.
Json openapi_document();

}  // namespace millrace::serve
