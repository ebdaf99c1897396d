/*
 * kafka.c -- the feed's threads, one for each topic: from Kafka's records to the engine's batches.
 *
 *     take an empty batch ──> wait for one record ──> take what else is there ──> give it at once
 *          │ none: the engine is behind                 (timeout 0)                 no timer: freshness
 *          └─> do not poll; librdkafka's queue fills, then it stops fetching
 *
 * What is taken is in take.c; the consumer's life, and its silence, in consumer.c.
 */
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "dead_letters.h"
#include "freshet/alloc.h"
#include "freshet/life.h"
#include "tap.h"
#include "tombstones.h"

enum {
    TAKE_TIMEOUT_MS = 100,
    REPORT_ALL_MS = 500,
    SETTLE_MAX_MS = 30000, /* so long events wait for what is said of items and users, */
    BEHIND_LOOK_MS = 2,    /* and look each */
};

enum { TAPS_MAX = 3 };
static const char *const thread_names[TAPS_MAX] = {[FEED_EVENTS] = "feed", [FEED_ITEMS] = "feed-items", [FEED_USERS] = "feed-users"};

struct feed {
    struct feed_options options; /* own copies throughout */
    struct dead_letters *letters;
    struct tombstones *tombstones;
    struct resets *resets;
    _Atomic bool stopping;
    _Atomic unsigned behind;
    struct tap *taps[TAPS_MAX];
    size_t taps_len;
};

/* ---- options ------------------------------------------------------------------------------------------------ */

static const char *const *copy_texts(const char *const *texts, size_t len)
{
    char **copies = fr_zalloc(len + 1, sizeof(*copies));

    for (size_t i = 0; i < len; i++)
        copies[i] = fr_strdup(texts[i]);
    return (const char *const *)copies;
}

static void free_texts(const char *const *texts, size_t len)
{
    for (size_t i = 0; i < len; i++)
        free((char *)texts[i]);
    free((void *)texts);
}

static void options_copy(struct feed_options *copy, const struct feed_options *options)
{
    struct feed_weight *weights = fr_zalloc(options->weights_len + 1, sizeof(*weights));

    *copy = *options;
    copy->topic = fr_strdup(options->topic);
    copy->items_topic = fr_strdup(options->items_topic ? options->items_topic : "");
    copy->users_topic = fr_strdup(options->users_topic ? options->users_topic : "");
    copy->dead_letter_topic = fr_strdup(options->dead_letter_topic);
    copy->version = fr_strdup(options->version ? options->version : "");
    copy->kafka_keys = copy_texts(options->kafka_keys, options->kafka_len);
    copy->kafka_values = copy_texts(options->kafka_values, options->kafka_len);
    for (size_t i = 0; i < options->weights_len; i++) {
        weights[i] = options->weights[i];
        weights[i].type = fr_strdup(options->weights[i].type);
    }
    copy->weights = weights;
}

static void options_release(struct feed_options *options)
{
    for (size_t i = 0; i < options->weights_len; i++)
        free((char *)options->weights[i].type);
    free((void *)options->weights);
    free_texts(options->kafka_keys, options->kafka_len);
    free_texts(options->kafka_values, options->kafka_len);
    free((char *)options->topic);
    free((char *)options->items_topic);
    free((char *)options->users_topic);
    free((char *)options->dead_letter_topic);
    free((char *)options->version);
}

/* ---- one round after the other ---------------------------------------------------------------------------------- */

static bool is_stopping(const struct tap *tap)
{
    return atomic_load_explicit(tap->stopping, memory_order_relaxed);
}

static void hear_answer(struct tap *tap, uint64_t now_ns)
{
    if (tap->assignment.answered) {
        if (tap->client.unreachable)
            assignment_ask_now(&tap->assignment);
        client_reached(&tap->client);
    } else if (tap->assignment.asked) {
        client_unanswered(&tap->client, now_ns);
    }
}

/* What there is beside the records. A stop waits for one answer that does not come, not for all. */
static void ask_kafka(struct tap *tap, uint64_t now_ns)
{
    assignment_refresh(&tap->assignment, now_ns);
    hear_answer(tap, now_ns);
    if (!is_stopping(tap))
        assignment_lows(&tap->assignment, now_ns);
    if (!is_stopping(tap))
        resets_look(tap->resets, &tap->assignment);
}

static void consume_once(struct tap *tap)
{
    struct event_batch *batch;
    uint64_t now_ns = fr_mono_ns();
    bool all = now_ns - tap->reported_ns >= REPORT_ALL_MS * 1000000ULL;

    if (tap->broken && !tap_rebuild(tap, now_ns)) {
        poll(NULL, 0, POLL_TIMEOUT_MS);
        return;
    }
    if (tap->client.disconnected) {
        tap->client.disconnected = false;
        assignment_doubt(&tap->assignment);
    }
    ask_kafka(tap, now_ns);
    batch = engine_batch_take(tap->engine, TAKE_TIMEOUT_MS);
    if (!batch) {
        tap->heard_ns = now_ns; /* it is us who do not listen */
        quiet_excused(&tap->assignment, now_ns);
        assignment_ends(&tap->assignment, now_ns, true);
        return;
    }
    tap_fill(tap, batch);
    engine_batch_give(tap->engine, batch);
    resets_given(tap->resets, &tap->assignment);
    tap->reported_ns = all ? now_ns : tap->reported_ns;
    assignment_report(&tap->assignment, all);
    if (is_stopping(tap))
        return;
    assignment_ends(&tap->assignment, now_ns, false);
    tap_listen(tap, now_ns);
}

/* Has all been read that there was? Partitions that are halted, and a topic that there is not, keep nobody waiting; nor does one that takes
 * too long. */
static bool has_settled(struct tap *tap, uint64_t now_ns)
{
    if (!tap->answered_ns && tap->assignment.answered)
        tap->answered_ns = now_ns;
    if (!tap->answered_ns)
        return false;
    for (size_t i = 0; i < tap->assignment.len && now_ns - tap->answered_ns < SETTLE_MAX_MS * 1000000ULL; i++) {
        const struct assigned *assigned = &tap->assignment.partitions[i];
        if (assigned_is_read(assigned) && (assigned->end < 0 || (assigned->next < 0 ? 0 : assigned->next) < assigned->end))
            return false;
    }
    return true;
}

static void look_if_settled(struct tap *tap)
{
    if (tap->settled || !has_settled(tap, fr_mono_ns()))
        return;
    tap->settled = true;
    atomic_fetch_sub(tap->behind, 1);
}

static void consume(void *arg)
{
    struct tap *tap = arg;
    struct fr_pulse *pulse = fr_pulse_start(thread_names[tap->options.kind]);

    while (tap->options.kind == FEED_EVENTS && atomic_load(tap->behind) && !is_stopping(tap)) {
        fr_pulse_beat(pulse);
        tap_idle(tap);
        client_probe(&tap->client, tap->consumer, fr_mono_ns());
        poll(NULL, 0, BEHIND_LOOK_MS);
    }
    tap->heard_ns = fr_mono_ns(); /* until here it was us who did not listen */
    while (!is_stopping(tap)) {
        fr_pulse_beat(pulse);
        consume_once(tap);
        look_if_settled(tap);
    }
    fr_pulse_stop(pulse);
}

/* ---- start and stop --------------------------------------------------------------------------------------------- */

/* Its consumer has been let go. */
static void tap_free(struct tap *tap)
{
    assignment_release(&tap->assignment);
    decoder_free(tap->decoder);
    free(tap);
}

static int tap_new(struct feed *feed, enum feed_kind kind, const char *topic, struct engine *engine, struct fr_err *err)
{
    struct tap *tap = fr_zalloc(1, sizeof(*tap));

    tap->options = feed->options;
    tap->options.topic = topic;
    tap->options.kind = kind;
    if (kind != FEED_EVENTS) /* the newest word on an item may be its first */
        tap->options.start = FEED_EARLIEST;
    tap->engine = engine;
    tap->stopping = &feed->stopping;
    tap->behind = &feed->behind;
    tap->resets = feed->resets;
    tap->settled = kind == FEED_EVENTS;
    atomic_fetch_add(&feed->behind, !tap->settled);
    tap->silence_ms = (unsigned)feed->options.silence;
    tap->misrouted = FR_SERIES(FR_M_EVENTS_MISROUTED);
    tap->rebuilt_silent = fr_series(FR_M_CONSUMER_REBUILDS, "silent", "", "");
    tap->rebuilt_broken = fr_series(FR_M_CONSUMER_REBUILDS, "broken", "", "");
    tap->decoder = decoder_new(&tap->options);
    client_init(&tap->client, kind == FEED_EVENTS ? "consumer" : kind == FEED_ITEMS ? "consumer of items" : "consumer of users");
    assignment_init(&tap->assignment, &tap->options, engine);
    feed->taps[feed->taps_len++] = tap;
    return settings_consumer(&tap->consumer, &tap->options, &tap->client, err);
}

static void feed_free(struct feed *feed)
{
    struct ending *endings[TAPS_MAX];

    for (size_t i = 0; i < feed->taps_len; i++)
        endings[i] = tap_let_go(feed->taps[i]);
    endings_wait(endings, feed->taps_len);
    while (feed->taps_len)
        tap_free(feed->taps[--feed->taps_len]);
    resets_free(feed->resets);
    options_release(&feed->options);
    free(feed);
}

static int make_taps(struct feed *feed, struct engine *engine, struct fr_err *err)
{
    const struct feed_options *options = &feed->options;
    int status = tap_new(feed, options->kind, options->topic, engine, err);

    if (!status && *options->items_topic)
        status = tap_new(feed, FEED_ITEMS, options->items_topic, engine, err);
    if (!status && *options->users_topic)
        status = tap_new(feed, FEED_USERS, options->users_topic, engine, err);
    return status;
}

int feed_start(struct feed **ret_feed, const struct feed_options *options, struct engine *engine, struct fr_err *err)
{
    struct feed *feed = fr_zalloc(1, sizeof(*feed));
    int status;

    options_copy(&feed->options, options);
    feed->resets = resets_new(&feed->options);
    status = make_taps(feed, engine, err);
    if (status == FR_OK)
        status = dead_letters_start(&feed->letters, &feed->options, engine, err);
    if (status) {
        feed_free(feed);
        return status;
    }
    for (size_t i = 0; i < feed->taps_len; i++) {
        struct tap *tap = feed->taps[i];
        tap_attach(tap);
        tap->thread = fr_thread_start_nice(thread_names[tap->options.kind], FR_NICE_INGEST, consume, tap);
    }
    feed->tombstones = tombstones_start(&feed->options, engine);
    *ret_feed = feed;
    return FR_OK;
}

void feed_stop_polling(struct feed *feed)
{
    atomic_store_explicit(&feed->stopping, true, memory_order_relaxed);
    for (size_t i = 0; i < feed->taps_len; i++) {
        fr_thread_join(feed->taps[i]->thread);
        feed->taps[i]->thread = NULL;
    }
}

void feed_stop(struct feed *feed)
{
    if (!feed)
        return;
    feed_stop_polling(feed);
    tombstones_stop(feed->tombstones);
    dead_letters_stop(feed->letters);
    feed_free(feed);
}

int feed_forget(struct feed *feed, enum feed_kind kind, struct fr_bytes id, uint64_t *ret_ticket, struct fr_err *err)
{
    return tombstones_ask(feed->tombstones, kind, id, ret_ticket, err);
}

bool feed_forget_done(struct feed *feed, uint64_t ticket, struct tombstone *ret, int *ret_status, struct fr_err *ret_err)
{
    return tombstones_done(feed->tombstones, ticket, ret, ret_status, ret_err);
}

int feed_reset(struct feed *feed, const struct reset *reset, uint64_t *ret_ticket, struct fr_err *err)
{
    return resets_ask(feed->resets, reset, ret_ticket, err);
}

bool feed_reset_done(struct feed *feed, uint64_t ticket, struct reset_outcome *ret, int *ret_status, struct fr_err *ret_err)
{
    return resets_done(feed->resets, ticket, ret, ret_status, ret_err);
}
