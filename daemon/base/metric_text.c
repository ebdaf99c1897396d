/*
 * metric_text.c -- the registry as text: Prometheus 0.0.4, or OpenMetrics 1.0.
 *
 *     # HELP freshet_events_applied_total Events learned, by configured type or other.
 *     # TYPE freshet_events_applied_total counter
 *     freshet_events_applied_total{type="click"} 41
 *
 * OpenMetrics names a counter's family without _total and ends with # EOF.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "metric_private.h"

static const char *const type_names[] = {"counter", "gauge", "histogram", "histogram"};

static void put_escaped(struct fr_writer *out, const char *text, bool quotes)
{
    for (; *text; text++) {
        if (*text == '\\')
            fr_put_bytes(out, "\\\\", 2);
        else if (*text == '\n')
            fr_put_bytes(out, "\\n", 2);
        else if (*text == '"' && quotes)
            fr_put_bytes(out, "\\\"", 2);
        else
            fr_put_u8(out, (uint8_t)*text);
    }
}

/* {a="x",b="y",le="0.1"}; nothing when there is no label. */
static void put_labels(struct fr_writer *out, const struct fr_series *series, const char *le)
{
    const char *names = metric_families[series->family].labels;
    const char *before = "{";

    for (int i = 0; *names; i++) {
        size_t len = strcspn(names, " ");
        fr_put_text(out, "%s%.*s=\"", before, (int)len, names);
        put_escaped(out, series->label[i], true);
        fr_put_u8(out, '"');
        before = ",";
        names += len + (names[len] == ' ');
    }
    if (le) {
        fr_put_text(out, "%sle=\"%s\"", before, le);
        before = ",";
    }
    if (*before == ',')
        fr_put_u8(out, '}');
}

static void put_number(struct fr_writer *out, double value)
{
    if (value == floor(value) && fabs(value) < 1e15)
        fr_put_text(out, "%.0f\n", value);
    else
        fr_put_text(out, "%.17g\n", value);
}

static void put_histogram(struct fr_writer *out, const struct fr_series *series)
{
    const struct metric_family *family = &metric_families[series->family];
    const struct metric_buckets *buckets = metric_buckets_of(family->type);
    uint64_t so_far = 0;

    for (size_t i = 0; i <= buckets->len; i++) {
        char le[32];
        snprintf(le, sizeof(le), i < buckets->len ? "%g" : "+Inf", i < buckets->len ? buckets->bound[i] : 0.0);
        so_far += atomic_load_explicit(&series->bucket[i], memory_order_relaxed);
        fr_put_text(out, "%s_bucket", family->name);
        put_labels(out, series, le);
        fr_put_text(out, " %llu\n", (unsigned long long)so_far);
    }
    fr_put_text(out, "%s_sum", family->name);
    put_labels(out, series, NULL);
    fr_put_u8(out, ' ');
    put_number(out, metric_real(series));
    fr_put_text(out, "%s_count", family->name);
    put_labels(out, series, NULL);
    fr_put_text(out, " %llu\n", (unsigned long long)so_far); /* equal to the last bucket, whatever is being added */
}

static void put_plain(struct fr_writer *out, const struct fr_series *series)
{
    const struct metric_family *family = &metric_families[series->family];
    uint64_t whole = atomic_load_explicit(&series->whole, memory_order_relaxed);
    double real = metric_real(series);

    fr_put_text(out, "%s", family->name);
    put_labels(out, series, NULL);
    fr_put_u8(out, ' ');
    if (real == 0)
        fr_put_text(out, "%llu\n", (unsigned long long)whole);
    else
        put_number(out, real + (double)whole);
}

void fr_metric_write(struct fr_writer *out, bool openmetrics)
{
    metric_collect();
    for (int f = 0; f < FR_METRICS; f++) {
        const struct metric_family *family = &metric_families[f];
        size_t len = strlen(family->name);
        if (openmetrics && family->type == METRIC_COUNTER)
            len -= strlen("_total");
        fr_put_text(out, "# HELP %.*s ", (int)len, family->name);
        put_escaped(out, family->help, openmetrics);
        fr_put_text(out, "\n# TYPE %.*s %s\n", (int)len, family->name, type_names[family->type]);
        for (const struct fr_series *series = metric_first((enum fr_metric)f); series; series = series->next)
            if (family->type >= METRIC_HISTOGRAM)
                put_histogram(out, series);
            else
                put_plain(out, series);
    }
    if (openmetrics)
        fr_put_text(out, "# EOF\n");
}
