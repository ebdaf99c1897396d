/*
 * pace.h -- so many a second at most, whenever they come.
 *
 *     ready   a b c d e f               g h i
 *     goes    a . b . c . d . e . f     g . h . i        what nobody used while nothing came is gone, but for a moment's worth:
 *                                                        who waits is woken late, and may make up for that
 */
#ifndef FR_PACE_H
#define FR_PACE_H

#include <stdint.h>

enum { PACE_MOMENT_NS = 50000000 };

struct pace { /* zeroed: nothing has gone yet */
    uint64_t due_ns;
};

/* When the next one may go, which is ready now: then, if that is past. rate: of a second, not 0. now_ns: of a clock that never goes back. */
static inline uint64_t pace_next(struct pace *pace, uint64_t rate, uint64_t now_ns)
{
    uint64_t moment_ago = now_ns > PACE_MOMENT_NS ? now_ns - PACE_MOMENT_NS : 0, at = pace->due_ns ? pace->due_ns : now_ns;

    at = at > moment_ago ? at : moment_ago;
    pace->due_ns = at + 1000000000U / rate + (1000000000U % rate != 0);
    return at;
}

#endif
