/*
 * epoch_test.c -- nothing is freed under a reader that may see it; everything is freed in the end.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "freshet/epoch.h"

static int freed;

static void count_free(void *context, void *block, size_t size)
{
    (void)context;
    (void)size;
    freed++;
    free(block);
}

static void retire_one(struct fr_epoch *epoch, size_t size)
{
    fr_epoch_retire(epoch, count_free, NULL, malloc(size), size);
}

static struct fr_epoch *fresh_epoch(void)
{
    freed = 0;
    return fr_epoch_new();
}

static void without_readers_retired_blocks_are_freed_at_the_next_reclaim(void **state)
{
    (void)state;
    struct fr_epoch *epoch = fresh_epoch();

    retire_one(epoch, 100);
    retire_one(epoch, 20);
    assert_int_equal(freed, 0); /* not within retire */
    assert_int_equal(fr_epoch_waiting(epoch), 120);
    fr_epoch_reclaim(epoch);
    assert_int_equal(freed, 2);
    assert_int_equal(fr_epoch_waiting(epoch), 0);
    fr_epoch_reclaim(epoch);
    assert_int_equal(freed, 2);
    fr_epoch_free(epoch);
}

static void a_reader_holds_what_is_retired_while_it_is_there(void **state)
{
    (void)state;
    struct fr_epoch *epoch = fresh_epoch();
    struct fr_epoch_reader *reader = fr_epoch_join(epoch);

    retire_one(epoch, 1); /* before the reader came */
    fr_epoch_enter(reader);
    retire_one(epoch, 2);
    retire_one(epoch, 4);
    fr_epoch_reclaim(epoch);
    assert_int_equal(freed, 1);
    assert_int_equal(fr_epoch_waiting(epoch), 6);
    fr_epoch_leave(reader);
    fr_epoch_reclaim(epoch);
    assert_int_equal(freed, 3);
    fr_epoch_part(reader);
    fr_epoch_free(epoch);
}

static void a_reader_that_came_later_holds_nothing_older(void **state)
{
    (void)state;
    struct fr_epoch *epoch = fresh_epoch();
    struct fr_epoch_reader *early = fr_epoch_join(epoch), *late = fr_epoch_join(epoch);

    fr_epoch_enter(early);
    retire_one(epoch, 1);
    fr_epoch_enter(late);
    retire_one(epoch, 2);
    fr_epoch_leave(early);
    fr_epoch_reclaim(epoch);
    assert_int_equal(freed, 1);
    assert_int_equal(fr_epoch_waiting(epoch), 2);
    fr_epoch_leave(late);
    fr_epoch_enter(late); /* it came again: that counts as new */
    fr_epoch_reclaim(epoch);
    assert_int_equal(freed, 2);
    fr_epoch_leave(late);
    fr_epoch_part(early);
    fr_epoch_part(late);
    fr_epoch_free(epoch);
}

static void many_blocks_wait_in_order_behind_a_slow_reader(void **state)
{
    (void)state;
    struct fr_epoch *epoch = fresh_epoch();
    struct fr_epoch_reader *reader = fr_epoch_join(epoch);

    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 50; i++)
            retire_one(epoch, 8);
        fr_epoch_reclaim(epoch);
        assert_int_equal(freed, 1050 * round + 50);
        fr_epoch_enter(reader);
        for (int i = 0; i < 1000; i++)
            retire_one(epoch, 8);
        fr_epoch_reclaim(epoch);
        assert_int_equal(freed, 1050 * round + 50);
        fr_epoch_leave(reader);
        fr_epoch_reclaim(epoch);
        assert_int_equal(freed, 1050 * (round + 1));
    }
    fr_epoch_part(reader);
    fr_epoch_free(epoch);
}

static void freeing_the_epoch_frees_what_waits(void **state)
{
    (void)state;
    struct fr_epoch *epoch = fresh_epoch();

    retire_one(epoch, 1);
    fr_epoch_free(epoch);
    assert_int_equal(freed, 1);
    fr_epoch_free(NULL);
}

static void free_and_retire_another(void *context, void *block, size_t size)
{
    (void)size;
    free(block);
    freed++;
    if (freed < 200)
        fr_epoch_retire(context, free_and_retire_another, context, malloc(8), 8);
}

static void freeing_a_block_may_retire_more(void **state)
{
    (void)state;
    struct fr_epoch *epoch = fresh_epoch();

    for (int i = 0; i < 64; i++) /* the ring is full at its first size */
        fr_epoch_retire(epoch, free_and_retire_another, epoch, malloc(8), 8);
    for (int i = 0; i < 10; i++)
        fr_epoch_reclaim(epoch);
    assert_true(freed >= 200);
    assert_int_equal(fr_epoch_waiting(epoch), 0);
    fr_epoch_free(epoch);
}

static void a_place_is_used_again_after_parting_and_there_are_256(void **state)
{
    (void)state;
    struct fr_epoch *epoch = fresh_epoch();
    struct fr_epoch_reader *readers[256];

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 256; i++)
            readers[i] = fr_epoch_join(epoch);
        fr_epoch_enter(readers[255]);
        retire_one(epoch, 8);
        fr_epoch_reclaim(epoch);
        assert_int_equal(freed, round); /* the last one is heard too */
        fr_epoch_leave(readers[255]);
        for (int i = 0; i < 256; i++)
            fr_epoch_part(readers[i]);
        fr_epoch_reclaim(epoch);
    }
    fr_epoch_free(epoch);
}

/* ---- threads: each block holds one number in every word; a freed one holds poison ---- */

enum { WORDS = 64, READERS = 4, SWAPS = 20000 };
#define POISON UINT64_C(0xDEADDEADDEADDEAD)

/* Words are written and read plainly: if a reader could be in a block that is being poisoned, ThreadSanitizer would say
 * so. Poisoned blocks are used again, as those of a slab are. */
struct shared {
    struct fr_epoch *epoch;
    _Atomic(uint64_t *) published;
    _Atomic bool stop;
    _Atomic uint64_t reads, wrong;
    uint64_t *spare[SWAPS]; /* the writer's */
    size_t spares;
};

static void poison(void *context, void *block, size_t size)
{
    struct shared *shared = context;
    uint64_t *words = block;

    for (size_t i = 0; i < size / sizeof(*words); i++)
        words[i] = POISON;
    shared->spare[shared->spares++] = words;
}

static void *read_published(void *arg)
{
    struct shared *shared = arg;
    struct fr_epoch_reader *reader = fr_epoch_join(shared->epoch);
    uint64_t last = 0;

    while (!atomic_load(&shared->stop)) {
        fr_epoch_enter(reader);
        const uint64_t *words = atomic_load_explicit(&shared->published, memory_order_acquire);
        uint64_t first = words[0];
        bool wrong = first == POISON || first < last;
        for (int i = 1; i < WORDS; i++)
            wrong |= words[i] != first;
        fr_epoch_leave(reader);
        last = first;
        atomic_fetch_add_explicit(&shared->reads, 1, memory_order_relaxed);
        if (wrong)
            atomic_fetch_add(&shared->wrong, 1);
    }
    fr_epoch_part(reader);
    return NULL;
}

static uint64_t *fill(struct shared *shared, uint64_t number)
{
    uint64_t *words = shared->spares ? shared->spare[--shared->spares] : malloc(WORDS * sizeof(*words));

    for (int i = 0; i < WORDS; i++)
        words[i] = number;
    return words;
}

static void no_reader_ever_sees_a_freed_block(void **state)
{
    (void)state;
    struct shared *shared = calloc(1, sizeof(*shared));
    pthread_t threads[READERS];

    shared->epoch = fr_epoch_new();
    atomic_store(&shared->published, fill(shared, 1));
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_published, shared), 0);
    /* Until every thread has had its turns, however few processors there are. */
    for (uint64_t n = 2; n < SWAPS || atomic_load(&shared->reads) < 2000; n++) {
        uint64_t *old = atomic_load_explicit(&shared->published, memory_order_relaxed);
        atomic_store_explicit(&shared->published, fill(shared, n), memory_order_release);
        fr_epoch_retire(shared->epoch, poison, shared, old, WORDS * sizeof(*old));
        if (n % 3 == 0)
            fr_epoch_reclaim(shared->epoch);
        while (fr_epoch_waiting(shared->epoch) > (size_t)SWAPS / 2 * WORDS * sizeof(*old))
            fr_epoch_reclaim(shared->epoch); /* `spare` is bounded */
    }
    atomic_store(&shared->stop, true);
    for (int i = 0; i < READERS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&shared->wrong), 0);
    fr_epoch_reclaim(shared->epoch);
    assert_int_equal(fr_epoch_waiting(shared->epoch), 0);
    while (shared->spares)
        free(shared->spare[--shared->spares]);
    free(atomic_load(&shared->published));
    fr_epoch_free(shared->epoch);
    free(shared);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_readers_retired_blocks_are_freed_at_the_next_reclaim),
        cmocka_unit_test(a_reader_holds_what_is_retired_while_it_is_there),
        cmocka_unit_test(a_reader_that_came_later_holds_nothing_older),
        cmocka_unit_test(many_blocks_wait_in_order_behind_a_slow_reader),
        cmocka_unit_test(freeing_the_epoch_frees_what_waits),
        cmocka_unit_test(freeing_a_block_may_retire_more),
        cmocka_unit_test(a_place_is_used_again_after_parting_and_there_are_256),
        cmocka_unit_test(no_reader_ever_sees_a_freed_block),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
