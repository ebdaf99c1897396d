/*
 * metric.h -- counters, gauges and histograms, once each, with their sentence (metric.def).
 *
 * A family is a row of metric.def; a series is a family with label values. Series are made once and kept;
 * adding to one is a relaxed atomic, no lock. Label values come from our own bounded sets, never from
 * user, item or event ids. An exemplar, one observation of a bucket that may be looked up elsewhere, may name anything:
 * there is one for each bucket, and it is no series.
 *
 * Thread: any.
 */
#ifndef FR_METRIC_H
#define FR_METRIC_H

#include <stdbool.h>
#include <stdint.h>

#include "freshet/codec.h"

enum fr_metric {
#define FR_METRIC(id, type, name, labels, help) FR_M_##id,
#include "freshet/metric.def"
#undef FR_METRIC
    FR_METRICS
};

struct fr_series;

/* The series of a family with these label values, in the order of metric.def, made at its first use (0);
 * pass "" for labels the family does not have. Keep the pointer: this takes a lock. */
struct fr_series *fr_series(enum fr_metric family, const char *first, const char *second, const char *third);
/* The same for any number of labels: freshet_build_info has five. */
struct fr_series *fr_series_of(enum fr_metric family, const char *const *labels, size_t labels_len);
#define FR_SERIES(family) fr_series((family), "", "", "")

void fr_count(struct fr_series *series, uint64_t by);      /* counters only grow */
void fr_gauge(struct fr_series *series, double value);
void fr_gauge_add(struct fr_series *series, double by);
void fr_observe(struct fr_series *series, double seconds); /* histograms */
/* The same, and OpenMetrics shows it as its bucket's exemplar until the next one comes. `exemplar` is its labels as text,
 * trace_id="...", copied; one longer than FR_EXEMPLAR_MAX bytes is counted and not shown (OpenMetrics' limit is 128). */
enum { FR_EXEMPLAR_MAX = 128 };
void fr_observe_with(struct fr_series *series, double seconds, const char *exemplar);
/* Sets a counter that somebody else counts (process_cpu_seconds_total, RocksDB's own). */
void fr_count_is(struct fr_series *series, double value);
double fr_series_value(const struct fr_series *series);    /* histograms: the number of observations */

/* Runs before each scrape, to bring gauges up to date. At most 32; never while it is being removed. */
void fr_metric_collector(void (*collect)(void *context), void *context);
void fr_metric_collector_remove(void (*collect)(void *context), void *context);

/* Runs the collectors, as a scrape does. */
void fr_metric_collect(void);
/* One series as it stands; borrowed while it is shown. */
enum { FR_METRIC_BOUNDS_MAX = 20 };
struct fr_reading {
    const char *const *labels; /* in the order of metric.def, then "" */
    double value;              /* histograms: the number of observations, all of `counts` together */
    double sum;                /* histograms: of what was observed */
    const double *bounds;      /* histograms: counts[i] observed more than bounds[i - 1] and at most bounds[i], */
    const uint64_t *counts;    /* and counts[bounds_len] more than all bounds */
    size_t bounds_len;         /* at most FR_METRIC_BOUNDS_MAX */
};
/* Shows every series of a family, in the order they were made. Runs no collector. */
void fr_metric_each(enum fr_metric family, void (*see)(void *context, const struct fr_reading *reading), void *context);

/* All families, Prometheus text 0.0.4 or OpenMetrics 1.0 (with units, exemplars and # EOF). */
void fr_metric_write(struct fr_writer *out, bool openmetrics);

#endif
