/*
 * fm_driver.h -- the driver of event_driver.h with a factorization machine.
 */
#ifndef FR_FM_DRIVER_H
#define FR_FM_DRIVER_H

#include "event_driver.h"
#include "fm_parts.h"

static inline struct driver *driver_new(const struct fm_options *options)
{
    return driver_open(&fm_ops, options, options->loss == FM_SQUARED);
}

static inline struct fm_options fm_small(enum fm_loss loss)
{
    struct fm_options options = fm_defaults;

    options.loss = loss;
    options.features_max = 1000;
    return options;
}

static inline struct model_stats fm_stats_of(const struct driver *driver)
{
    struct model_stats stats;

    fm_ops.stats(driver->model, &stats);
    return stats;
}

#endif
