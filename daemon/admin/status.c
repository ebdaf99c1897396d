/*
 * status.c -- how all is, as JSON: one sentence, the figures, and what lies behind each (page.h).
 *
 * Figures are those of /metrics, brought up to date as for a scrape. Thread: HTTP.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/log.h"
#include "freshet/metric.h"
#include "health.h"
#include "json.h"
#include "page_private.h"

enum { DIGITS = 15 };

/* ---- figures of the registry ---- */

static void add_total(void *context, const struct fr_reading *reading)
{
    *(double *)context += reading->value;
}

static double total(enum fr_metric family)
{
    double sum = 0;

    fr_metric_each(family, add_total, &sum);
    return sum;
}

/* Adds to a number of an object, by name. */
static void add_to(json_t *object, const char *name, double by)
{
    json_t *known = json_object_get(object, name);

    json_object_set_new(object, name, json_number((known ? json_number_value(known) : 0) + by));
}

static void add_by_first(void *context, const struct fr_reading *reading)
{
    add_to(context, reading->labels[0], reading->value);
}

/* {"click": 41, ...}: by the first label, what has none left out */
static json_t *by_first(enum fr_metric family)
{
    json_t *object = json_object();

    fr_metric_each(family, add_by_first, object);
    return object;
}

static void add_call(void *methods, const struct fr_reading *reading)
{
    json_t *method = json_object_get(methods, reading->labels[0]);

    if (reading->value == 0)
        return;
    if (!method)
        json_object_set_new(methods, reading->labels[0], method = json_object());
    add_to(method, "handled", reading->value);
    add_to(method, "failed", strcmp(reading->labels[1], "OK") == 0 ? 0 : reading->value);
}

static json_t *methods(void)
{
    json_t *object = json_object();

    fr_metric_each(FR_M_RPC_HANDLED, add_call, object);
    return object;
}

static void add_quality(void *list, const struct fr_reading *reading)
{
    json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o}", "model", reading->labels[0], "metric", reading->labels[1], "window",
                                          reading->labels[2], "value", json_number(reading->value)));
}

/* A histogram as a whole, since the start. */
static void put_histogram(void *context, const struct fr_reading *reading)
{
    json_t *object = context;

    json_object_set_new(object, "count", json_number(reading->value));
    json_object_set_new(object, "mean", json_number(reading->value > 0 ? reading->sum / reading->value : NAN));
    json_object_set_new(object, "p50", json_number(history_quantile(reading->counts, reading->bounds, reading->bounds_len, 0.5)));
    json_object_set_new(object, "p99", json_number(history_quantile(reading->counts, reading->bounds, reading->bounds_len, 0.99)));
}

static json_t *checkpoints(void)
{
    json_t *object = json_object();

    fr_metric_each(FR_M_CHECKPOINT_SECONDS, put_histogram, object);
    json_object_set_new(object, "unsaved_seconds", json_number(total(FR_M_UNCOMMITTED)));
    json_object_set_new(object, "unsaved_limit", json_number(health_unsaved_limit(total(FR_M_CHECKPOINT_INTERVAL))));
    json_object_set_new(object, "keys", json_number(total(FR_M_CHECKPOINT_KEYS)));
    json_object_set_new(object, "errors", json_number(total(FR_M_CHECKPOINT_ERRORS)));
    return object;
}

static json_t *totals(void)
{
    static const struct {
        const char *name;
        enum fr_metric family;
    } families[] = {
        {"consumed", FR_M_EVENTS_CONSUMED}, {"applied", FR_M_EVENTS_APPLIED},       {"rejected", FR_M_EVENTS_REJECTED},
        {"duplicate", FR_M_EVENTS_DUPLICATE}, {"dead_letters", FR_M_DEAD_LETTERS}, {"outbox", FR_M_OUTBOX_PENDING},
        {"evaluated", FR_M_EVALUATED},      {"users", FR_M_STATE_USERS},            {"items", FR_M_STATE_ITEMS},
        {"pairs", FR_M_STATE_PAIRS},        {"resident", FR_M_PROCESS_RESIDENT},    {"disk_free", FR_M_DISK_FREE},
        {"started", FR_M_PROCESS_START},    {"backups", FR_M_BACKUPS},              {"backup_last", FR_M_BACKUP_LAST},
    };
    json_t *object = json_object();

    for (size_t i = 0; i < sizeof(families) / sizeof(*families); i++)
        json_object_set_new(object, families[i].name, json_number(total(families[i].family)));
    return object;
}

/* ---- what is known of partitions ---- */

static int by_need(const void *a, const void *b)
{
    const struct partition_status *x = *(const struct partition_status *const *)a, *y = *(const struct partition_status *const *)b;
    bool x_runs = x->state <= PARTITION_RUNNING, y_runs = y->state <= PARTITION_RUNNING;

    if (x_runs != y_runs)
        return x_runs ? 1 : -1;
    return (x->lag < y->lag) - (x->lag > y->lag);
}

static int by_number(const void *a, const void *b)
{
    const struct partition_status *x = *(const struct partition_status *const *)a, *y = *(const struct partition_status *const *)b;
    int order = strcmp(x->topic, y->topic);

    return order ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

static json_t *offset(int64_t value)
{
    return value < 0 ? json_null() : json_integer(value);
}

static json_t *partition_of(const struct partition_status *partition)
{
    return json_pack("{s:o, s:i, s:s, s:o, s:o, s:o, s:o, s:o}", "topic", json_text(fr_bytes_of(partition->topic)), "partition",
                     (int)partition->partition, "state", partition_state_name(partition->state), "applied", offset(partition->applied),
                     "durable", offset(partition->durable), "end", offset(partition->end), "lag", offset(partition->lag), "lag_seconds",
                     json_number(partition->lag_seconds));
}

/* All in order, or of very many those that need to be looked at. */
static json_t *partitions(const struct engine_status *engine)
{
    const struct partition_status **order = fr_alloc((engine->partitions_len + 1) * sizeof(*order));
    size_t len = engine->partitions_len < PAGE_PARTITIONS_MAX ? engine->partitions_len : PAGE_PARTITIONS_MAX;
    json_t *list = json_array();

    for (size_t i = 0; i < engine->partitions_len; i++)
        order[i] = &engine->partitions[i];
    if (len < engine->partitions_len)
        qsort(order, engine->partitions_len, sizeof(*order), by_need);
    qsort(order, len, sizeof(*order), by_number);
    for (size_t i = 0; i < len; i++)
        json_array_append_new(list, partition_of(order[i]));
    free(order);
    return list;
}

/* ---- in words ---- */

static json_t *warnings(void)
{
    static struct fr_log_kept lines[FR_LOG_KEPT]; /* HTTP's thread alone is here */
    size_t len = fr_log_recent(lines, FR_LOG_KEPT);
    json_t *list = json_array();

    for (size_t i = 0; i < len; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:o, s:I, s:I, s:I}", "level", fr_level_name(lines[i].level), "component",
                                              lines[i].component, "event", lines[i].event, "text", json_text(fr_bytes_of(lines[i].text)),
                                              "times", (json_int_t)lines[i].times, "first_ms", (json_int_t)lines[i].first_ms, "last_ms",
                                              (json_int_t)lines[i].last_ms));
    return list;
}

static void see_hold(void *context, const struct fr_reading *reading)
{
    static const char *const names[HOLDS] = {[HOLD_DISK] = "disk", [HOLD_MEMORY] = "memory", [HOLD_ASKED] = "asked"};
    struct health *health = context;

    for (int why = 0; why < HOLDS; why++)
        if (reading->value > 0 && strcmp(reading->labels[0], names[why]) == 0)
            health->held[why] = true;
}

static void see_client(void *context, const struct fr_reading *reading)
{
    if (reading->value > 0 && strcmp(reading->labels[0], "consumer") == 0)
        ((struct health *)context)->unreachable = true;
}

static struct health health_of(const struct page *page, const struct engine_status *engine)
{
    struct health health = {
        .state = fr_state_now(),
        .engine = engine,
        .brokers = page->about.brokers,
        .topic = page->about.topic,
        .admission_closed = total(FR_M_ADMISSION_CLOSED) > 0,
        .disk_free = total(FR_M_DISK_FREE),
        .uncommitted = total(FR_M_UNCOMMITTED),
        .interval = total(FR_M_CHECKPOINT_INTERVAL),
    };

    if (fr_pulse_all(&health.stuck))
        health.stuck = NULL;
    fr_metric_each(FR_M_INGEST_HELD, see_hold, &health);
    fr_metric_each(FR_M_KAFKA_UNREACHABLE, see_client, &health);
    return health;
}

static json_t *findings(const struct health *health)
{
    struct finding room[FINDINGS_MAX];
    size_t len = health_look(health, room);
    json_t *list = json_array();

    for (size_t i = 0; i < len; i++)
        json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "level", health_level_name(room[i].level), "text",
                                              json_text(fr_bytes_of(room[i].text)), "detail", json_text(fr_bytes_of(room[i].detail))));
    return list;
}

/* `current`: false while nobody looks where the log ends, so that what is told is how it was before. */
static json_t *lag(const struct health *health)
{
    const struct engine_status *engine = health->engine;
    double messages = 0, seconds = 0;
    bool current = !health->unreachable;

    for (size_t i = 0; i < engine->partitions_len; i++) {
        messages += engine->partitions[i].lag > 0 ? (double)engine->partitions[i].lag : 0;
        seconds = fmax(seconds, engine->partitions[i].lag_seconds);
        current = current && !engine->partitions[i].unsure;
    }
    for (int why = 0; why < HOLDS; why++)
        current = current && !health->held[why];
    return json_pack("{s:o, s:o, s:b}", "messages", json_number(messages), "seconds", json_number(seconds), "current", (int)current);
}

/* ---- all of it ---- */

static void add_now(void *object, const char *name, double number)
{
    if (strncmp(name, "quality/", 8) != 0)
        json_object_set_new(object, name, json_number(number));
}

static json_t *now(struct page *page)
{
    json_t *columns = json_object();

    pthread_mutex_lock(&page->lock);
    double seconds = history_now(page->history, fr_mono_ns(), add_now, columns);
    pthread_mutex_unlock(&page->lock);
    return json_pack("{s:o, s:o}", "seconds", json_number(seconds), "columns", columns);
}

/* What needs an engine. Called while it cannot leave. */
static void put_engine(struct page *page, json_t *answer)
{
    const struct engine_status *engine = page->engine ? page->status : NULL;
    struct health health;
    const char *name;
    json_t *models = json_array();

    if (engine)
        engine_status(page->engine, page->status);
    health = health_of(page, engine);
    if (engine) {
        for (size_t i = 0; (name = engine_model(page->engine, i)); i++)
            json_array_append_new(models, json_string(name));
        json_object_set_new(answer, "version", json_text(fr_bytes_of(page->about.version)));
        json_object_set_new(answer, "brokers", json_text(fr_bytes_of(page->about.brokers)));
        json_object_set_new(answer, "topic", json_text(fr_bytes_of(page->about.topic)));
        json_object_set_new(answer, "lag", lag(&health));
        json_object_set_new(answer, "partitions", partitions(engine));
        json_object_set_new(answer, "partitions_total", json_integer((json_int_t)engine->partitions_len));
    }
    json_object_set_new(answer, "models", models);
    json_object_set_new(answer, "findings", findings(&health));
}

void page_status(struct page *page, struct fr_writer *out)
{
    json_t *answer = json_object(), *quality = json_array(), *freshness = json_object();

    fr_metric_collect();
    pthread_mutex_lock(&page->asking);
    put_engine(page, answer);
    pthread_mutex_unlock(&page->asking);
    fr_metric_each(FR_M_MODEL_QUALITY, add_quality, quality);
    fr_metric_each(FR_M_EVENT_TO_VISIBLE, put_histogram, freshness);
    json_object_set_new(answer, "time_ms", json_integer(fr_wall_ms()));
    json_object_set_new(answer, "state", json_string(fr_state_name(fr_state_now())));
    json_object_set_new(answer, "now", now(page));
    json_object_set_new(answer, "totals", totals());
    json_object_set_new(answer, "freshness", freshness);
    json_object_set_new(answer, "methods", methods());
    json_object_set_new(answer, "checkpoint", checkpoints());
    json_object_set_new(answer, "bytes", by_first(FR_M_STATE_BYTES));
    json_object_set_new(answer, "quality", quality);
    json_object_set_new(answer, "warnings", warnings());
    json_put(out, answer, DIGITS);
}

void page_history(struct page *page, enum history_span span, when_ms since, struct fr_writer *out)
{
    json_t *answer = json_object(), *times = json_array(), *columns = json_object();

    pthread_mutex_lock(&page->lock);
    struct history_view view = history_view(page->history, span, since);
    for (size_t i = 0; i < view.len; i++)
        json_array_append_new(times, json_integer(history_time(page->history, span, &view, i)));
    for (size_t c = 0; c < view.columns; c++) {
        json_t *numbers = json_array();
        for (size_t i = 0; i < view.len; i++)
            json_array_append_new(numbers, json_number(history_number(page->history, span, &view, i, c)));
        json_object_set_new(columns, view.names[c], numbers);
    }
    pthread_mutex_unlock(&page->lock);
    json_object_set_new(answer, "step_ms", json_integer(view.step));
    json_object_set_new(answer, "times", times);
    json_object_set_new(answer, "columns", columns);
    json_put(out, answer, 6);
}
