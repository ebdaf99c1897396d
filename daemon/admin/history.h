/*
 * history.h -- what the metrics were: samples of the last hour and the last day, for the page's charts.
 *
 *     registry --gather--> reading (raw: counts, gauges, buckets)
 *                             |  with the reading one step before
 *                             v
 *     track   [ sample | sample | ... | sample ]   10 s x 360: an hour
 *     track   [ sample | sample | ... | sample ]   5 min x 288: a day
 *
 * A sample has a number for each column: a gauge as it stood, a counter as a rate over the step, a histogram as the median
 * and the 99th percentile of what it observed in the step. A column appears when there is something to tell of it, and
 * what it has no number for is NaN. Nothing grows but to HISTORY_COLUMNS_MAX columns: all is about a third of a megabyte.
 *
 * Thread: the owner's; page.c holds a lock around it.
 */
#ifndef FR_HISTORY_H
#define FR_HISTORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "freshet/clock.h"

enum { HISTORY_COLUMNS_MAX = 96, HISTORY_NAME_MAX = 64 };
enum history_span { HISTORY_HOUR, HISTORY_DAY, HISTORY_SPANS };
enum { HISTORY_HOUR_SAMPLES = 360, HISTORY_DAY_SAMPLES = 288, HISTORY_DAY_STEPS = 30 /* of the hour's in one of the day's */ };

struct history;
struct history *history_new(span_ms step); /* between two samples of the hour */
void history_free(struct history *history);

/* Looks at the registry and notes what it finds: a sample of the hour if a step has passed, of the day if so many have. Collectors are
 * the caller's to run before. `wall`: Unix time; `mono_ns`: fr_mono_ns. */
void history_sample(struct history *history, when_ms wall, uint64_t mono_ns);

/* As a sample, of the last seconds: what has come since an earlier call of this or of history_sample, 5 to 10 s ago where there was one.
 * Shows each column by its name; returns over how many seconds, 0 if there is nothing yet to compare with. */
typedef void history_see(void *context, const char *name, double number);
double history_now(struct history *history, uint64_t mono_ns, history_see *see, void *context);

/* As Prometheus' histogram_quantile, of counts[bounds_len + 1]: within a bucket observations lie evenly; beyond the last bound it is that
 * bound. NaN: there are none. */
double history_quantile(const uint64_t *counts, const double *bounds, size_t bounds_len, double share);

/* Samples later than `since`, oldest first. */
struct history_view {
    span_ms step;
    size_t len, columns;
    const char *names[HISTORY_COLUMNS_MAX];
};
struct history_view history_view(const struct history *history, enum history_span span, when_ms since);
when_ms history_time(const struct history *history, enum history_span span, const struct history_view *view, size_t at);
double history_number(const struct history *history, enum history_span span, const struct history_view *view, size_t at, size_t column);

#endif
