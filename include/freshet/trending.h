/*
 * trending.h -- the options of decayed popularity: what users have touched lately, whoever asks.
 */
#ifndef FR_TRENDING_H
#define FR_TRENDING_H

#include <stddef.h>

#include "freshet/clock.h"

struct trending_options {
    span_ms half_life; /* > 0; a user counts half so long after the last event on the item. Shapes the state */
};

/*
 * peaks[p] = a score as of `now` that no item in [p TRENDING_PAGE, (p + 1) TRENDING_PAGE) exceeds: for who looks for the highest. Of pages
 * that have items. Thread: any.
 */
enum { TRENDING_PAGE = 4096 };
struct model;
void trending_peaks(const struct model *model, when_ms now, size_t pages, double *peaks);

#endif
