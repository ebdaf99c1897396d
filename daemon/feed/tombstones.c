/*
 * tombstones.c -- a null value under an id, written to the topic of items or of users, and where it came to stand.
 *
 *     wishes   [ 64 places; ticket n lives in place n mod 64 ]     asked -> sent -> over
 *                  ^ any thread                                        ^ this thread        ^ delivery report
 *
 * A place is free again when what was in it is over, whether or not somebody has looked: who asks and goes away leaves nothing behind.
 * The producer is made when it is first needed; with idempotence and all replicas, as for dead letters. librdkafka gives up after
 * message.timeout.ms, and the asker is told.
 */
#include "tombstones.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/alloc.h"
#include "freshet/life.h"
#include "freshet/log.h"
#include "ending.h"
#include "settings.h"

enum { PLACES = 64, IDLE_MS = 500, BUSY_MS = 5, FLUSH_MS = 1000, LOOK_FIRST_MS = 5000, LOOK_MS = 1000, LOOK_AGAIN_MS = 1000, LOOK_LATER_MS = 10000 };

struct wish {
    enum { WISH_FREE, WISH_ASKED, WISH_SENT, WISH_OVER } state;
    uint64_t ticket;
    enum feed_kind kind;
    char id[FR_ID_BYTES_MAX];
    size_t id_len;
    struct tombstone where;
    int status;
    struct fr_err err;
};

struct tombstones {
    struct client client; /* first: delivery reports come with it */
    const struct feed_options *options;
    struct engine *engine;
    struct fr_thread *thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;

    /* under lock */
    struct wish wishes[PLACES];
    uint64_t last_ticket;
    size_t open; /* asked or sent */
    bool stopping;

    /* the thread's own */
    rd_kafka_t *producer;            /* NULL until the first wish, and after a fatal error */
    uint64_t look_ns[FEED_USERS + 1]; /* by kind: when it is asked again whether there is the topic */
    int look_ms;                      /* and how long an answer may take */
};

static const char *topic_of(const struct tombstones *tombstones, enum feed_kind kind)
{
    return kind == FEED_ITEMS ? tombstones->options->items_topic : tombstones->options->users_topic;
}

/* Under lock. */
static void end_wish(struct tombstones *tombstones, struct wish *wish, int status)
{
    wish->state = WISH_OVER;
    wish->status = status;
    tombstones->open--;
}

static int refuse(struct wish *wish, const char *topic, rd_kafka_resp_err_t code)
{
    if (code == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return fr_fail(&wish->err, FR_CONFIG, "there is no topic '%s' to write a tombstone to; make it, compacted", topic);
    return fr_fail(&wish->err, FR_IO, "Kafka does not take a tombstone for topic '%s': %s", topic, rd_kafka_err2str(code));
}

static void on_report(rd_kafka_t *producer, const rd_kafka_message_t *message, void *client)
{
    struct tombstones *tombstones = client;
    struct wish *wish = message->_private;
    rd_kafka_timestamp_type_t type;
    when_ms logged = rd_kafka_message_timestamp(message, &type);

    (void)producer;
    if (!message->err)
        client_reached(&tombstones->client);
    pthread_mutex_lock(&tombstones->lock);
    if (message->err) {
        end_wish(tombstones, wish, refuse(wish, topic_of(tombstones, wish->kind), message->err));
    } else if (message->offset < 0) { /* sent again, and Kafka says that it has it: nobody knows what to wait for, and a second one does no harm */
        end_wish(tombstones, wish, fr_fail(&wish->err, FR_IO, "a tombstone is written to topic '%s', but Kafka does not say where; ask again",
                                           topic_of(tombstones, wish->kind)));
    } else {
        wish->where = (struct tombstone){.partition = message->partition,
                                         .offset = message->offset,
                                         .logged = type == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE ? -1 : logged};
        snprintf(wish->where.topic, sizeof(wish->where.topic), "%s", topic_of(tombstones, wish->kind));
        end_wish(tombstones, wish, FR_OK);
    }
    pthread_mutex_unlock(&tombstones->lock);
}

/* ---- the thread ---- */

/* The oldest one asked and not sent, or NULL. Under lock. */
static struct wish *next_wish(struct tombstones *tombstones)
{
    struct wish *oldest = NULL;

    for (size_t i = 0; i < PLACES; i++)
        if (tombstones->wishes[i].state == WISH_ASKED && (!oldest || tombstones->wishes[i].ticket < oldest->ticket))
            oldest = &tombstones->wishes[i];
    return oldest;
}

/*
 * Is there the topic? librdkafka itself goes on for half a minute before it says no (topic.metadata.propagation.max.ms): longer than askers
 * wait, and a tombstone that nobody waits for any more would be written when the topic comes to be. Where nobody answers, that may be yet.
 */
static int find_topic(struct tombstones *tombstones, struct wish *wish)
{
    const char *topic = topic_of(tombstones, wish->kind);
    uint64_t *look_ns = &tombstones->look_ns[wish->kind], now_ns = fr_mono_ns();
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;

    if (now_ns < *look_ns)
        return FR_OK;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(tombstones->producer, topic, NULL);
    if (!handle)
        return FR_OK; /* what is wrong with it, sending says */
    bool answered = !rd_kafka_metadata(tombstones->producer, 0, handle, &metadata, tombstones->look_ms);
    tombstones->look_ms = LOOK_MS;
    if (answered) {
        code = metadata->topic_cnt ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_NO_ERROR;
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(handle);
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART)
        return refuse(wish, topic, code);
    *look_ns = now_ns + (answered ? LOOK_AGAIN_MS : LOOK_LATER_MS) * UINT64_C(1000000);
    return FR_OK;
}

/* Where nobody answers, nobody knows, and what is written is written to whoever comes. */
static int check_cluster(struct tombstones *tombstones, struct wish *wish)
{
    if (client_cluster(&tombstones->client, tombstones->producer, tombstones->options, tombstones->engine, fr_mono_ns()) != CLUSTER_OTHER)
        return FR_OK;
    return fr_fail(&wish->err, FR_CONFIG, "the brokers belong to another Kafka cluster than the state: no tombstone is written to topic '%s' there",
                   topic_of(tombstones, wish->kind));
}

/* The place is the thread's own from WISH_SENT until the report. */
static int send_wish(struct tombstones *tombstones, struct wish *wish)
{
    const char *topic = topic_of(tombstones, wish->kind);
    rd_kafka_resp_err_t code;

    code = rd_kafka_producev(tombstones->producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_KEY(wish->id, wish->id_len),
                             RD_KAFKA_V_VALUE(NULL, 0), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_OPAQUE(wish),
                             RD_KAFKA_V_END);
    return code ? refuse(wish, topic, code) : FR_OK;
}

/* Every wish under way comes back through on_report before the handle goes. */
static void drop_producer(struct tombstones *tombstones, int flush_ms)
{
    if (!tombstones->producer)
        return;
    rd_kafka_flush(tombstones->producer, flush_ms);
    rd_kafka_purge(tombstones->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_flush(tombstones->producer, flush_ms);
    ending_of(tombstones->producer, tombstones->client.purpose);
    tombstones->producer = NULL;
}

static int have_producer(struct tombstones *tombstones, struct fr_err *err)
{
    char text[256];

    if (tombstones->producer && rd_kafka_fatal_error(tombstones->producer, text, sizeof(text)))
        drop_producer(tombstones, 0);
    if (tombstones->producer)
        return FR_OK;
    tombstones->look_ms = LOOK_FIRST_MS; /* it has yet to connect */
    return settings_producer(&tombstones->producer, tombstones->options, SETTINGS_TOPIC_IS_THERE, &tombstones->client, on_report, err);
}

static void wait_for_wishes(struct tombstones *tombstones, int ms)
{
    uint64_t ns = fr_mono_ns() + (uint64_t)ms * 1000000;
    struct timespec until = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

    pthread_cond_timedwait(&tombstones->changed, &tombstones->lock, &until);
}

/* Sends all that was asked, and as much as is asked meanwhile. Called and left under lock. */
static void send_all(struct tombstones *tombstones, struct fr_pulse *pulse)
{
    for (struct wish *wish; !tombstones->stopping && (wish = next_wish(tombstones));) {
        wish->state = WISH_SENT;
        pthread_mutex_unlock(&tombstones->lock);
        fr_pulse_beat(pulse);
        if (tombstones->producer)
            rd_kafka_poll(tombstones->producer, 0); /* who was sent before does not wait for those who are asked about */
        int status = have_producer(tombstones, &wish->err);
        if (status == FR_OK)
            status = find_topic(tombstones, wish);
        if (status == FR_OK) /* after it: there has been time to connect */
            status = check_cluster(tombstones, wish);
        if (status == FR_OK)
            status = send_wish(tombstones, wish);
        pthread_mutex_lock(&tombstones->lock);
        if (status != FR_OK)
            end_wish(tombstones, wish, status);
    }
}

static void run(void *arg)
{
    struct tombstones *tombstones = arg;
    struct fr_pulse *pulse = fr_pulse_start("tombstones");

    pthread_mutex_lock(&tombstones->lock);
    while (!tombstones->stopping) {
        fr_pulse_beat(pulse);
        send_all(tombstones, pulse);
        bool busy = tombstones->open > 0;
        if (!busy && !tombstones->stopping)
            wait_for_wishes(tombstones, IDLE_MS);
        pthread_mutex_unlock(&tombstones->lock);
        if (tombstones->producer) {
            rd_kafka_poll(tombstones->producer, busy ? BUSY_MS : 0);
            client_ask(&tombstones->client, tombstones->producer, fr_mono_ns());
        }
        pthread_mutex_lock(&tombstones->lock);
    }
    pthread_mutex_unlock(&tombstones->lock);
    drop_producer(tombstones, FLUSH_MS);
    fr_pulse_stop(pulse);
}

/* ---- from outside ---- */

struct tombstones *tombstones_start(const struct feed_options *options, struct engine *engine)
{
    struct tombstones *tombstones = fr_zalloc(1, sizeof(*tombstones));
    pthread_condattr_t monotonic;

    tombstones->options = options;
    tombstones->engine = engine;
    client_init(&tombstones->client, "tombstones");
    pthread_mutex_init(&tombstones->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&tombstones->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    tombstones->thread = fr_thread_start("tombstones", run, tombstones);
    return tombstones;
}

void tombstones_stop(struct tombstones *tombstones)
{
    if (!tombstones)
        return;
    pthread_mutex_lock(&tombstones->lock);
    tombstones->stopping = true;
    pthread_cond_broadcast(&tombstones->changed);
    pthread_mutex_unlock(&tombstones->lock);
    fr_thread_join(tombstones->thread);
    pthread_cond_destroy(&tombstones->changed);
    pthread_mutex_destroy(&tombstones->lock);
    free(tombstones);
}

int tombstones_ask(struct tombstones *tombstones, enum feed_kind kind, struct fr_bytes id, uint64_t *ret_ticket, struct fr_err *err)
{
    const char *topic = topic_of(tombstones, kind);
    int status = FR_OK;

    if (!topic || !*topic)
        return fr_fail(err, FR_CONFIG, "feed.%s is empty: there is no topic to write a tombstone to",
                       kind == FEED_ITEMS ? "items_topic" : "users_topic");
    pthread_mutex_lock(&tombstones->lock);
    struct wish *wish = &tombstones->wishes[(tombstones->last_ticket + 1) % PLACES];
    if (tombstones->stopping) {
        status = fr_fail(err, FR_CLOSED, "the daemon is stopping");
    } else if (wish->state == WISH_ASKED || wish->state == WISH_SENT) {
        status = fr_fail(err, FR_LIMIT, "%d tombstones are on their way to Kafka; try again", PLACES);
    } else {
        *wish = (struct wish){.state = WISH_ASKED, .ticket = ++tombstones->last_ticket, .kind = kind, .id_len = id.len};
        memcpy(wish->id, id.at, id.len);
        *ret_ticket = wish->ticket;
        tombstones->open++;
        pthread_cond_broadcast(&tombstones->changed);
    }
    pthread_mutex_unlock(&tombstones->lock);
    return status;
}

bool tombstones_done(struct tombstones *tombstones, uint64_t ticket, struct tombstone *ret, int *ret_status, struct fr_err *ret_err)
{
    bool done;

    pthread_mutex_lock(&tombstones->lock);
    const struct wish *wish = &tombstones->wishes[ticket % PLACES];
    if (wish->ticket != ticket) { /* so many came since that its place was needed */
        done = true;
        *ret_status = fr_fail(ret_err, FR_TIMEOUT, "the tombstone was written or not, and nobody looked in time; ask again");
    } else {
        done = wish->state == WISH_OVER;
        if (done) {
            *ret = wish->where;
            *ret_status = wish->status;
            *ret_err = wish->err;
        }
    }
    pthread_mutex_unlock(&tombstones->lock);
    return done;
}
