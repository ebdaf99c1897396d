/*
 * queue_test.c -- pointers come out in order; full, empty and closed are answers; waiting ends when it should.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "freshet/clock.h"
#include "freshet/queue.h"

static int items[100000];

static void items_come_out_in_order(void **state)
{
    (void)state;
    struct fr_queue *queue = fr_queue_new(3);
    int in = 0, out = 0;

    for (int round = 0; round < 10; round++) { /* around the ring */
        while (fr_queue_push(queue, &items[in], 0))
            in++;
        assert_int_equal(fr_queue_len(queue), 3);
        assert_ptr_equal(fr_queue_pop(queue, 0), &items[out++]);
        assert_ptr_equal(fr_queue_pop(queue, 0), &items[out++]);
    }
    assert_ptr_equal(fr_queue_pop(queue, 0), &items[out++]);
    assert_int_equal(in, out);
    assert_null(fr_queue_pop(queue, 0));
    fr_queue_free(queue);
    fr_queue_free(NULL);
}

static void a_wait_ends_after_its_time(void **state)
{
    (void)state;
    struct fr_queue *queue = fr_queue_new(1);
    uint64_t begin = fr_mono_ns();

    assert_null(fr_queue_pop(queue, 20));
    assert_true(fr_mono_ns() - begin >= 20 * 1000000);
    assert_true(fr_queue_push(queue, items, 20));
    begin = fr_mono_ns();
    assert_false(fr_queue_push(queue, items, 20));
    assert_true(fr_mono_ns() - begin >= 20 * 1000000);
    fr_queue_free(queue);
}

static void a_closed_queue_refuses_and_drains(void **state)
{
    (void)state;
    struct fr_queue *queue = fr_queue_new(4);

    assert_true(fr_queue_push(queue, &items[1], 0));
    assert_true(fr_queue_push(queue, &items[2], 0));
    assert_false(fr_queue_closed(queue));
    fr_queue_close(queue);
    assert_true(fr_queue_closed(queue));
    assert_false(fr_queue_push(queue, &items[3], -1)); /* at once, although it would wait for ever */
    assert_ptr_equal(fr_queue_pop(queue, -1), &items[1]);
    assert_ptr_equal(fr_queue_pop(queue, -1), &items[2]);
    assert_null(fr_queue_pop(queue, -1));
    fr_queue_close(queue);
    fr_queue_free(queue);
}

struct taking {
    struct fr_queue *queue;
    _Atomic int thread; /* the kernel's number; 0 before it runs */
    int seen;
    bool in_order;
};

static void *take_all(void *arg)
{
    struct taking *taking = arg;
    int *item;

    atomic_store(&taking->thread, gettid());
    taking->in_order = true;
    while ((item = fr_queue_pop(taking->queue, -1)))
        taking->in_order &= item == &items[taking->seen++] && *item == taking->seen;
    return NULL;
}

static void two_threads_hand_over_everything_in_order(void **state)
{
    (void)state;
    enum { N = sizeof(items) / sizeof(*items) };
    struct taking taking = {.queue = fr_queue_new(7)};
    pthread_t taker;

    assert_int_equal(pthread_create(&taker, NULL, take_all, &taking), 0);
    for (int i = 0; i < N; i++) {
        items[i] = i + 1; /* seen by the other: the queue is the synchronisation */
        assert_true(fr_queue_push(taking.queue, &items[i], -1));
    }
    fr_queue_close(taking.queue);
    pthread_join(taker, NULL);
    assert_int_equal(taking.seen, N);
    assert_true(taking.in_order);
    fr_queue_free(taking.queue);
}

struct pushing {
    struct fr_queue *queue;
    _Atomic int thread; /* as above */
    bool pushed;
};

static void *push_for_ever(void *arg)
{
    struct pushing *pushing = arg;

    atomic_store(&pushing->thread, gettid());
    pushing->pushed = fr_queue_push(pushing->queue, items, -1);
    return NULL;
}

/* Until the kernel says that the thread sleeps, which here it does only in its push or its pop. */
static void wait_until_it_waits(_Atomic int *thread)
{
    char path[64], text[512];
    char state = 'R';

    while (!atomic_load(thread))
        sched_yield();
    snprintf(path, sizeof(path), "/proc/self/task/%d/stat", atomic_load(thread));
    while (state != 'S') {
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        assert_non_null(fgets(text, sizeof(text), file));
        fclose(file);
        state = strrchr(text, ')')[2];
        sched_yield();
    }
}

static void closing_wakes_those_who_wait(void **state)
{
    (void)state;
    struct fr_queue *full = fr_queue_new(1), *empty = fr_queue_new(1);
    struct taking taking = {.queue = empty};
    struct pushing pushing[3] = {{.queue = full}, {.queue = full}, {.queue = full}};
    pthread_t pushers[3], taker;

    fr_queue_push(full, items, 0);
    for (int i = 0; i < 3; i++)
        assert_int_equal(pthread_create(&pushers[i], NULL, push_for_ever, &pushing[i]), 0);
    assert_int_equal(pthread_create(&taker, NULL, take_all, &taking), 0);
    for (int i = 0; i < 3; i++)
        wait_until_it_waits(&pushing[i].thread);
    wait_until_it_waits(&taking.thread);
    fr_queue_close(full);
    fr_queue_close(empty);
    for (int i = 0; i < 3; i++) {
        pthread_join(pushers[i], NULL);
        assert_false(pushing[i].pushed);
    }
    pthread_join(taker, NULL);
    assert_int_equal(taking.seen, 0);
    fr_queue_free(full);
    fr_queue_free(empty);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order),
        cmocka_unit_test(a_wait_ends_after_its_time),
        cmocka_unit_test(a_closed_queue_refuses_and_drains),
        cmocka_unit_test(two_threads_hand_over_everything_in_order),
        cmocka_unit_test(closing_wakes_those_who_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
