/*
 * settings.c -- which librdkafka properties are ours, which have a default of ours, and all the others verbatim.
 *
 *     defaults (below)  <  [kafka] of the user  <  owned (below)
 *
 * The same [kafka] section feeds the consumer and the producer of dead letters; librdkafka ignores in each what
 * belongs to the other. Why our defaults: fetch.wait.max.ms = 10, because a broker answers at once when there is data,
 * and the wait only delays brokers (and the mock) that do not; queued.min.messages = 2,000,000, because 2.0.2 stops
 * fetching for up to a second when the shared queue reaches it; queued.max.messages.kbytes bounds the memory instead.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/clock.h"
#include "freshet/likeness.h"
#include "freshet/log.h"
#include "freshet/metric.h"
#include "settings.h"

enum { CLIENT_MAGIC = 0x4b434c49, REPEAT_AFTER_S = 30, ASK_EVERY_MS = 2000, ASK_TIMEOUT_MS = 500, UNANSWERED_MS = 10000 };

struct setting {
    const char *key, *value;
};

static const struct setting consumer_defaults[] = {
    {"group.id", "freshet"},
    {"client.id", "freshet"},
    {"queued.min.messages", "2000000"},
    {"queued.max.messages.kbytes", "131072"},
    {"fetch.wait.max.ms", "10"},
    {"fetch.message.max.bytes", "1048576"},
    {"check.crcs", "true"},
    {"allow.auto.create.topics", "false"},
    {"topic.metadata.refresh.interval.ms", "10000"},
    {"reconnect.backoff.max.ms", "2000"},
};
/* Nobody waits for a catalogue as for events. */
static const struct setting catalogue_defaults[] = {
    {"queued.max.messages.kbytes", "16384"},
};
static const struct setting consumer_owned[] = {
    {"auto.offset.reset", "error"},
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"enable.partition.eof", "true"},
};
static const struct setting producer_defaults[] = {
    {"client.id", "freshet"},
    {"message.max.bytes", "1000000000"}, /* the broker decides what is too large; the record came from one, */
    {"compression.type", "gzip"}, /* where it may have been small because it was packed */
    {"message.timeout.ms", "30000"},
    {"linger.ms", "5"},
    {"partitioner", "murmur2_random"}, /* as Java's producers do, so that a re-published letter finds its partition */
    {"reconnect.backoff.max.ms", "2000"},
};
static const struct setting producer_owned[] = {
    {"enable.idempotence", "true"},
};

#define OFFSETS "is owned by Freshet: offsets live in its store (see feed.start and feed.on_gap)"
#define PARTITIONS "is owned by Freshet: it assigns partitions itself"
#define DELIVERY "is owned by Freshet: a dead letter leaves the store only when Kafka surely has it"
#define POINTER "is owned by Freshet: it is no text but a pointer of the program"

static const struct {
    const char *key, *why;
} owned_keys[] = {
    {"auto.offset.reset", OFFSETS},
    {"enable.auto.commit", OFFSETS},
    {"auto.commit.enable", OFFSETS},
    {"auto.commit.interval.ms", OFFSETS},
    {"enable.auto.offset.store", OFFSETS},
    {"offset.store.method", OFFSETS},
    {"offset.store.path", OFFSETS},
    {"offset.store.sync.interval.ms", OFFSETS},
    {"enable.partition.eof", OFFSETS},
    {"group.instance.id", PARTITIONS},
    {"partition.assignment.strategy", PARTITIONS},
    {"group.protocol.type", PARTITIONS},
    {"acks", DELIVERY},
    {"request.required.acks", DELIVERY},
    {"enable.idempotence", DELIVERY},
    {"enable.gapless.guarantee", DELIVERY},
    {"transactional.id", DELIVERY},
    {"delivery.report.only.error", DELIVERY},
    {"test.mock.num.brokers", "is owned by Freshet: freshetd --dev has an embedded broker"},
    {"interceptors", POINTER},
    {"opaque", POINTER},
    {"default_topic_conf", POINTER},
    {"enabled_events", POINTER},
    {"msg_order_cmp", POINTER},
    {"ssl_engine_callback_data", POINTER},
    {"log.queue", "is owned by Freshet: librdkafka's log is part of its own"},
};

static const char *owned_by_freshet(const char *key)
{
    size_t len = strlen(key);

    for (size_t i = 0; i < sizeof(owned_keys) / sizeof(*owned_keys); i++) {
        if (strcmp(owned_keys[i].key, key) == 0)
            return owned_keys[i].why;
    }
    return len > 3 && strcmp(key + len - 3, "_cb") == 0 ? POINTER : NULL;
}

/* The property most like `key`; "" if librdkafka's list of them cannot be had, which is a table for people: "name | C/P | ...". */
static void nearest_property(const char *key, char *ret_name, size_t room)
{
    size_t best = SIZE_MAX, len = 0;
    char *table = NULL, *rest;
    FILE *out = open_memstream(&table, &len);

    *ret_name = 0;
    if (!out)
        return;
    rd_kafka_conf_properties_show(out);
    fclose(out);
    rest = table;
    for (char *line; (line = strsep(&rest, "\n"));) {
        size_t name_len = strspn(line, "abcdefghijklmnopqrstuvwxyz0123456789._");
        if (!name_len || name_len > FR_LIKENESS_BYTES_MAX || line[name_len] != ' ')
            continue;
        line[name_len] = 0;
        size_t distance = fr_edit_distance(line, name_len, key);
        if (distance < best) { /* one that is ours too: who then sets it is told why not */
            best = distance;
            snprintf(ret_name, room, "%s", line);
        }
    }
    free(table);
}

bool feed_kafka_key_known(const char *key)
{
    char room[200];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, key, "", room, sizeof(room));

    rd_kafka_conf_destroy(conf);
    return result != RD_KAFKA_CONF_UNKNOWN;
}

const char *feed_kafka_key_problem(const char *key, const char *value, char *room, size_t room_len)
{
    const char *why = owned_by_freshet(key);
    char nearest[FR_LIKENESS_BYTES_MAX + 1];
    rd_kafka_conf_t *conf;
    rd_kafka_conf_res_t result;

    if (why)
        return why;
    conf = rd_kafka_conf_new();
    result = rd_kafka_conf_set(conf, key, value, room, room_len);
    rd_kafka_conf_destroy(conf);
    if (result == RD_KAFKA_CONF_UNKNOWN) {
        nearest_property(key, nearest, sizeof(nearest));
        if (*nearest)
            snprintf(room, room_len, "No such configuration property; the nearest known key is 'kafka.%s'", nearest);
    }
    return result == RD_KAFKA_CONF_OK ? NULL : room;
}

const char *feed_library_version(void)
{
    return rd_kafka_version_str();
}

/* ---- what librdkafka has to say ---------------------------------------------------------------------------- */

void client_init(struct client *client, const char *purpose)
{
    *client = (struct client){.magic = CLIENT_MAGIC, .purpose = purpose};
    client->down = fr_series(FR_M_KAFKA_UNREACHABLE, purpose, "", "");
    fr_gauge(client->down, 0);
}

void client_reached(struct client *client)
{
    if (client->unreachable)
        fr_log(FR_INFO, "kafka", "brokers.reached", FR_FIELDS(FR_TEXT("client", client->purpose)),
               "a Kafka broker answers again");
    client->unreachable = false;
    client->unheard_ns = 0;
    fr_gauge(client->down, 0);
}

static void cut_off(struct client *client, const char *reason)
{
    if (!client->unreachable)
        fr_log(FR_ERROR, "kafka", "brokers.down", FR_FIELDS(FR_TEXT("client", client->purpose)),
               "no Kafka broker can be reached; trying on: %s", reason);
    client->unreachable = true;
    fr_gauge(client->down, 1);
}

void client_unanswered(struct client *client, uint64_t now_ns)
{
    if (!client->unheard_ns)
        client->unheard_ns = now_ns;
    else if (now_ns - client->unheard_ns >= UNANSWERED_MS * 1000000ULL)
        cut_off(client, "none has answered for ten seconds");
}

/* Has a broker answered? */
static bool ask(struct client *client, rd_kafka_t *kafka, uint64_t now_ns)
{
    const struct rd_kafka_metadata *metadata;

    if (rd_kafka_metadata(kafka, 0, NULL, &metadata, ASK_TIMEOUT_MS)) { /* librdkafka has begun to connect, if it was not yet at it */
        client_unanswered(client, now_ns);
        return false;
    }
    rd_kafka_metadata_destroy(metadata);
    client_reached(client);
    return true;
}

void client_probe(struct client *client, rd_kafka_t *kafka, uint64_t now_ns)
{
    if (now_ns < client->ask_ns)
        return;
    client->ask_ns = now_ns + ASK_EVERY_MS * 1000000ULL;
    ask(client, kafka, now_ns);
}

void client_ask(struct client *client, rd_kafka_t *kafka, uint64_t now_ns)
{
    if (client->unreachable)
        client_probe(client, kafka, now_ns);
}

/* As verdict.c has it for the consumers: who tells no id, and a state that knows none, contradict nobody. */
static bool is_other(rd_kafka_t *kafka, struct engine *engine)
{
    char room[CLUSTER_BYTES_MAX + 1], *id = rd_kafka_clusterid(kafka, 0);
    const char *known = engine_cluster(engine, room);
    bool other = id && *id && strlen(id) <= CLUSTER_BYTES_MAX && *known && strcmp(id, known) != 0;

    rd_kafka_mem_free(kafka, id);
    return other;
}

int client_cluster(struct client *client, rd_kafka_t *kafka, const struct feed_options *options, struct engine *engine, uint64_t now_ns)
{
    if (options->cluster_any)
        return CLUSTER_OURS;
    client->cluster_due = client->cluster_due || client->disconnected;
    client->disconnected = false;
    if (!client->cluster_due || now_ns < client->cluster_ns)
        return client->cluster;
    client->cluster_due = !ask(client, kafka, now_ns);
    if (client->cluster_due)
        client->cluster_ns = now_ns + ASK_EVERY_MS * 1000000ULL;
    else
        client->cluster = is_other(kafka, engine) ? CLUSTER_OTHER : CLUSTER_OURS;
    return client->cluster;
}

/* Thread: any of librdkafka's. */
static void on_log(const rd_kafka_t *kafka, int level, const char *facility, const char *text)
{
    enum fr_level ours = level <= 2 ? FR_ERROR : level <= 4 ? FR_WARN : level <= 6 ? FR_INFO : FR_DEBUG;

    (void)kafka;
    /* One [kafka] section serves a consumer and a producer: that each ignores the other's properties is meant so.
     * And only a check names no brokers. */
    if (strcmp(facility, "CONFWARN") == 0 && (strstr(text, "is a consumer property") || strstr(text, "is a producer property") ||
                                              strstr(text, "No `bootstrap.servers` configured")))
        return;
    if (strcmp(facility, "AUTOCREATE") == 0) /* brokers older than 0.11, and the mock cluster */
        ours = FR_DEBUG;
    fr_log(ours, "kafka", "librdkafka", FR_FIELDS(FR_TEXT("facility", facility)), "%s", text);
}

bool client_may_be_another(rd_kafka_resp_err_t err)
{
    return err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || err == RD_KAFKA_RESP_ERR__TRANSPORT ||
           err == RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC || err == RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION ||
           err == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
}

/* Errors are for information, librdkafka goes on trying by itself. Thread: who polls. */
static void on_error(rd_kafka_t *kafka, int code, const char *reason, void *opaque)
{
    struct client *client = opaque;
    rd_kafka_resp_err_t err = (rd_kafka_resp_err_t)code;
    uint64_t now = fr_mono_ns();

    (void)kafka;
    if (!client || client->magic != CLIENT_MAGIC)
        abort();
    client->disconnected = client->disconnected || client_may_be_another(err);
    if (err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) {
        cut_off(client, reason);
        return;
    }
    if (err == client->last_err && now - client->last_err_ns < REPEAT_AFTER_S * 1000000000ULL)
        return;
    client->last_err = err;
    client->last_err_ns = now;
    fr_log(FR_WARN, "kafka", "client.error",
           FR_FIELDS(FR_TEXT("client", client->purpose), FR_TEXT("code", rd_kafka_err2name(err))), "%s", reason);
}

/* ---- from settings to a client ------------------------------------------------------------------------------ */

static void set_ours(rd_kafka_conf_t *conf, const struct setting *settings, size_t len)
{
    char text[256];

    for (size_t i = 0; i < len; i++) {
        if (rd_kafka_conf_set(conf, settings[i].key, settings[i].value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
            abort(); /* our own tables are wrong */
    }
}

static int set_users(rd_kafka_conf_t *conf, const struct feed_options *options, struct fr_err *err)
{
    char text[256];

    for (size_t i = 0; i < options->kafka_len; i++) {
        const char *key = options->kafka_keys[i], *why = owned_by_freshet(key);

        if (why)
            return fr_fail(err, FR_CONFIG, "kafka.%s %s", key, why);
        if (rd_kafka_conf_set(conf, key, options->kafka_values[i], text, sizeof(text)) != RD_KAFKA_CONF_OK)
            return fr_fail(err, FR_CONFIG, "kafka.%s: %s", key, text);
    }
    return FR_OK;
}

static int need_brokers(const rd_kafka_conf_t *conf, struct fr_err *err)
{
    size_t size = 0;

    if (rd_kafka_conf_get(conf, "bootstrap.servers", NULL, &size) != RD_KAFKA_CONF_OK || size <= 1)
        return fr_fail(err, FR_CONFIG, "kafka.bootstrap.servers is not set: which brokers shall be asked?");
    return FR_OK;
}

static int make_client(rd_kafka_t **ret_kafka, rd_kafka_type_t type, rd_kafka_conf_t *conf, struct client *client,
                       struct fr_err *err)
{
    char text[256];
    rd_kafka_t *kafka;

    rd_kafka_conf_set_opaque(conf, client);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    kafka = rd_kafka_new(type, conf, text, sizeof(text));
    if (!kafka) {
        rd_kafka_conf_destroy(conf);
        return fr_fail(err, FR_CONFIG, "cannot make the Kafka client for the %s: %s", client->purpose, text);
    }
    client->cluster = CLUSTER_UNASKED;
    client->cluster_due = true;
    client->cluster_ns = 0;
    *ret_kafka = kafka;
    return FR_OK;
}

#define LENGTH(table) (sizeof(table) / sizeof(*(table)))

static rd_kafka_conf_t *drop_conf(rd_kafka_conf_t *conf)
{
    rd_kafka_conf_destroy(conf);
    return NULL;
}

/* Ours, then the user's, then what nobody may change. NULL, and *err filled, if the options do not do. */
static rd_kafka_conf_t *consumer_conf(const struct feed_options *options, struct fr_err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    set_ours(conf, consumer_defaults, LENGTH(consumer_defaults));
    if (options->kind != FEED_EVENTS)
        set_ours(conf, catalogue_defaults, LENGTH(catalogue_defaults));
    if (set_users(conf, options, err))
        return drop_conf(conf);
    set_ours(conf, consumer_owned, LENGTH(consumer_owned));
    return conf;
}

static rd_kafka_conf_t *producer_conf(const struct feed_options *options, enum settings_topic topic, struct fr_err *err)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    set_ours(conf, producer_defaults, LENGTH(producer_defaults));
    if (topic == SETTINGS_TOPIC_IS_THERE) /* librdkafka calls it a consumer's, and obeys it here as well */
        rd_kafka_conf_set(conf, "allow.auto.create.topics", "false", NULL, 0);
    if (set_users(conf, options, err))
        return drop_conf(conf);
    set_ours(conf, producer_owned, LENGTH(producer_owned));
    return conf;
}

/* The same (NULL stays NULL), if it names brokers. */
static rd_kafka_conf_t *with_brokers(rd_kafka_conf_t *conf, struct fr_err *err)
{
    return conf && need_brokers(conf, err) ? drop_conf(conf) : conf;
}

int settings_consumer(rd_kafka_t **ret_kafka, const struct feed_options *options, struct client *client,
                      struct fr_err *err)
{
    rd_kafka_conf_t *conf = with_brokers(consumer_conf(options, err), err);
    int status = conf ? make_client(ret_kafka, RD_KAFKA_CONSUMER, conf, client, err) : FR_CONFIG;

    if (status == FR_OK)
        rd_kafka_poll_set_consumer(*ret_kafka); /* one queue for records, errors and callbacks */
    return status;
}

int settings_producer(rd_kafka_t **ret_kafka, const struct feed_options *options, enum settings_topic topic, struct client *client,
                      void (*on_report)(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *client),
                      struct fr_err *err)
{
    rd_kafka_conf_t *conf = with_brokers(producer_conf(options, topic, err), err);

    if (!conf)
        return FR_CONFIG;
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    return make_client(ret_kafka, RD_KAFKA_PRODUCER, conf, client, err);
}

/* ---- before a start ------------------------------------------------------------------------------------------- */

/* A client that knows of no broker connects to none. */
static int try_client(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *purpose, struct fr_err *err)
{
    struct client client;
    rd_kafka_t *kafka;
    int status;

    if (!conf)
        return FR_CONFIG;
    rd_kafka_conf_set(conf, "bootstrap.servers", NULL, NULL, 0);
    client_init(&client, purpose);
    status = make_client(&kafka, type, conf, &client, err);
    if (status == FR_OK)
        rd_kafka_destroy_flags(kafka, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return status;
}

int feed_check(const struct feed_options *options, struct fr_err *err)
{
    int status = try_client(RD_KAFKA_CONSUMER, consumer_conf(options, err), "consumer", err);

    return status ? status : try_client(RD_KAFKA_PRODUCER, producer_conf(options, SETTINGS_TOPIC_MAY_BE_MADE, err), "dead letters", err);
}
