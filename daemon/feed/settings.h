/*
 * settings.h -- librdkafka's configuration: Freshet's defaults, then the user's [kafka] section verbatim, then what
 * Freshet owns.
 */
#ifndef FR_SETTINGS_H
#define FR_SETTINGS_H

#include <librdkafka/rdkafka.h>
#include <stdint.h>

#include "freshet/feed.h"

/* One librdkafka client as its callbacks know it. The callbacks are served by whoever polls the client, so no lock. */
struct client {
    unsigned magic;
    const char *purpose; /* "consumer", "dead letters" */
    bool disconnected;   /* what answers next may be another broker or another log; whoever acts on it takes it back */
    bool unreachable;    /* no broker answers; said once */
    uint64_t ask_ns;     /* when client_probe asks again */
    uint64_t unheard_ns; /* since when no question has been answered; 0: the last one was */
    enum { CLUSTER_UNASKED, CLUSTER_OURS, CLUSTER_OTHER } cluster; /* as client_cluster last found; */
    bool cluster_due;                                              /* it is to ask, */
    uint64_t cluster_ns;                                           /* but not before: nobody has answered */
    struct fr_series *down; /* the same as a metric */
    rd_kafka_resp_err_t last_err;
    uint64_t last_err_ns;
};
void client_init(struct client *client, const char *purpose);
/* A broker has answered: says so if that was in doubt. */
void client_reached(struct client *client);
/* Nor has one answered a question just now. After ten seconds of this, none does: librdkafka may take much longer to say so, or say it
 * where nobody polls. */
void client_unanswered(struct client *client, uint64_t now_ns);
/* Asks now and then whether a broker answers, for up to half a second. */
void client_probe(struct client *client, rd_kafka_t *kafka, uint64_t now_ns);
/* While no broker answers: asks now and then whether one does, for up to half a second. For a producer, which may have nothing to send for
 * hours and would not be answered before. */
void client_ask(struct client *client, rd_kafka_t *kafka, uint64_t now_ns);

/* For a producer, before it writes: do the brokers belong to the cluster that the state was learned from? In another, what is meant for ours
 * would be somebody else's. Asked once, and again when brokers were lost, for up to half a second each time. While none answers it is what it
 * was last; CLUSTER_UNASKED, until one has. */
int client_cluster(struct client *client, rd_kafka_t *kafka, const struct feed_options *options, struct engine *engine, uint64_t now_ns);

/* Is this an error after which what answers under the same name may be another broker, or another log? */
bool client_may_be_another(rd_kafka_resp_err_t err);

/* A client built of the options; FR_CONFIG with librdkafka's own text. `client` is borrowed for the handle's life. */
int settings_consumer(rd_kafka_t **ret_kafka, const struct feed_options *options, struct client *client,
                      struct fr_err *err);
/* Whether brokers that make topics by themselves are to make the one that is written to. A [kafka] section that says so decides. */
enum settings_topic { SETTINGS_TOPIC_MAY_BE_MADE, SETTINGS_TOPIC_IS_THERE };
/* on_report gets each delivery report; rd_kafka_poll calls it with `opaque_client`. */
int settings_producer(rd_kafka_t **ret_kafka, const struct feed_options *options, enum settings_topic topic, struct client *client,
                      void (*on_report)(rd_kafka_t *kafka, const rd_kafka_message_t *message, void *client),
                      struct fr_err *err);

#endif
