// Work-items that wait for each other at a barrier: fibers on one thread, switched by hand on x86-64.
#pragma once
#include <cstddef>

// Runs `body(user, i)` for i in 0..n as fibers, in an order that changes from phase to phase. A body calls `pause`
// to wait until all have; gives false when some finished while others wait.
bool run_fibers(unsigned n, void (*body)(void *user, unsigned i), void *user, bool backwards, unsigned long *lines);
// Inside a body: waits for the group at the barrier of source line `line`.
void fiber_pause(unsigned long line);
// Which fiber is running, and whether one is.
unsigned fiber_index();
bool in_fiber();
