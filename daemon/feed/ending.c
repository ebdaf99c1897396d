/*
 * ending.c -- see ending.h.
 */
#include "ending.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include "freshet/alloc.h"
#include "freshet/clock.h"
#include "freshet/life.h"
#include "freshet/log.h"

struct ending {
    rd_kafka_t *kafka;
    const char *purpose;
    struct fr_thread *thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* under lock */
    bool over;
    bool left; /* nobody waits any more */
};

static void ending_free(struct ending *ending)
{
    pthread_cond_destroy(&ending->changed);
    pthread_mutex_destroy(&ending->lock);
    free(ending);
}

/* Consumers are in no group, so there is no close to wait for. */
static void destroy(void *arg)
{
    struct ending *ending = arg;

    rd_kafka_destroy_flags(ending->kafka, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    pthread_mutex_lock(&ending->lock);
    bool left = ending->left;
    ending->over = true;
    pthread_cond_signal(&ending->changed);
    pthread_mutex_unlock(&ending->lock);
    if (left) {
        fr_thread_leave(ending->thread);
        ending_free(ending);
    }
}

struct ending *ending_begin(rd_kafka_t *kafka, const char *purpose)
{
    struct ending *ending = fr_zalloc(1, sizeof(*ending));
    pthread_condattr_t monotonic;

    ending->kafka = kafka;
    ending->purpose = purpose;
    pthread_mutex_init(&ending->lock, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&ending->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    ending->thread = fr_thread_start("client-end", destroy, ending);
    return ending;
}

static bool is_over(struct ending *ending, const struct timespec *until)
{
    pthread_mutex_lock(&ending->lock);
    while (!ending->over)
        if (pthread_cond_timedwait(&ending->changed, &ending->lock, until))
            break;
    bool over = ending->over;
    ending->left = !over;
    pthread_mutex_unlock(&ending->lock);
    return over;
}

void endings_wait(struct ending *const *endings, size_t len)
{
    uint64_t ns = fr_mono_ns() + ENDING_MS * UINT64_C(1000000);
    const struct timespec until = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)};

    for (size_t i = 0; i < len; i++) {
        struct ending *ending = endings[i];
        if (!ending)
            continue;
        const char *purpose = ending->purpose;
        if (is_over(ending, &until)) {
            fr_thread_join(ending->thread);
            ending_free(ending);
        } else {
            fr_log(FR_WARN, "kafka", "client.endless", FR_FIELDS(FR_TEXT("client", purpose)),
                   "Kafka's client for the %s does not end, as may be where a topic was deleted or a broker came back; it is left to itself",
                   purpose);
        }
    }
}

void ending_of(rd_kafka_t *kafka, const char *purpose)
{
    struct ending *ending = kafka ? ending_begin(kafka, purpose) : NULL;

    endings_wait(&ending, 1);
}
