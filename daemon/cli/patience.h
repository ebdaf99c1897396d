/*
 * patience.h -- for how long nothing has moved that is awaited.
 *
 *     look    awaited, 0 moved    3 moved    3    3    not awaited    3
 *     clock   begins              anew       |    |    anew           |      over: it has run for longer than it may
 *
 * Zeroed, it has not been looked at: its clock begins with the first look, whatever is awaited then.
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

#endif
