// AMX for processors that lack it.
#pragma once

namespace millrace {

/// From now on the tile instructions that the loops use are carried out in this process by a
/// handler of the signal that the processor sends for instructions it does not know. They follow
/// Intel's manual (Software Developer's Manual, volume 2); what the manual forbids aborts. Only for
/// Linux on x86-64; elsewhere nothing happens.
void emulate_amx();

}  // namespace millrace
