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

#endif
