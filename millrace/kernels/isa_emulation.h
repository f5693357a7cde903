// For tests that carry out the instructions of a level which this machine lacks.
#pragma once

#include "millrace/kernels/isa.h"

namespace millrace {

/// set_isa without asking whether the machine has the level.
void emulate_isa(Isa level);

}  // namespace millrace
