/*
 * ncf_driver.h -- the driver of event_driver.h with a neural model.
 */
#ifndef FR_NCF_DRIVER_H
#define FR_NCF_DRIVER_H

#include "event_driver.h"
#include "ncf_parts.h"

static inline struct driver *driver_new(const struct ncf_options *options)
{
    return driver_open(&ncf_ops, options, false);
}

#endif
