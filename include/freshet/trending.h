/*
 * trending.h -- the options of decayed popularity: what users have touched lately, whoever asks.
 */
#ifndef FR_TRENDING_H
#define FR_TRENDING_H

#include "freshet/clock.h"

struct trending_options {
    span_ms half_life; /* > 0; a user counts half so long after the last event on the item. Shapes the state */
};

#endif
