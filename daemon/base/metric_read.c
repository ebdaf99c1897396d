/*
 * metric_read.c -- the registry for those within the daemon who want numbers, not text (metric.h).
 */
#include "metric_private.h"

void fr_metric_collect(void)
{
    metric_collect();
}

void fr_metric_each(enum fr_metric family, void (*see)(void *context, const struct fr_reading *reading), void *context)
{
    bool histogram = metric_families[family].type >= METRIC_HISTOGRAM;
    const struct metric_buckets *buckets = metric_buckets_of(metric_families[family].type);

    for (const struct fr_series *series = metric_first(family); series; series = metric_next(series)) {
        uint64_t counts[METRIC_BUCKETS_MAX + 1];
        struct fr_reading reading = {.labels = (const char *const *)series->label};

        if (!histogram) {
            reading.value = fr_series_value(series);
        } else {
            reading.counts = counts;
            reading.bounds = buckets->bound;
            reading.bounds_len = buckets->len;
            reading.sum = metric_real(series);
            for (size_t i = 0; i <= buckets->len; i++) {
                counts[i] = atomic_load_explicit(&series->bucket[i], memory_order_relaxed);
                reading.value += (double)counts[i];
            }
        }
        see(context, &reading);
    }
}
