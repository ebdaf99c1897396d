/*
 * sim.h -- the engine's threads as coroutines under a clock of our own, so that a run is the same every time.
 *
 *     main       feed a batch ......... wait                              look
 *     engine                 apply, freeze ... wait          ... wait
 *     checkpoint                            write ... sync ... wait
 *                ------------------------------------------------------> one at a time, in an order that the seed chooses
 *
 * The linker puts sim.c in the place of fr_thread_start(_nice) and fr_thread_join, of the condition variables' calls and of the clocks
 * (-Wl,--wrap=..., tests/replay/CMakeLists.txt), so the product is tested as it is. Whoever waits for a condition lets somebody
 * else run; when all wait, time jumps to the earliest deadline. No test sleeps, and a retry after 5 s costs nothing.
 *
 * Threads of libraries (RocksDB's) are not ours and run as ever. Thread: the one that called sim_begin.
 */
#ifndef FR_SIM_H
#define FR_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "freshet/clock.h"

/* From here on threads are coroutines. Again: the same threads, another order. */
void sim_begin(uint64_t seed);

/* What fr_wall_ms says. It also goes on with sim_sleep. */
void sim_set_wall(when_ms when);

/* Lets the others run until all of them wait for time to pass or for main. */
void sim_settle(void);
/* At most so many turns of the others, each from one wait to the next. */
void sim_turns(unsigned turns);
/* Lets time pass, and the others do what they have to meanwhile. */
void sim_sleep(span_ms span);

/* Was a line with this event logged since the last sim_log_forget? Nothing is written. */
bool sim_logged(const char *event);
void sim_log_forget(void);

#endif
