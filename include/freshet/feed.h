/*
 * feed.h -- from Kafka to the engine: consume, check, decode, dead-letter.
 *
 * The consumer gets all partitions of the topic by rd_kafka_assign, each at the offset the store holds (or the
 * configured start for a log never read). A record becomes a struct event or a counted rejection; feed never touches a model. When the
 * engine is behind, feed simply stops polling. The compacted topics are read in the same way, each by a consumer of its own, so that
 * neither a missing topic nor a long catalogue delays an event. One more thread sends dead letters once the store holds them.
 *
 * Decoding is in decode.c, free of Kafka: bytes in, event or reason out.
 */
#ifndef FR_FEED_H
#define FR_FEED_H

#include <stdbool.h>
#include <stddef.h>

#include "freshet/engine.h"
#include "freshet/err.h"

enum feed_format { FEED_AUTO, FEED_PROTOBUF, FEED_JSON };
enum feed_start { FEED_EARLIEST, FEED_LATEST, FEED_TIME };

struct feed_weight {
    const char *type;
    double weight;
    bool use_value; /* multiplied by the event's value */
};

enum feed_kind { FEED_EVENTS, FEED_ITEMS, FEED_USERS };

struct feed_options {
    const char *topic, *dead_letter_topic;
    enum feed_kind kind; /* what is in `topic` */
    /* Compacted, each read beside `topic` on a thread of its own, always from its beginning; NULL or "": none. */
    const char *items_topic, *users_topic;
    enum feed_format format;
    enum feed_start start;
    when_ms start_time;    /* for FEED_TIME */
    bool on_gap_skip;      /* false: halt the partition and say so */
    bool cluster_any;      /* go on although the brokers belong to another cluster than the state */
    unsigned poison_max_percent; /* of a partition's last 10,000 records; more halts it. 0: never */
    span_ms silence;       /* so long without a word although the log goes on: a new consumer */
    span_ms max_future;    /* past the record's Kafka timestamp */
    const struct feed_weight *weights; /* index = event.type; the engine's types are these plus "other" */
    size_t weights_len;
    const char *const *kafka_keys, *const *kafka_values; /* [kafka], verbatim; librdkafka's own error text on a bad one */
    size_t kafka_len;
    const char *version; /* for x-freshet-version */
};

/* NULL if librdkafka and Freshet's own keys accept this [kafka] setting; else why not: "is owned by Freshet (offsets live in the store)",
 * or librdkafka's text. For --check-config. Thread: any. */
const char *feed_kafka_key_problem(const char *key, const char *value, char *room, size_t room_len);
bool feed_kafka_key_known(const char *key); /* to librdkafka, whether or not it may be set. Thread: any */

/* FR_CONFIG if Kafka's clients cannot be made of the options, as feed_start would find: settings that do not go together, certificates that
 * cannot be read. Connects to nothing. For --check-config. */
int feed_check(const struct feed_options *options, struct fr_err *err);

struct feed;
/* Starts the threads. The topics need not exist yet. */
int feed_start(struct feed **ret_feed, const struct feed_options *options, struct engine *engine, struct fr_err *err);
void feed_stop_polling(struct feed *feed); /* gives the last batch; dead letters go on leaving */
void feed_stop(struct feed *feed); /* the same if it was not yet done, ends the threads; frees */
/* Forgetting goes through the log: a tombstone for a user or an item is written to its compacted topic, and comes back from there like any
 * record. FR_CONFIG: there is no such topic; FR_LIMIT: too many are on their way. Thread: any, between start and stop. */
int feed_forget(struct feed *feed, enum feed_kind kind, struct fr_bytes id, uint64_t *ret_ticket, struct fr_err *err);
/* True once Kafka has it, or will not: *ret_status. */
bool feed_forget_done(struct feed *feed, uint64_t ticket, struct tombstone *ret, int *ret_status, struct fr_err *ret_err);

/* Reads a halted partition on from where the operator says; what lies between is lost, counted and logged. FR_NOT_FOUND: no such topic is
 * read; FR_LIMIT: another reset is under way. Thread: any, between start and stop. */
int feed_reset(struct feed *feed, const struct reset *reset, uint64_t *ret_ticket, struct fr_err *err);
/* True once the engine was given it, or it was refused: *ret_status (FR_CONFIG, FR_NOT_FOUND; FR_IO: Kafka did not say what there is). */
bool feed_reset_done(struct feed *feed, uint64_t ticket, struct reset_outcome *ret, int *ret_status, struct fr_err *ret_err);

const char *feed_library_version(void); /* librdkafka's */

/* The embedded broker of --dev: librdkafka's mock cluster, this topic and the dead-letter topic made. Keeps nothing, and at most
 * 5 MiB per partition. */
struct feed_broker;
int feed_broker_start(struct feed_broker **ret_broker, const char *topic, const char *dead_letter_topic, int partitions,
                      struct fr_err *err);
const char *feed_broker_address(const struct feed_broker *broker);
void feed_broker_stop(struct feed_broker *broker);

#endif
