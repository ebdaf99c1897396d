/*
 * kafka.c -- the feed's threads, one for each topic: from Kafka's records to the engine's batches.
 *
 *     take an empty batch ──> wait for one record ──> take what else is there ──> give it at once
 *          │ none: the engine is behind                 (timeout 0)                 no timer: freshness
 *          └─> do not poll; librdkafka's queue fills, then it stops fetching
 *
 * Each record is decoded where it lies; only the ids (or, of a rejected one, all of it) are copied into the batch's
 * arena, and the record is given back to librdkafka before the next one is taken.
 *
 * The consumer can be thrown away at any time, for every offset is ours: that is done when librdkafka declares itself
 * broken, and when it is silent although the log goes on (it has been seen to fall asleep after a broker's restart).
 */
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "assign.h"
#include "dead_letters.h"
#include "tombstones.h"
#include "decode.h"
#include "freshet/alloc.h"
#include "freshet/blackbox.h"
#include "freshet/life.h"
#include "freshet/log.h"
#include "resets.h"
#include "settings.h"

enum {
    TAKE_TIMEOUT_MS = 100,
    POLL_TIMEOUT_MS = 100,
    REPORT_ALL_MS = 500,
    SILENCE_MAX_MS = 3600000,
    REBUILD_PAUSE_MS = 1000,
    SETTLE_MAX_MS = 30000, /* so long events wait for what is said of items and users, */
    BEHIND_LOOK_MS = 2,    /* and look each */
    ARENA_BYTES_MAX = 4 << 20, /* a batch of huge rejected records is given early */
};

/* One topic's consumer. All of it is its thread's, but for `stopping`. */
struct tap {
    struct feed_options options; /* the feed's, with this topic and kind */
    struct engine *engine;
    const _Atomic bool *stopping;
    struct fr_thread *thread;

    struct client client;
    rd_kafka_t *consumer; /* NULL only while `broken` */
    struct assignment assignment;
    struct decoder *decoder;
    struct fr_series *misrouted, *rebuilt_silent, *rebuilt_broken;
    bool broken;          /* throw the consumer away */
    bool heard;           /* records or ends of logs since heard_ns was set */
    uint64_t heard_ns;    /* when we last heard something */
    uint64_t reported_ns; /* when all partitions were last reported */
    uint64_t rebuild_ns;  /* not before */
    unsigned silence_ms;  /* how long may it be silent before we ask */
    /* What is said of items and users comes before events: a replay would otherwise learn events of after a tombstone, and then forget them. */
    _Atomic unsigned *behind; /* topics whose end, as first seen, is not reached; the feed's */
    bool settled;             /* this one is not, or not any more, among them */
    uint64_t answered_ns;     /* when Kafka first told what there is; 0: not yet */
    struct resets *resets;    /* the feed's */
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

/* ---- records into a batch ------------------------------------------------------------------------------------- */

static struct fr_bytes keep(struct event_batch *batch, struct fr_bytes bytes)
{
    char *copy = fr_arena_take(&batch->arena, bytes.len ? bytes.len : 1);

    if (bytes.len)
        memcpy(copy, bytes.at, bytes.len);
    return (struct fr_bytes){copy, bytes.len};
}

/* Both ids in one piece: they are looked up together, so they may as well share a cache line. */
static void keep_ids(struct event_batch *batch, struct event *event)
{
    char *copy = fr_arena_take(&batch->arena, event->user.len + event->item.len);

    if (event->user.len) /* what is said of an item names no user, */
        memcpy(copy, event->user.at, event->user.len);
    if (event->item.len) /* and the other way round */
        memcpy(copy + event->user.len, event->item.at, event->item.len);
    event->user.at = copy;
    event->item.at = copy + event->user.len;
}

static void keep_context(struct event_batch *batch, struct event *event)
{
    size_t bytes = event->context_len * sizeof(*event->context);

    if (bytes)
        event->context = memcpy(fr_arena_take(&batch->arena, bytes), event->context, bytes);
}

/* All that the event points to. */
static void keep_event(struct event_batch *batch, struct event *event)
{
    keep_ids(batch, event);
    keep_context(batch, event);
    if (event->said.len)
        event->said = keep(batch, event->said);
}

static const struct reject *keep_reject(struct event_batch *batch, const struct reject *reject)
{
    struct reject *kept = fr_arena_take(&batch->arena, sizeof(*kept));

    *kept = *reject;
    kept->key = keep(batch, reject->key);
    kept->value = keep(batch, reject->value);
    kept->message = keep(batch, reject->message);
    return kept;
}

static struct fr_bytes content_type(const rd_kafka_message_t *message)
{
    rd_kafka_headers_t *headers;
    const void *value;
    size_t size;

    if (rd_kafka_message_headers(message, &headers) ||
        rd_kafka_header_get_last(headers, "content-type", &value, &size) || !value)
        return (struct fr_bytes){NULL, 0};
    return (struct fr_bytes){value, size};
}

static struct record record_of(const struct tap *tap, const rd_kafka_message_t *message)
{
    rd_kafka_timestamp_type_t type;
    when_ms logged = rd_kafka_message_timestamp(message, &type);

    return (struct record){
        .key = {message->key, message->key_len},
        .value = {message->payload, message->len},
        .has_key = message->key != NULL,
        .has_value = message->payload != NULL,
        .content_type = tap->options.format == FEED_AUTO ? content_type(message) : (struct fr_bytes){NULL, 0},
        .logged = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : logged,
    };
}

/* True and false as of decoder_decode. The decoder does not see a record that crashes the process. */
static bool decode_unless_convicted(struct tap *tap, const struct assigned *assigned, int64_t offset,
                                    const struct record *record, struct event *event, struct reject *ret_reject)
{
    if (!fr_box_convicts(assigned->index, offset))
        return decoder_decode(tap->decoder, record, event, ret_reject);
    fr_log(FR_ERROR, "feed", "record.crashes",
           FR_FIELDS(FR_TEXT("topic", tap->options.topic), FR_INT("offset", offset)),
           "the process has crashed %d times with the record at %lld in hand; it is dead-lettered undecoded", FR_BOX_TIMES,
           (long long)offset);
    *event = (struct event){.kind = EVENT_REJECT, .logged = record->logged <= EVENT_WHEN_MAX ? record->logged : -1};
    *ret_reject = (struct reject){.key = record->key,
                                  .value = record->value,
                                  .has_key = record->has_key,
                                  .has_value = record->has_value,
                                  .logged = record->logged,
                                  .reason = "crash",
                                  .message = FR_BYTES("the process crashed each time it had this record in hand")};
    return false;
}

static void take_record(struct tap *tap, struct event_batch *batch, const rd_kafka_message_t *message)
{
    struct assigned *assigned = assignment_at(&tap->assignment, message->partition);
    struct record record;
    struct reject reject;
    struct event *event;
    uint64_t print;

    if (!assigned)
        return; /* fetched before the partition was halted */
    record = record_of(tap, message);
    print = record_print(&record);
    if (!assignment_wants(&tap->assignment, message->partition, message->offset, print))
        return;
    event = &batch->events[batch->len++];
    fr_flight_of(assigned->index, message->offset);
    if (decode_unless_convicted(tap, assigned, message->offset, &record, event, &reject)) {
        if (record_misrouted(&record, event))
            fr_count(tap->misrouted, 1);
        keep_event(batch, event);
        if (engine_batch_wants_record(tap->engine, batch, event->kind))
            event->reject = keep_reject(batch, &(struct reject){.key = record.key,
                                                                .value = record.value,
                                                                .has_key = record.has_key,
                                                                .has_value = record.has_value,
                                                                .logged = record.logged});
    } else {
        event->reject = keep_reject(batch, &reject);
    }
    fr_flight_over();
    event->partition = assigned->index;
    event->offset = message->offset;
    event->print = print;
    assigned->last = message->offset;
    assigned->print = print;
    assigned->next = message->offset + 1;
    assigned->touched = true;
    assigned->read++;
    assignment_tastes(&tap->assignment, message->partition, event->kind == EVENT_REJECT);
}

/* The end of the log: nothing below it is missing, which records alone do not tell (control records, compaction). */
static void take_end(struct tap *tap, struct event_batch *batch, const rd_kafka_message_t *message)
{
    struct assigned *assigned = assignment_at(&tap->assignment, message->partition);

    if (!assigned)
        return;
    assigned->touched = true;
    if (message->offset < assigned->next)
        assignment_lost(&tap->assignment, message->partition); /* a log that does not reach to where we were */
    if (message->offset <= assigned->next)
        return;
    assigned->next = message->offset;
    batch->events[batch->len++] =
        (struct event){.kind = EVENT_POSITION, .partition = assigned->index, .offset = assigned->next, .logged = -1};
}

static void take_error(struct tap *tap, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET) {
        assignment_lost(&tap->assignment, message->partition);
        return;
    }
    if (message->err == RD_KAFKA_RESP_ERR__BAD_COMPRESSION) { /* it came whole, by its checksum */
        assignment_unreadable(&tap->assignment, message->partition, rd_kafka_message_errstr(message));
        return;
    }
    if (client_may_be_another(message->err))
        tap->client.disconnected = true;
    if (message->err == RD_KAFKA_RESP_ERR__FATAL && !tap->broken) {
        fr_count(tap->rebuilt_broken, 1);
        tap->broken = true;
    }
    fr_log(FR_WARN, "feed", "fetch.error",
           FR_FIELDS(FR_TEXT("topic", tap->options.topic), FR_INT("partition", message->partition),
                     FR_TEXT("code", rd_kafka_err2name(message->err))),
           "%s", rd_kafka_message_errstr(message));
}

/* Waits for one message, then takes what is there without waiting. */
static void fill(struct tap *tap, struct event_batch *batch)
{
    rd_kafka_message_t *message;
    int timeout_ms;

    assignment_tell(&tap->assignment, batch);
    timeout_ms = batch->len ? 0 : POLL_TIMEOUT_MS;
    while (batch->len < EVENT_BATCH_MAX && batch->arena.total < ARENA_BYTES_MAX && !tap->broken &&
           !tap->client.disconnected && (message = rd_kafka_consumer_poll(tap->consumer, timeout_ms))) {
        timeout_ms = 0;
        if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR)
            take_record(tap, batch, message);
        else if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            take_end(tap, batch, message);
        else
            take_error(tap, message);
        if (!message->err || message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
            tap->heard = true;
        rd_kafka_message_destroy(message);
    }
}

/* ---- the consumer's life --------------------------------------------------------------------------------------- */

/* Nothing is committed and no group left, so there is no close to wait for. */
static void drop_consumer(struct tap *tap)
{
    if (!tap->consumer)
        return;
    assignment_attach(&tap->assignment, NULL);
    rd_kafka_destroy_flags(tap->consumer, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    tap->consumer = NULL;
}

static void attach_consumer(struct tap *tap)
{
    tap->broken = false;
    tap->client.disconnected = false; /* all is compared anyway */
    tap->heard_ns = fr_mono_ns();
    assignment_attach(&tap->assignment, tap->consumer);
}

static bool rebuild_consumer(struct tap *tap, uint64_t now_ns)
{
    struct fr_err err;

    if (now_ns < tap->rebuild_ns)
        return false;
    tap->rebuild_ns = now_ns + REBUILD_PAUSE_MS * 1000000ULL;
    drop_consumer(tap);
    if (settings_consumer(&tap->consumer, &tap->options, &tap->client, &err)) {
        fr_log(FR_ERROR, "feed", "consumer.failed", FR_NO_FIELDS, "%s; trying again", err.text);
        return false;
    }
    attach_consumer(tap);
    return true;
}

/* Where words come slowly, one that is not there yet is no sleep: the next is given twice as long as the last took. Halved at most, for
 * two may come together. */
static void hear(struct tap *tap)
{
    uint64_t now_ns = fr_mono_ns(), enough_ms = (now_ns - tap->heard_ns) / 1000000 * 2;

    if (enough_ms < (uint64_t)tap->options.silence)
        enough_ms = (uint64_t)tap->options.silence;
    if (enough_ms < tap->silence_ms)
        tap->silence_ms = enough_ms > tap->silence_ms / 2 ? enough_ms : tap->silence_ms / 2;
    tap->heard = false;
    tap->heard_ns = now_ns;
    client_reached(&tap->client);
}

/* Silent for long: is there really nothing? Each time that a new consumer hears no more than the old one, the next is
 * asked for later. */
static void watch_silence(struct tap *tap, uint64_t now_ns)
{
    if (tap->heard)
        hear(tap);
    /* One that was made in this round is younger than the round: it has its time, too. */
    if (now_ns < tap->heard_ns || now_ns - tap->heard_ns < tap->silence_ms * 1000000ULL)
        return;
    tap->heard_ns = now_ns;
    if (!assignment_behind(&tap->assignment))
        return;
    fr_log(FR_WARN, "feed", "consumer.silent", FR_FIELDS(FR_TEXT("topic", tap->options.topic)),
           "the log goes on but nothing came for %g s; making a new consumer", tap->silence_ms / 1000.0);
    fr_count(tap->rebuilt_silent, 1);
    tap->rebuild_ns = 0;
    if (tap->silence_ms < SILENCE_MAX_MS)
        tap->silence_ms = tap->silence_ms * 2 < SILENCE_MAX_MS ? tap->silence_ms * 2 : SILENCE_MAX_MS;
    tap->broken = true;
}

static void consume_once(struct tap *tap)
{
    struct event_batch *batch;
    uint64_t now_ns = fr_mono_ns();
    bool all = now_ns - tap->reported_ns >= REPORT_ALL_MS * 1000000ULL;

    if (tap->broken && !rebuild_consumer(tap, now_ns)) {
        poll(NULL, 0, POLL_TIMEOUT_MS);
        return;
    }
    if (tap->client.disconnected) {
        tap->client.disconnected = false;
        assignment_doubt(&tap->assignment);
    }
    assignment_refresh(&tap->assignment, now_ns);
    assignment_lows(&tap->assignment, now_ns);
    resets_look(tap->resets, &tap->assignment);
    if (tap->assignment.answered)
        client_reached(&tap->client);
    batch = engine_batch_take(tap->engine, TAKE_TIMEOUT_MS);
    if (!batch) {
        tap->heard_ns = now_ns; /* it is us who do not listen */
        assignment_ends(&tap->assignment, now_ns, true);
        return;
    }
    fill(tap, batch);
    engine_batch_give(tap->engine, batch);
    resets_given(tap->resets, &tap->assignment);
    tap->reported_ns = all ? now_ns : tap->reported_ns;
    assignment_report(&tap->assignment, all);
    assignment_ends(&tap->assignment, now_ns, false);
    watch_silence(tap, now_ns);
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

    while (tap->options.kind == FEED_EVENTS && atomic_load(tap->behind) && !atomic_load_explicit(tap->stopping, memory_order_relaxed)) {
        fr_pulse_beat(pulse);
        poll(NULL, 0, BEHIND_LOOK_MS);
    }
    while (!atomic_load_explicit(tap->stopping, memory_order_relaxed)) {
        fr_pulse_beat(pulse);
        consume_once(tap);
        look_if_settled(tap);
    }
    fr_pulse_stop(pulse);
}

/* ---- start and stop --------------------------------------------------------------------------------------------- */

static void tap_free(struct tap *tap)
{
    drop_consumer(tap);
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
        attach_consumer(tap);
        tap->thread = fr_thread_start_nice(thread_names[tap->options.kind], FR_NICE_INGEST, consume, tap);
    }
    feed->tombstones = tombstones_start(&feed->options);
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
