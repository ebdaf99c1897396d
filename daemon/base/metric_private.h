/*
 * metric_private.h -- what metric.c and exemplar.c keep and metric_text.c writes.
 */
#ifndef FR_METRIC_PRIVATE_H
#define FR_METRIC_PRIVATE_H

#include <stdatomic.h>
#include <stddef.h>

#include "freshet/metric.h"

enum { METRIC_LABELS_MAX = 5, METRIC_BUCKETS_MAX = FR_METRIC_BOUNDS_MAX };
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_INFO, METRIC_HISTOGRAM, METRIC_FRESHNESS };

struct metric_family {
    enum metric_type type;
    const char *name, *labels, *help;
};
extern const struct metric_family metric_families[FR_METRICS];

struct metric_buckets {
    size_t len;
    double bound[METRIC_BUCKETS_MAX];
};
/* The upper bounds of a family's buckets; +Inf is not among them. */
const struct metric_buckets *metric_buckets_of(enum metric_type type);

/* exemplar.c: the newest observation of a bucket that could be looked up elsewhere. */
struct exemplar {
    char labels[FR_EXEMPLAR_MAX]; /* ended by a 0 unless it is full */
    double value;
    int64_t when_ms; /* Unix */
};
enum { EXEMPLAR_WORDS = sizeof(struct exemplar) / sizeof(uint64_t) };
struct exemplar_slot {
    _Atomic uint64_t version; /* 0: nothing yet; odd: being written */
    _Atomic uint64_t word[EXEMPLAR_WORDS];
};
void exemplar_put(struct exemplar_slot *slot, const struct exemplar *exemplar);
bool exemplar_get(struct exemplar_slot *slot, struct exemplar *ret_exemplar); /* false: there is none, or it changes too fast */

struct fr_series {
    enum fr_metric family;
    char *label[METRIC_LABELS_MAX];
    _Atomic uint64_t whole; /* counters: exact; histograms: observations */
    _Atomic uint64_t real;  /* bits of a double: gauges, counters that are set, a histogram's sum */
    _Atomic uint64_t *bucket; /* histograms: len + 1, not cumulative */
    struct exemplar_slot *exemplar; /* of each bucket */
    _Atomic(struct fr_series *) next; /* of the family, in order of making */
};

/* The first series of the family; every unlabelled family has one. */
struct fr_series *metric_first(enum fr_metric family);
/* The one after it, or NULL. Takes no lock. */
struct fr_series *metric_next(const struct fr_series *series);
double metric_real(const struct fr_series *series);
void metric_collect(void); /* runs every collector */

#endif
