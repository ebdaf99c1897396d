/*
 * breaker.h -- is so much of a partition poison that it is rather the producer, or we, who have changed?
 *
 *     the last 10,000 records   ..x...x.xx....x   more than percent of 10,000 of them poison: trips
 *
 * A window that is not yet full counts as if the rest were good, so 500 bad records (at 5 percent) are needed in any case. It begins
 * with the first bad record since the start: a restart is a new window, and goes on.
 * Thread: feed.
 */
#ifndef FR_BREAKER_H
#define FR_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

enum { BREAKER_WINDOW = 10000 };

struct breaker {
    uint32_t at;     /* the oldest record's bit, the next to be replaced */
    uint32_t poison; /* bits set */
    uint64_t bits[(BREAKER_WINDOW + 63) / 64];
};

/* Notes one record; true when it trips. *breaker is NULL until there was poison, and free()d by whoever owns it. */
bool breaker_trips(struct breaker **breaker, bool poison, unsigned percent);

#endif
