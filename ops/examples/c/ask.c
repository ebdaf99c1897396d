/* ask.c -- tells Freshet that a user clicked on an item, then asks what to show next, and why. */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "freshet/v1/events.pb-c.h"
#include "freshet/v1/recommender.pb-c.h"
#include "unary.h"

enum { PATIENCE_MS = 10000 };

static const char *env(const char *name, const char *standard)
{
    return getenv(name) ? getenv(name) : standard;
}

static void fail(const char *what)
{
    fprintf(stderr, "ask: %s\n", what);
    exit(1);
}

/* Where the record is, once Kafka has it. */
static void delivered(rd_kafka_t *producer, const rd_kafka_message_t *message, void *position)
{
    Freshet__V1__Position *at = position;

    (void)producer;
    if (message->err)
        fail(rd_kafka_err2str(message->err));
    at->partition = message->partition;
    at->offset = message->offset + 1;
}

static void publish(char *user, char *item, Freshet__V1__Position *position)
{
    /* murmur2_random is Java's partitioner: all of a user's events must be in one partition. */
    const char *settings[][2] = {{"bootstrap.servers", env("FRESHET_BROKERS", "127.0.0.1:9092")},
                                 {"partitioner", "murmur2_random"}, {"message.timeout.ms", "10000"}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char problem[500];

    for (size_t i = 0; i < sizeof(settings) / sizeof(*settings); i++)
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], problem, sizeof(problem)) != RD_KAFKA_CONF_OK)
            fail(problem);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_conf_set_opaque(conf, position);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem, sizeof(problem));
    if (!producer)
        fail(problem);

    Freshet__V1__Event event = FRESHET__V1__EVENT__INIT;
    uint8_t bytes[1000];
    event.user_id = user;
    event.item_id = item;
    event.type = "click";
    if (freshet__v1__event__get_packed_size(&event) > sizeof(bytes))
        fail("an id has 256 bytes at most");
    size_t len = freshet__v1__event__pack(&event, bytes);
    if (rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("events"), RD_KAFKA_V_KEY(user, strlen(user)), RD_KAFKA_V_VALUE(bytes, len),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END) || rd_kafka_flush(producer, PATIENCE_MS))
        fail("Kafka does not take it");
    rd_kafka_destroy(producer);
}

static void show(const Freshet__V1__Recommendation *r)
{
    printf("%s %.6f because of", r->item_id, r->score);
    for (size_t i = 0; i < r->n_reasons; i++)
        printf("%s %s %+.6f", i ? "," : "", r->reasons[i]->item_id, r->reasons[i]->contribution);
    printf("\n");
}

int main(int argc, char **argv)
{
    Freshet__V1__Position written = FRESHET__V1__POSITION__INIT, *not_before[] = {&written};
    Freshet__V1__RecommendRequest request = FRESHET__V1__RECOMMEND_REQUEST__INIT;

    if (argc != 3)
        fail("usage: ask USER ITEM");
    written.topic = "events";
    publish(argv[1], argv[2], &written);

    request.user_id = argv[1];
    request.k = 5;
    request.explain = 1;
    request.n_not_before = 1; /* the answer has seen the click */
    request.not_before = not_before;
    Freshet__V1__RecommendResponse *answer = (Freshet__V1__RecommendResponse *)unary_call(
        env("FRESHET_SERVER", "127.0.0.1:50051"), "/freshet.v1.Recommender/Recommend", &request.base,
        &freshet__v1__recommend_response__descriptor, PATIENCE_MS);
    if (!answer)
        return 1;
    for (size_t i = 0; i < answer->n_items; i++)
        show(answer->items[i]);
    freshet__v1__recommend_response__free_unpacked(answer, NULL);
    return 0;
}
