/*
 * ending_test.c -- clients of Kafka that do not end, as librdkafka's may when a topic was deleted under them: a stop does not wait for them, nor
 * does a new consumer.
 *
 * This program's rd_kafka_destroy_flags stands before librdkafka's, and may keep whoever calls it until the test lets go.
 */
#include <dlfcn.h>

#include "ending.h"
#include "world.h"

enum { PATIENCE_S = 120 };

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool stuck;            /* from now on */
    unsigned begun, ended; /* calls */
    bool stopped;
} ends = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void change(void (*how)(void))
{
    pthread_mutex_lock(&ends.lock);
    how();
    pthread_cond_broadcast(&ends.changed);
    pthread_mutex_unlock(&ends.lock);
}

static void begin(void) { ends.begun++; }
static void end(void) { ends.ended++; }
static void stick(void) { ends.stuck = true; }
static void let_go(void) { ends.stuck = false; }
static void stopped(void) { ends.stopped = true; }

void rd_kafka_destroy_flags(rd_kafka_t *kafka, int flags)
{
    void (*real)(rd_kafka_t *, int);

    *(void **)&real = dlsym(RTLD_NEXT, "rd_kafka_destroy_flags");
    change(begin);
    pthread_mutex_lock(&ends.lock);
    while (ends.stuck)
        pthread_cond_wait(&ends.changed, &ends.lock);
    pthread_mutex_unlock(&ends.lock);
    real(kafka, flags);
    change(end);
}

static bool has_stopped(void) { return ends.stopped; }
static bool have_begun_four(void) { return ends.begun == 4; }
static bool have_ended(void) { return ends.ended == ends.begun; }

/* False after two minutes, which is met only by failing. */
static bool wait_until(bool (*is)(void))
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    pthread_mutex_lock(&ends.lock);
    while (!is() && !pthread_cond_timedwait(&ends.changed, &ends.lock, &until))
        continue;
    bool met = is();
    pthread_mutex_unlock(&ends.lock);
    return met;
}

static void *stop(void *feed)
{
    feed_stop(feed);
    change(stopped);
    return NULL;
}

static void a_stop_does_not_wait_for_clients_that_do_not_end(void **state)
{
    struct feed_options options = world_options();
    struct world world;
    pthread_t thread;

    (void)state;
    options.items_topic = "items";
    options.users_topic = "users";
    world_open(&world, 1);
    world_events(&world, 0, 0, 10);
    world_feed(&world, options);
    wait_for_of(&world, TOPIC, 0, 10, PARTITION_RUNNING);
    change(stick);
    assert_int_equal(pthread_create(&thread, NULL, stop, world.feed), 0);
    bool stopped_by_itself = wait_until(has_stopped);
    assert_true(wait_until(have_begun_four)); /* of events, items, users; of dead letters */
    change(let_go);
    pthread_join(thread, NULL);
    assert_true(wait_until(have_ended)); /* they use the world's cluster */
    world.feed = NULL;
    world_close(&world);
    assert_true(stopped_by_itself);
}

static void who_ends_is_waited_for(void **state)
{
    struct world world;

    (void)state;
    world_open(&world, 1);
    world_feed(&world, world_options());
    wait_for(&world, 0, 0, PARTITION_RUNNING);
    world_close(&world);
    assert_true(have_ended());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stop_does_not_wait_for_clients_that_do_not_end),
        cmocka_unit_test(who_ends_is_waited_for),
    };

    return cmocka_run_group_tests_name("ending", tests, NULL, NULL);
}
