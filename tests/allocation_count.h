// Counts what this test program allocates, so that a test can tell what a parser asked for.
#pragma once

#include <cstddef>

namespace millrace {

/// Bytes that operator new was asked for since the program's start.
size_t allocated_bytes();

}  // namespace millrace
