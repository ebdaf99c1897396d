/*
 * metric.c -- the registry: families from metric.def, series made at first use and never freed.
 */
#include "metric_private.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"
#include "freshet/clock.h"

const struct metric_family metric_families[FR_METRICS] = {
#define COUNTER METRIC_COUNTER
#define GAUGE METRIC_GAUGE
#define INFO METRIC_INFO
#define HISTOGRAM METRIC_HISTOGRAM
#define FRESHNESS METRIC_FRESHNESS
#define FR_METRIC(id, type, name, labels, help) [FR_M_##id] = {type, name, labels, help},
#include "freshet/metric.def"
#undef FR_METRIC
#undef COUNTER
#undef GAUGE
#undef INFO
#undef HISTOGRAM
#undef FRESHNESS
};

static const struct metric_buckets latency_buckets = {
    19,
    {.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
};
static const struct metric_buckets freshness_buckets = {
    14,
    {.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300},
};

enum { COLLECTORS_MAX = 32 };

static struct {
    pthread_mutex_t lock; /* of the lists; not of the values */
    struct fr_series *first[FR_METRICS], *last[FR_METRICS];
    struct {
        void (*collect)(void *context);
        void *context;
    } collectors[COLLECTORS_MAX];
    int collectors_len;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Held while collectors run, so that removing one waits until it has returned. */
static pthread_mutex_t collecting = PTHREAD_MUTEX_INITIALIZER;

const struct metric_buckets *metric_buckets_of(enum metric_type type)
{
    return type == METRIC_FRESHNESS ? &freshness_buckets : &latency_buckets;
}

static bool is_histogram(enum fr_metric family)
{
    return metric_families[family].type >= METRIC_HISTOGRAM;
}

static struct fr_series *make(enum fr_metric family, const char *const *labels)
{
    struct fr_series *series = fr_zalloc(1, sizeof(*series));

    series->family = family;
    for (int i = 0; i < METRIC_LABELS_MAX; i++)
        series->label[i] = fr_strdup(labels[i]);
    if (is_histogram(family)) {
        size_t buckets = metric_buckets_of(metric_families[family].type)->len + 1;
        series->bucket = fr_zalloc(buckets, sizeof(*series->bucket));
        series->exemplar = fr_zalloc(buckets, sizeof(*series->exemplar));
    }
    /* Whoever walks the family without the lock finds the series complete. */
    if (registry.last[family])
        atomic_store_explicit(&registry.last[family]->next, series, memory_order_release);
    else
        registry.first[family] = series;
    registry.last[family] = series;
    return series;
}

static struct fr_series *find_or_make(enum fr_metric family, const char *const *labels)
{
    struct fr_series *series;

    pthread_mutex_lock(&registry.lock);
    for (series = registry.first[family]; series; series = metric_next(series)) {
        int same = 0;
        while (same < METRIC_LABELS_MAX && strcmp(series->label[same], labels[same]) == 0)
            same++;
        if (same == METRIC_LABELS_MAX)
            break;
    }
    if (!series)
        series = make(family, labels);
    pthread_mutex_unlock(&registry.lock);
    return series;
}

struct fr_series *fr_series(enum fr_metric family, const char *first, const char *second, const char *third)
{
    return find_or_make(family, (const char *const[]){first, second, third, "", ""});
}

struct fr_series *fr_series_of(enum fr_metric family, const char *const *labels, size_t labels_len)
{
    const char *all[METRIC_LABELS_MAX] = {"", "", "", "", ""};

    assert(labels_len <= METRIC_LABELS_MAX);
    memcpy(all, labels, labels_len * sizeof(*labels));
    return find_or_make(family, all);
}

struct fr_series *metric_first(enum fr_metric family)
{
    if (!*metric_families[family].labels)
        return FR_SERIES(family);
    pthread_mutex_lock(&registry.lock);
    struct fr_series *series = registry.first[family];
    pthread_mutex_unlock(&registry.lock);
    return series;
}

struct fr_series *metric_next(const struct fr_series *series)
{
    return atomic_load_explicit(&series->next, memory_order_acquire);
}

/* ---- values ---- */

static uint64_t bits_of(double value)
{
    uint64_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

double metric_real(const struct fr_series *series)
{
    uint64_t bits = atomic_load_explicit(&series->real, memory_order_relaxed);
    double value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

static void add_real(struct fr_series *series, double by)
{
    uint64_t before = atomic_load_explicit(&series->real, memory_order_relaxed);
    double value;

    do {
        memcpy(&value, &before, sizeof(value));
    } while (!atomic_compare_exchange_weak_explicit(&series->real, &before, bits_of(value + by), memory_order_relaxed,
                                                    memory_order_relaxed));
}

void fr_count(struct fr_series *series, uint64_t by)
{
    atomic_fetch_add_explicit(&series->whole, by, memory_order_relaxed);
}

void fr_count_is(struct fr_series *series, double value)
{
    atomic_store_explicit(&series->real, bits_of(value), memory_order_relaxed);
}

void fr_gauge(struct fr_series *series, double value)
{
    atomic_store_explicit(&series->real, bits_of(value), memory_order_relaxed);
}

void fr_gauge_add(struct fr_series *series, double by)
{
    add_real(series, by);
}

/* Counts it; returns the bucket. */
static size_t observe(struct fr_series *series, double seconds)
{
    const struct metric_buckets *buckets = metric_buckets_of(metric_families[series->family].type);
    size_t at = 0;

    assert(series->bucket && seconds == seconds);
    while (at < buckets->len && seconds > buckets->bound[at])
        at++;
    atomic_fetch_add_explicit(&series->bucket[at], 1, memory_order_relaxed);
    add_real(series, seconds);
    atomic_fetch_add_explicit(&series->whole, 1, memory_order_relaxed);
    return at;
}

/* Two clocks may disagree; a sum must not fall. */
static double not_negative(double seconds)
{
    return seconds < 0 ? 0 : seconds;
}

void fr_observe(struct fr_series *series, double seconds)
{
    observe(series, not_negative(seconds));
}

void fr_observe_with(struct fr_series *series, double seconds, const char *labels)
{
    struct exemplar exemplar = {.value = not_negative(seconds), .when_ms = fr_wall_ms()};
    size_t at = observe(series, exemplar.value), len = strlen(labels);

    if (len > sizeof(exemplar.labels))
        return;
    memcpy(exemplar.labels, labels, len);
    exemplar_put(&series->exemplar[at], &exemplar);
}

double fr_series_value(const struct fr_series *series)
{
    double whole = (double)atomic_load_explicit(&series->whole, memory_order_relaxed);

    return is_histogram(series->family) ? whole : whole + metric_real(series);
}

/* ---- collectors ---- */

void fr_metric_collector(void (*collect)(void *context), void *context)
{
    pthread_mutex_lock(&collecting);
    assert(registry.collectors_len < COLLECTORS_MAX);
    registry.collectors[registry.collectors_len].collect = collect;
    registry.collectors[registry.collectors_len++].context = context;
    pthread_mutex_unlock(&collecting);
}

void fr_metric_collector_remove(void (*collect)(void *context), void *context)
{
    pthread_mutex_lock(&collecting);
    for (int i = 0; i < registry.collectors_len; i++)
        if (registry.collectors[i].collect == collect && registry.collectors[i].context == context) {
            memmove(&registry.collectors[i], &registry.collectors[i + 1],
                    (size_t)(--registry.collectors_len - i) * sizeof(registry.collectors[0]));
            break;
        }
    pthread_mutex_unlock(&collecting);
}

void metric_collect(void)
{
    pthread_mutex_lock(&collecting);
    for (int i = 0; i < registry.collectors_len; i++)
        registry.collectors[i].collect(registry.collectors[i].context);
    pthread_mutex_unlock(&collecting);
}
