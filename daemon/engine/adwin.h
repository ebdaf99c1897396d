/*
 * adwin.h -- has the share of hits changed? A window over a stream of 0 and 1 that is as long as nothing speaks against it.
 *
 *     oldest   [ 4 4 ] [ 2 2 2 ] [ 1 1 1 1 ]   newest        buckets of 2^level outcomes; how many of them were hits
 *                    |
 *              the oldest goes, as long as the window can be cut somewhere into two whose means differ by more than chance
 *              allows: |mean0 - mean1| > sqrt(2 m v L) + 2/3 L m,   m = 1/n0 + 1/n1,  L = ln(2 ln(n) / delta),  v = mean (1 - mean)
 *
 * Bifet and Gavalda, Learning from Time-Changing Data with Adaptive Windowing (2007), with its exponential histogram: a few hundred
 * bytes whatever the length. For 0 and 1 the variance of a bucket follows from its sum, so the sums are all there is.
 *
 * Thread: the owner's.
 */
#ifndef FR_ADWIN_H
#define FR_ADWIN_H

#include <stdbool.h>
#include <stdint.h>

#include "freshet/codec.h"

enum { ADWIN_LEVELS = 32, ADWIN_BUCKETS = 5 };

struct adwin { /* zeroed: empty */
    uint32_t sums[ADWIN_LEVELS][ADWIN_BUCKETS + 1]; /* by level, the oldest first; one more while it is being merged */
    uint8_t len[ADWIN_LEVELS];
    uint32_t ticks; /* outcomes until the next look are 32 - ticks */
    uint64_t width, total;
};

struct adwin_change {
    double before, after; /* means of what was dropped; of what is left */
};
/* True: the share has changed, and the window begins anew behind the change. */
bool adwin_add(struct adwin *adwin, bool hit, struct adwin_change *ret_change);

void adwin_write(const struct adwin *adwin, struct fr_writer *out);
bool adwin_read(struct adwin *adwin, struct fr_reader *in); /* false: cannot be ours */

#endif
