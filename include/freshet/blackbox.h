/*
 * blackbox.h -- which record a thread had in hand when it crashed; one that has crashed the process three times is not tried again.
 *
 *     feed: decode    fr_flight_of(partition, offset)  ... fr_flight_over()        two stores to the thread's own memory
 *     engine: apply                  |
 *                                    v  SIGSEGV SIGBUS SIGFPE SIGILL SIGABRT, in that thread
 *     <data directory>/blackbox   [ partition, offset, times ] ...  a mapped file: survives the process
 *                                    |
 *     next start                     '--> times = 3: fr_box_convicts, dead-lettered undecoded
 *
 * Only a crash of the very thread that has the record in hand counts, and only one that it caused itself: kill -9, the
 * kernel's OOM killer, a power cut, a hang, and crashes of other threads blame nobody. So no number of random kills
 * convicts an innocent record, and a record that kills by eating all memory is not found.
 * A clean end forgets all suspects, and so does whoever steps past a record.
 */
#ifndef FR_BLACKBOX_H
#define FR_BLACKBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/err.h"

enum { FR_BOX_TIMES = 3, FR_BOX_SUSPECTS = 64 };

/* What this thread has in hand. Read by the handler, on the same thread. */
struct fr_flight {
    volatile uint32_t partition; /* the engine's index */
    volatile int64_t offset;     /* -1: nothing */
};
extern _Thread_local struct fr_flight fr_flight;

static inline void fr_flight_of(uint32_t partition, int64_t offset)
{
    fr_flight.partition = partition;
    fr_flight.offset = offset;
}

static inline void fr_flight_over(void)
{
    fr_flight.offset = -1;
}

/* Maps the file, made or made anew if it is none of ours, and sets the handlers. `forget`: the log is another one. Thread: main,
 * before the threads that have records in hand. */
int fr_box_open(const char *path, bool forget, struct fr_err *err);
void fr_box_close(bool clean); /* clean: all suspects are innocent. Thread: main, after those threads */

/* Thread: feed. */
bool fr_box_convicts(uint32_t partition, int64_t offset);
void fr_box_passed(uint32_t partition, int64_t next); /* the store is past all before `next`: none of them is in hand again */

#endif
