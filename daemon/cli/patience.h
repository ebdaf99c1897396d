/*
 * patience.h -- for how long nothing has moved that is awaited.
 *
 *     look    awaited, 0 moved    3 moved    3    3    not awaited    3
 *     clock   begins              anew       |    |    anew           |      over: it has run for longer than it may
 *
 * Zeroed, it has not been looked at: its clock begins with the first look, whatever is awaited then.
 *
 * What is left of something has moved when it becomes less. It may become more, too, as what a daemon has yet to apply does when the
 * daemon crashes, and then the same ground is gone over again: that is moving, but once, or one that crashes at 6 for ever would be
 * waited for for ever.
 *
 *     left    9    7    8    7    6    8    7    6    8    7    6    5
 *     moved   0    1    .    2    3    .    4    5    .    .    .    6
 */
#ifndef FR_PATIENCE_H
#define FR_PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

struct patience {
    uint64_t moved, since_ns;
    bool begun;
};

/* moved: how much has, so far. now_ns: of a clock that never goes back. Returns whether it is over. */
static inline bool patience_over(struct patience *patience, uint64_t moved, bool awaited, uint64_t now_ns, uint64_t most_ms)
{
    if (!patience->begun || !awaited || moved != patience->moved)
        *patience = (struct patience){moved, now_ns, true};
    return (now_ns - patience->since_ns) / 1000000U > most_ms;
}

struct ground {
    uint64_t moved, least, low; /* least: ever; low: of what counts now */
    bool begun, again;          /* again: it has been more than the least, since when that counts as moving no second time */
};

/* How often it has moved, with so much left now. Zeroed, it begins. */
static inline uint64_t ground_gained(struct ground *ground, uint64_t left)
{
    if (!ground->begun) {
        *ground = (struct ground){.least = left, .low = left, .begun = true};
    } else if (left < ground->low) {
        ground->moved++;
        ground->low = left;
        if (left < ground->least) {
            ground->least = left;
            ground->again = false;
        }
    } else if (left > ground->low && !ground->again) {
        ground->low = left;
        ground->again = true;
    }
    return ground->moved;
}

#endif
