/*
 * metric_text.c -- the registry as text: Prometheus 0.0.4, or OpenMetrics 1.0.
 *
 *     # HELP freshet_events_applied_total Events learned, by configured type or other.
 *     # TYPE freshet_events_applied_total counter
 *     freshet_events_applied_total{type="click"} 41
 *
 * OpenMetrics names a family without the _total of a counter and the _info of an info, tells the unit, shows exemplars and
 * ends with # EOF:
 *
 *     freshet_rpc_handling_seconds_bucket{method="Recommend",le="0.001"} 7 # {trace_id="4bf9..."} 0.0008 1790000000.125
 */
#include "metric_private.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base_private.h"

static const char *const type_names[] = {"counter", "gauge", "gauge", "histogram", "histogram"};
static const char *const open_type_names[] = {"counter", "gauge", "info", "histogram", "histogram"};
static const char *const open_suffixes[] = {"_total", "", "_info", "", ""}; /* of a sample, not of its family */

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
    char room[FR_REAL_TEXT_ROOM];

    fr_put_text(out, " %s\n", fr_real_text(value, room));
}

/* The upper bound as a label. OpenMetrics wants to see that it is a real number. */
static void put_bound(char *room, size_t size, double bound, bool openmetrics)
{
    char text[FR_REAL_TEXT_ROOM];

    fr_real_text(bound, text);
    snprintf(room, size, "%s%s", text, openmetrics && !strchr(text, '.') ? ".0" : "");
}

static void put_exemplar(struct fr_writer *out, struct exemplar_slot *slot)
{
    struct exemplar exemplar;
    char value[FR_REAL_TEXT_ROOM];

    if (exemplar_get(slot, &exemplar))
        fr_put_text(out, " # {%.*s} %s %" PRId64 ".%03d", FR_EXEMPLAR_MAX, exemplar.labels, fr_real_text(exemplar.value, value),
                    exemplar.when_ms / 1000, (int)(exemplar.when_ms % 1000));
}

static void put_histogram(struct fr_writer *out, const struct fr_series *series, bool openmetrics)
{
    const struct metric_family *family = &metric_families[series->family];
    const struct metric_buckets *buckets = metric_buckets_of(family->type);
    uint64_t so_far = 0;

    for (size_t i = 0; i <= buckets->len; i++) {
        char le[FR_REAL_TEXT_ROOM + 2] = "+Inf";
        if (i < buckets->len)
            put_bound(le, sizeof(le), buckets->bound[i], openmetrics);
        so_far += atomic_load_explicit(&series->bucket[i], memory_order_relaxed);
        fr_put_text(out, "%s_bucket", family->name);
        put_labels(out, series, le);
        fr_put_text(out, " %" PRIu64, so_far);
        if (openmetrics)
            put_exemplar(out, &series->exemplar[i]);
        fr_put_u8(out, '\n');
    }
    fr_put_text(out, "%s_sum", family->name);
    put_labels(out, series, NULL);
    put_number(out, metric_real(series));
    fr_put_text(out, "%s_count", family->name);
    put_labels(out, series, NULL);
    fr_put_text(out, " %" PRIu64 "\n", so_far); /* equal to the last bucket, whatever is being added */
}

static void put_plain(struct fr_writer *out, const struct fr_series *series)
{
    uint64_t whole = atomic_load_explicit(&series->whole, memory_order_relaxed);
    double real = metric_real(series);

    fr_put_text(out, "%s", metric_families[series->family].name);
    put_labels(out, series, NULL);
    if (real == 0) /* a counter of ours: exact beyond 2^53 too */
        fr_put_text(out, " %" PRIu64 "\n", whole);
    else
        put_number(out, real + (double)whole);
}

/* What the name ends in, if that is a unit. */
static const char *unit_of(const char *name, int len)
{
    static const char *const units[] = {"seconds", "bytes"};

    for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
        int unit_len = (int)strlen(units[i]);
        if (len > unit_len && name[len - unit_len - 1] == '_' && !memcmp(name + len - unit_len, units[i], (size_t)unit_len))
            return units[i];
    }
    return NULL;
}

static void put_family(struct fr_writer *out, enum fr_metric f, bool openmetrics)
{
    const struct metric_family *family = &metric_families[f];
    int len = (int)strlen(family->name);

    if (openmetrics)
        len -= (int)strlen(open_suffixes[family->type]);
    fr_put_text(out, "# HELP %.*s ", len, family->name);
    put_escaped(out, family->help, openmetrics);
    fr_put_text(out, "\n# TYPE %.*s %s\n", len, family->name, (openmetrics ? open_type_names : type_names)[family->type]);
    if (openmetrics && unit_of(family->name, len))
        fr_put_text(out, "# UNIT %.*s %s\n", len, family->name, unit_of(family->name, len));
    for (const struct fr_series *series = metric_first(f); series; series = metric_next(series))
        if (family->type >= METRIC_HISTOGRAM)
            put_histogram(out, series, openmetrics);
        else
            put_plain(out, series);
}

void fr_metric_write(struct fr_writer *out, bool openmetrics)
{
    metric_collect();
    for (int f = 0; f < FR_METRICS; f++)
        put_family(out, (enum fr_metric)f, openmetrics);
    if (openmetrics)
        fr_put_text(out, "# EOF\n");
}
