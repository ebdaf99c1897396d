/*
 * broker.c -- the embedded Kafka of --dev: librdkafka's mock cluster, one broker on a free loopback port.
 *
 * It lives in a client handle that is used for nothing else. It keeps nothing, holds at most 5 MiB (or 100,000
 * batches) per partition and then drops the oldest, and makes any topic somebody asks for with 4 partitions; so the
 * two topics that matter are made first, as wished. It says nothing: whoever starts it tells the address.
 */
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdlib.h>

#include "freshet/alloc.h"
#include "freshet/feed.h"

enum { DEAD_LETTER_PARTITIONS = 1, REPLICAS = 1 };

struct feed_broker {
    rd_kafka_t *handle;
    rd_kafka_mock_cluster_t *cluster;
};

static void no_log(const rd_kafka_t *kafka, int level, const char *facility, const char *text)
{
    (void)kafka, (void)level, (void)facility, (void)text;
}

int feed_broker_start(struct feed_broker **ret_broker, const char *topic, const char *dead_letter_topic, int partitions,
                      struct fr_err *err)
{
    struct feed_broker *broker = fr_zalloc(1, sizeof(*broker));
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_resp_err_t refused;
    char text[256];

    rd_kafka_conf_set_log_cb(conf, no_log);
    broker->handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (!broker->handle) {
        rd_kafka_conf_destroy(conf);
        free(broker);
        return fr_fail(err, FR_IO, "cannot start the embedded broker: %s", text);
    }
    broker->cluster = rd_kafka_mock_cluster_new(broker->handle, REPLICAS);
    if (!broker->cluster) {
        feed_broker_stop(broker);
        return fr_fail(err, FR_IO, "cannot start the embedded broker: no cluster");
    }
    refused = rd_kafka_mock_topic_create(broker->cluster, topic, partitions, REPLICAS);
    if (!refused)
        refused = rd_kafka_mock_topic_create(broker->cluster, dead_letter_topic, DEAD_LETTER_PARTITIONS, REPLICAS);
    if (refused) {
        feed_broker_stop(broker);
        return fr_fail(err, FR_INVALID, "cannot make the embedded broker's topics: %s", rd_kafka_err2str(refused));
    }
    *ret_broker = broker;
    return FR_OK;
}

const char *feed_broker_address(const struct feed_broker *broker)
{
    return rd_kafka_mock_cluster_bootstraps(broker->cluster);
}

void feed_broker_stop(struct feed_broker *broker)
{
    if (!broker)
        return;
    if (broker->cluster)
        rd_kafka_mock_cluster_destroy(broker->cluster);
    rd_kafka_destroy(broker->handle);
    free(broker);
}
