/*
 * history.c -- readings of the registry, what they say of one another, and the rings it is kept in (history.h).
 */
#include "history.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"
#include "freshet/metric.h"

enum kind { VALUE, LARGEST, RATE, P50, P99 };

/* Which columns there are: all series of a family in one, or one for each value of its first label. */
static const struct source {
    const char *name;
    enum fr_metric family;
    enum kind kind;
    bool by_label;
} sources[] = {
    {"consumed", FR_M_EVENTS_CONSUMED, RATE, false},
    {"applied", FR_M_EVENTS_APPLIED, RATE, false},
    {"rejected", FR_M_EVENTS_REJECTED, RATE, false},
    {"duplicate", FR_M_EVENTS_DUPLICATE, RATE, false},
    {"fresh/p50", FR_M_EVENT_TO_VISIBLE, P50, false},
    {"fresh/p99", FR_M_EVENT_TO_VISIBLE, P99, false},
    {"lag", FR_M_LAG_MESSAGES, VALUE, false},
    {"lag_seconds", FR_M_LAG_SECONDS, LARGEST, false},
    {"uncommitted", FR_M_UNCOMMITTED, VALUE, false},
    {"resident", FR_M_PROCESS_RESIDENT, VALUE, false},
    {"users", FR_M_STATE_USERS, VALUE, false},
    {"items", FR_M_STATE_ITEMS, VALUE, false},
    {"asked", FR_M_RPC_HANDLED, RATE, true},
    {"p50", FR_M_RPC_SECONDS, P50, true},
    {"p99", FR_M_RPC_SECONDS, P99, true},
    {"quality", FR_M_MODEL_QUALITY, VALUE, true},
};
enum { NOW_SECONDS = 5 };
enum { SOURCES = sizeof(sources) / sizeof(*sources) };
static const char quality_window[] = "10000";
static const char *const quality_metrics[] = {"hit_rate_10", "ndcg_10", "mrr_10"};

struct cell {
    double value;
    uint64_t counts[FR_METRIC_BOUNDS_MAX + 1];
    const double *bounds;
    size_t bounds_len;
};
struct reading {
    uint64_t mono_ns; /* 0: there is none */
    struct cell cells[HISTORY_COLUMNS_MAX];
};

struct track {
    span_ms step;
    size_t max, len, next; /* samples; where the next one goes */
    when_ms *times;
    float *numbers; /* max x HISTORY_COLUMNS_MAX */
    struct reading before;
};

struct history {
    size_t columns_len;
    struct {
        char name[HISTORY_NAME_MAX];
        enum kind kind;
    } columns[HISTORY_COLUMNS_MAX];
    struct track tracks[HISTORY_SPANS];
    struct reading now, older, newer; /* what was just gathered; what history_now compares with */
};

static void track_init(struct track *track, span_ms step, size_t max)
{
    track->step = step;
    track->max = max;
    track->times = fr_zalloc(max, sizeof(*track->times));
    track->numbers = fr_zalloc(max * HISTORY_COLUMNS_MAX, sizeof(*track->numbers));
}

struct history *history_new(span_ms step)
{
    struct history *history = fr_zalloc(1, sizeof(*history));

    track_init(&history->tracks[HISTORY_HOUR], step, HISTORY_HOUR_SAMPLES);
    track_init(&history->tracks[HISTORY_DAY], step * HISTORY_DAY_STEPS, HISTORY_DAY_SAMPLES);
    return history;
}

void history_free(struct history *history)
{
    if (!history)
        return;
    for (int s = 0; s < HISTORY_SPANS; s++) {
        free(history->tracks[s].times);
        free(history->tracks[s].numbers);
    }
    free(history);
}

/* ---- a reading of the registry ---- */

struct gathering {
    struct history *history;
    const struct source *source;
};

/* False: nothing to tell, or no more columns. */
static bool column_of(struct history *history, const char *name, enum kind kind, bool make, size_t *ret_column)
{
    size_t at = 0;

    while (at < history->columns_len && strcmp(history->columns[at].name, name) != 0)
        at++;
    *ret_column = at;
    if (at < history->columns_len)
        return true;
    if (!make || at == HISTORY_COLUMNS_MAX)
        return false;
    snprintf(history->columns[at].name, HISTORY_NAME_MAX, "%s", name);
    history->columns[at].kind = kind;
    history->columns_len++;
    return true;
}

static bool shown_quality(const char *const *labels)
{
    for (size_t i = 0; i < sizeof(quality_metrics) / sizeof(*quality_metrics); i++)
        if (strcmp(labels[1], quality_metrics[i]) == 0)
            return strcmp(labels[2], quality_window) == 0;
    return false;
}

static void see(void *context, const struct fr_reading *reading)
{
    struct gathering *gathering = context;
    const struct source *source = gathering->source;
    char name[HISTORY_NAME_MAX];
    size_t column;
    struct cell *cell;

    snprintf(name, sizeof(name), "%s", source->name);
    if (source->family == FR_M_MODEL_QUALITY) {
        if (!shown_quality(reading->labels))
            return;
        snprintf(name, sizeof(name), "%s/%s/%s", source->name, reading->labels[0], reading->labels[1]);
    } else if (source->by_label) {
        snprintf(name, sizeof(name), "%s/%s", source->name, reading->labels[0]);
    }
    if (!column_of(gathering->history, name, source->kind, !source->by_label || reading->value > 0, &column))
        return;
    cell = &gathering->history->now.cells[column];
    if (source->kind == LARGEST)
        cell->value = fmax(cell->value, reading->value);
    else
        cell->value += reading->value;
    cell->bounds = reading->bounds;
    cell->bounds_len = reading->bounds_len;
    for (size_t i = 0; i <= reading->bounds_len && reading->counts; i++)
        cell->counts[i] += reading->counts[i];
}

static void gather(struct history *history, uint64_t mono_ns)
{
    memset(&history->now, 0, sizeof(history->now));
    history->now.mono_ns = mono_ns;
    for (size_t s = 0; s < SOURCES; s++) {
        struct gathering gathering = {history, &sources[s]};
        fr_metric_each(sources[s].family, see, &gathering);
    }
}

/* ---- what two readings say ---- */

double history_quantile(const uint64_t *counts, const double *bounds, size_t bounds_len, double share)
{
    double all = 0, below = 0;

    for (size_t i = 0; bounds_len && i <= bounds_len; i++)
        all += (double)counts[i];
    if (all == 0)
        return NAN;
    for (size_t i = 0; i < bounds_len; i++) {
        double low = i ? bounds[i - 1] : 0;

        if (counts[i] && below + (double)counts[i] >= share * all)
            return low + (bounds[i] - low) * (share * all - below) / (double)counts[i];
        below += (double)counts[i];
    }
    return bounds[bounds_len - 1];
}

static double quantile(const struct cell *before, const struct cell *now, double share)
{
    uint64_t counts[FR_METRIC_BOUNDS_MAX + 1];

    for (size_t i = 0; i <= now->bounds_len; i++)
        counts[i] = now->counts[i] - before->counts[i];
    return history_quantile(counts, now->bounds, now->bounds_len, share);
}

static double number_of(enum kind kind, const struct cell *before, const struct cell *now, double seconds)
{
    switch (kind) {
    case VALUE:
    case LARGEST:
        return now->value;
    case RATE:
        return seconds > 0 ? fmax(0, now->value - before->value) / seconds : NAN;
    case P50:
    case P99:
        return seconds > 0 ? quantile(before, now, kind == P50 ? 0.5 : 0.99) : NAN;
    }
    return NAN;
}

static double seconds_between(const struct reading *before, const struct reading *now)
{
    return before->mono_ns ? (double)(now->mono_ns - before->mono_ns) / 1e9 : 0;
}

/* The place in the ring of the sample `at` from the oldest. */
static size_t place(const struct track *track, size_t at)
{
    return (track->next + track->max - track->len + at) % track->max;
}

/* The clock was set back: what is dated later has no place in what was, and who has seen it would wait for what is later still. */
static void forget_later(struct track *track, when_ms wall)
{
    while (track->len && track->times[place(track, track->len - 1)] > wall) {
        track->next = place(track, track->len - 1);
        track->len--;
    }
}

static void take(struct history *history, struct track *track, when_ms wall)
{
    float *numbers = track->numbers + track->next * HISTORY_COLUMNS_MAX;
    double seconds = seconds_between(&track->before, &history->now);

    for (size_t c = 0; c < HISTORY_COLUMNS_MAX; c++)
        numbers[c] = c < history->columns_len ? (float)number_of(history->columns[c].kind, &track->before.cells[c],
                                                                 &history->now.cells[c], seconds)
                                              : NAN;
    track->times[track->next] = wall;
    track->next = (track->next + 1) % track->max;
    track->len += track->len < track->max;
    track->before = history->now;
}

/* A sampler that comes a tenth of its step early is in time. */
static bool is_due(const struct history *history, const struct track *track, uint64_t mono_ns)
{
    span_ms slack = history->tracks[HISTORY_HOUR].step / 10;

    return !track->before.mono_ns || mono_ns - track->before.mono_ns >= (uint64_t)(track->step - slack) * 1000000;
}

/* Those that history_now compares with are between one and two NOW_SECONDS old, or as old as it was asked last. */
static void age(struct history *history)
{
    if (history->newer.mono_ns && seconds_between(&history->newer, &history->now) < NOW_SECONDS)
        return;
    history->older = history->newer;
    history->newer = history->now;
}

void history_sample(struct history *history, when_ms wall, uint64_t mono_ns)
{
    gather(history, mono_ns);
    for (int s = 0; s < HISTORY_SPANS; s++) {
        forget_later(&history->tracks[s], wall);
        if (is_due(history, &history->tracks[s], mono_ns))
            take(history, &history->tracks[s], wall);
    }
    age(history);
}

double history_now(struct history *history, uint64_t mono_ns, history_see *show, void *context)
{
    const struct reading *before = history->older.mono_ns ? &history->older : &history->newer;
    double seconds;

    gather(history, mono_ns);
    seconds = seconds_between(before, &history->now);
    for (size_t c = 0; c < history->columns_len; c++)
        show(context, history->columns[c].name,
             number_of(history->columns[c].kind, &before->cells[c], &history->now.cells[c], seconds));
    age(history);
    return seconds;
}

/* ---- looking back ---- */

struct history_view history_view(const struct history *history, enum history_span span, when_ms since)
{
    const struct track *track = &history->tracks[span];
    struct history_view view = {.step = track->step, .columns = history->columns_len};

    while (view.len < track->len && track->times[place(track, track->len - 1 - view.len)] > since)
        view.len++;
    for (size_t c = 0; c < history->columns_len; c++)
        view.names[c] = history->columns[c].name;
    return view;
}

when_ms history_time(const struct history *history, enum history_span span, const struct history_view *view, size_t at)
{
    const struct track *track = &history->tracks[span];

    return track->times[place(track, track->len - view->len + at)];
}

double history_number(const struct history *history, enum history_span span, const struct history_view *view, size_t at, size_t column)
{
    const struct track *track = &history->tracks[span];

    return track->numbers[place(track, track->len - view->len + at) * HISTORY_COLUMNS_MAX + column];
}
